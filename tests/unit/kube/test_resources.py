"""Where kinds of the API live."""

from coderun.kube.resources import CODERUNS, DELIVERIES, JOBS, PODS


def test_paths_of_collections_objects_and_subresources() -> None:
    assert CODERUNS.path("team") == "/apis/agents.platform/v1/namespaces/team/coderuns"
    assert JOBS.path("team", "x") == "/apis/batch/v1/namespaces/team/jobs/x"
    assert PODS.path("team", "x", "log") == "/api/v1/namespaces/team/pods/x/log"


def test_a_name_cannot_leave_its_place_in_the_path() -> None:
    assert PODS.path("te/am", "../secrets?x") == "/api/v1/namespaces/te%2Fam/pods/..%2Fsecrets%3Fx"


def test_api_versions() -> None:
    assert (CODERUNS.api_version, PODS.api_version) == ("agents.platform/v1", "v1")


def test_several_of_a_kind_have_a_word_for_people() -> None:
    assert [one.kinds for one in (CODERUNS, DELIVERIES, JOBS)] == ["CodeRuns", "Deliveries", "Jobs"]

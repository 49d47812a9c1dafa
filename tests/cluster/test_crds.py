"""The custom resource definitions on a real API server.

They are taken as they are, nothing that is written is dropped, bad objects are refused with a message that names the field, and
`kubectl get` reads well.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from tests.cluster.harness import ControlPlane
from tests.cluster.ours import install
from tests.fakes.structural import whole
from tests.unit.kube.test_crd import AUGUST, LATER, LEGACY_STATUS, MINIMAL

from coderun.kube.crd import KINDS, Kind, definitions
from coderun.model.names import API_VERSION, GROUP

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
PLAY = {"taskId": 3, "repositoryUrl": "acme/api"}
DELIVERY = {
    "deliveryId": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "event": "pull_request.labeled",
    "repository": "github.com/acme/api",
    "receivedAt": "2026-11-28T01:02:03Z",
    "hints": [{"pullRequest": 4, "tasks": [7]}],
}
SPECS: dict[str, dict[str, Any]] = {
    "coderuns": MINIMAL,
    "plays": PLAY,
    "docsruns": {"repositoryUrl": "acme/api", "workingDirectory": ".", "sourceBranch": "main"},
    "deliveries": DELIVERY,
}


class Desk:
    """One namespace of a cluster that has the definitions."""

    def __init__(self, cluster: ControlPlane) -> None:
        self.cluster = cluster
        self.namespace = cluster.new_namespace("crds")
        self._made = 0

    def path(self, plural: str, name: str = "", query: str = "") -> str:
        return f"/apis/{API_VERSION}/namespaces/{self.namespace}/{plural}/{name}".rstrip("/") + query

    def create(self, plural: str, spec: Mapping[str, Any], *, name: str = "", **more: Any) -> tuple[int, Any]:
        self._made += 1
        kind = next(kind.kind for kind in KINDS if kind.plural == plural)
        metadata = {"name": name or f"made-{self._made}"}
        document = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec, **more}
        return self.cluster.call("POST", self.path(plural, query="?fieldValidation=Strict"), document)

    def made(self, plural: str, **changes: Any) -> str:
        status, answer = self.create(plural, {**SPECS[plural], **changes})
        assert status == 201, answer
        name: str = answer["metadata"]["name"]
        return name

    def change(self, plural: str, name: str, spec: Mapping[str, Any]) -> tuple[int, Any]:
        return self.cluster.call("PATCH", self.path(plural, name), {"spec": spec}, content_type=MERGE)

    def refusal(self, plural: str, spec: Mapping[str, Any], **more: Any) -> str:
        status, answer = self.create(plural, spec, **more)
        assert status == 422, answer
        said: str = answer["message"]
        return said


@pytest.fixture(scope="module")
def desk(control_plane: ControlPlane) -> Desk:
    install(control_plane)
    return Desk(control_plane)


def test_the_definitions_are_taken_as_they_are_and_stay_the_same_when_applied_again(desk: Desk) -> None:
    for made in definitions():
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{made['metadata']['name']}"
        status, before = desk.cluster.call("GET", path)
        assert status == 200
        kinds = {one["type"]: one["status"] for one in before["status"]["conditions"]}
        assert "NonStructuralSchema" not in kinds
        assert kinds["NamesAccepted"] == "True"
        query = "?fieldManager=test&force=true&fieldValidation=Strict"
        status, after = desk.cluster.call("PATCH", path + query, made, content_type=APPLY)
        assert status == 200, after
        assert after["metadata"]["generation"] == before["metadata"]["generation"]


@pytest.mark.lesson(2)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_status_field_that_is_written_is_read_back(desk: Desk, kind: Kind) -> None:
    name = desk.made(kind.plural)
    status = msgspec.json.decode(msgspec.json.encode(whole(kind.status)))
    for manner, body in (
        (MERGE, {"status": status}),
        (APPLY, {"apiVersion": API_VERSION, "kind": kind.kind, "metadata": {"name": name}, "status": status}),
    ):
        query = (
            "?fieldManager=coderun-controller&force=true&fieldValidation=Strict"
            if manner == APPLY
            else "?fieldValidation=Strict"
        )
        code, written = desk.cluster.call("PATCH", desk.path(kind.plural, f"{name}/status", query), body, content_type=manner)
        assert code == 200, written
        _, read = desk.cluster.call("GET", desk.path(kind.plural, name))
        assert read["status"] == status
        assert msgspec.convert(read["status"], kind.status) == whole(kind.status)
        assert read["metadata"]["generation"] == 1


def test_a_spec_is_not_written_through_the_status_nor_a_status_through_the_spec(desk: Desk) -> None:
    name = desk.made("coderuns")
    body = {"spec": {"cancelRequested": "no"}, "status": {"phase": "Running"}}
    desk.cluster.call("PATCH", desk.path("coderuns", f"{name}/status"), body, content_type=MERGE)
    desk.cluster.call("PATCH", desk.path("coderuns", name), {"status": {"phase": "Failed"}}, content_type=MERGE)
    _, read = desk.cluster.call("GET", desk.path("coderuns", name))
    assert "cancelRequested" not in read["spec"]
    assert read["status"] == {"phase": "Running"}


@pytest.mark.parametrize("spec", [AUGUST, LATER, MINIMAL], ids=["august", "later", "minimal"])
def test_coderuns_of_the_existing_system_are_taken_whole(desk: Desk, spec: dict[str, Any]) -> None:
    status, made = desk.create("coderuns", spec, status=LEGACY_STATUS)
    assert status == 201, made
    assert {key: made["spec"][key] for key in spec} == spec
    name = made["metadata"]["name"]
    code, written = desk.cluster.call(
        "PATCH",
        desk.path("coderuns", f"{name}/status", "?fieldValidation=Strict"),
        {"status": LEGACY_STATUS},
        content_type=MERGE,
    )
    assert code == 200, written
    assert written["status"] == LEGACY_STATUS


def test_empty_values_of_templates_are_no_error_and_defaults_stand_in(desk: Desk) -> None:
    spec = {**MINIMAL, "docsBranch": None, "githubUser": None, "workingDirectory": None, "contextVersion": None, "env": None}
    status, made = desk.create("coderuns", spec)
    assert status == 201, made
    assert (made["spec"]["docsBranch"], made["spec"]["workingDirectory"], made["spec"]["contextVersion"]) == ("main", ".", 1)
    assert "env" not in made["spec"]


@pytest.mark.lesson(3)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"taskId": 0}, "spec.taskId: Invalid value: 0: spec.taskId in body should be greater than or equal to 1"),
        ({"service": "My_Service"}, "spec.service: Invalid value"),
        ({"service": "a" * 300}, "spec.service: Too long"),
        ({"repositoryUrl": "name"}, "spec.repositoryUrl: Invalid value"),
        ({"cliConfig": {"cliType": ""}}, 'spec.cliConfig.cliType: Unsupported value: "": supported values: "claude"'),
        ({"env": {"A B": "1"}}, "env names must be letters, digits and '_', and begin with no digit"),
        ({"workingDirectory": "../other"}, "workingDirectory must lead to a folder inside the repository"),
        ({"workingDirectory": "/etc"}, "workingDirectory must lead to a folder inside the repository"),
        ({"docsProjectDirectory": "a/../../b"}, "docsProjectDirectory must lead to a folder inside the repository"),
        ({"taskRequirements": "%rubbish%"}, "taskRequirements must be base64 of a YAML document"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_bad_coderun_is_refused_with_a_message_that_names_the_field(desk: Desk, change: dict[str, Any], said: str) -> None:
    assert said in desk.refusal("coderuns", {**MINIMAL, **change})


@pytest.mark.parametrize("directory", ["", ".", "a/b", "a/..b/.c", "..a"])
def test_folders_inside_the_repository_are_taken(desk: Desk, directory: str) -> None:
    desk.made("coderuns", workingDirectory=directory)


@pytest.mark.parametrize("text", ["", "c2VjcmV0czogW10K", "YTog\nYjog\n", "YQ=="])
def test_base64_is_taken_with_and_without_line_breaks(desk: Desk, text: str) -> None:
    desk.made("coderuns", taskRequirements=text)


def test_a_name_of_300_characters_is_refused(desk: Desk) -> None:
    assert "metadata.name: Invalid value" in desk.refusal("coderuns", MINIMAL, name="a" * 300)


def test_what_says_which_work_it_is_cannot_be_changed(desk: Desk) -> None:
    run, play, delivery = (desk.made(plural) for plural in ("coderuns", "plays", "deliveries"))
    for plural, name, change, said in (
        (
            "coderuns",
            run,
            {"taskId": 2},
            'spec.taskId: Invalid value: "integer": taskId cannot be changed; create another CodeRun',
        ),
        ("coderuns", run, {"service": "other"}, "service cannot be changed; create another CodeRun"),
        ("coderuns", run, {"repositoryUrl": "acme/other"}, "repositoryUrl cannot be changed; create another CodeRun"),
        ("plays", play, {"taskId": 2}, "taskId cannot be changed; create another Play"),
        ("plays", play, {"pipeline": "other"}, "pipeline cannot be changed; create another Play"),
        ("deliveries", delivery, {"actor": "ada"}, "a delivery is what came in; its spec cannot be changed"),
    ):
        status, answer = desk.change(plural, name, change)
        assert (status, said in answer["message"]) == (422, True), answer


def test_an_app_that_was_missing_may_be_filled_in_once(desk: Desk) -> None:
    name = desk.made("coderuns")
    assert desk.change("coderuns", name, {"githubApp": "5DLabs-Rex"})[0] == 200
    for other in ("5DLabs-Cleo", "", None):
        status, answer = desk.change("coderuns", name, {"githubApp": other})
        assert (status, "githubApp cannot be changed once it is set" in answer["message"]) == (422, True)
    assert desk.change("coderuns", name, {"cancelRequested": "enough", "continueSession": True})[0] == 200


def test_retries_of_a_play_can_only_be_raised(desk: Desk) -> None:
    name = desk.made("plays", retries=2)
    status, answer = desk.change("plays", name, {"retries": 1})
    assert (status, "retries can only be raised" in answer["message"]) == (422, True)
    assert desk.change("plays", name, {"retries": 3})[0] == 200


def test_a_misspelt_field_of_a_play_is_reported(desk: Desk) -> None:
    status, answer = desk.create("plays", {**PLAY, "autoMerg": True})
    assert (status, answer["message"]) == (
        400,
        'Play in version "v1" cannot be handled as a Play: strict decoding error: unknown field "spec.autoMerg"',
    )


def test_another_version_of_the_api_is_not_there(desk: Desk) -> None:
    path = desk.path("coderuns").replace("/v1/", "/v2/")
    body = {"apiVersion": f"{GROUP}/v2", "kind": "CodeRun", "metadata": {"name": "new"}, "spec": MINIMAL}
    assert desk.cluster.call("POST", path, body)[0] == 404
    name = desk.made("coderuns")
    status, answer = desk.cluster.call("PATCH", desk.path("coderuns", name), {"apiVersion": f"{GROUP}/v2"}, content_type=MERGE)
    assert (status, "v2" in answer["message"]) == (422, True)


def test_kubectl_shows_runs_and_plays_as_people_want_to_read_them(desk: Desk) -> None:
    room = Desk(desk.cluster)
    run = room.made("coderuns", githubApp="5DLabs-Rex", stage="implementation")
    ready = {"type": "Ready", "status": "True", "reason": "Running"}
    play = room.made("plays", service="api")
    waiting = {"kind": "gate", "reason": "ChecksPending"}
    for plural, name, status in (
        ("coderuns", run, {"phase": "Running", "conditions": [ready]}),
        ("plays", play, {"phase": "Running", "stage": "quality", "pullRequest": {"number": 12}, "waiting": waiting}),
    ):
        desk.cluster.call("PATCH", room.path(plural, f"{name}/status"), {"status": status}, content_type=MERGE)
    shown = room.cluster.kubectl("get", "cr,plays", "-n", room.namespace)
    tables = [[line.split() for line in table.splitlines()] for table in shown.strip().split("\n\n")]
    assert tables[0][0] == ["NAME", "TASK", "SERVICE", "AGENT", "STAGE", "PHASE", "REASON", "AGE"]
    assert tables[0][1][:-1] == [
        f"coderun.agents.platform/{run}", "1", "api", "5DLabs-Rex", "implementation", "Running", "Running",
    ]  # fmt: skip
    assert tables[1][0] == ["NAME", "TASK", "SERVICE", "PHASE", "STAGE", "ITERATION", "PR", "WAITING", "AGE"]
    assert tables[1][1][:-1] == [
        f"play.agents.platform/{play}", "3", "api", "Running", "quality", "1", "12", "ChecksPending",
    ]  # fmt: skip
    assert room.cluster.kubectl("get", "agents", "-n", room.namespace, "-o", "name").split() == [
        f"coderun.agents.platform/{run}",
        f"play.agents.platform/{play}",
    ]
    assert "Limit of one attempt in seconds" in room.cluster.kubectl("explain", "cr.spec.timeout")

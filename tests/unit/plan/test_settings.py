"""Where a run's repository is: its own on GitHub, the one there is on the local forge."""

import pytest
from tests.unit.plan.samples import EVERYBODY, MINIMAL, minimal_run

from coderun.model.errors import InvalidCodeRunError
from coderun.plan.order import ForgeRef
from coderun.plan.plan import plan
from coderun.plan.settings import RunSettings

HUB = ForgeRef(
    kind="github",
    location="https://ghes.example/api/v3",
    repository="https://ghes.example/acme/shop.git",
    web="https://ghes.example",
)


@pytest.mark.lesson(16)
def test_on_github_a_run_works_in_its_own_repository_and_not_in_that_of_the_documents() -> None:
    run = minimal_run("rex", repository_url="https://ghes.example/Acme/Tea.git", docs_repository_url="acme/docs")
    order = plan(run, EVERYBODY, RunSettings(forge=HUB), attempt=1).order
    assert order.forge.repository == "https://ghes.example/acme/tea.git"
    assert (order.forge.kind, order.forge.location) == ("github", "https://ghes.example/api/v3")


@pytest.mark.parametrize("url", ["https://github.com/acme/tea", "git@github.com:acme/tea.git", "github.com/acme/tea"])
def test_a_repository_on_another_host_is_refused_and_never_looked_for_here(url: str) -> None:
    with pytest.raises(InvalidCodeRunError) as refused:
        plan(minimal_run("rex", repository_url=url), EVERYBODY, RunSettings(forge=HUB), attempt=1)
    assert "spec.repositoryUrl is on github.com, and this controller works with ghes.example" in str(refused.value)
    assert RunSettings(forge=HUB).forge_of("acme/tea", wanted_by="x").repository == "https://ghes.example/acme/tea.git"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/srv/shop", "CodeRun 'x': spec.repositoryUrl '/srv/shop' is a folder, and this controller works with GitHub; write"),
        ("file:///etc", "spec.repositoryUrl 'file:///etc' is a folder"),
        ("what is this?", "CodeRun 'x': spec.repositoryUrl: repository 'what is this?' is not understood; write owner/name"),
    ],
)
def test_what_is_no_repository_on_github_can_never_run_and_the_field_is_named(url: str, said: str) -> None:
    with pytest.raises(InvalidCodeRunError) as refused:
        RunSettings(forge=HUB).forge_of(url, wanted_by="x")
    assert said in str(refused.value)
    without_address = ForgeRef(kind="github", location="", repository="r")
    assert RunSettings(forge=without_address).forge_of(url, wanted_by="x") == without_address


def test_the_local_forge_holds_one_repository_whatever_a_run_calls_it() -> None:
    assert MINIMAL.forge_of("acme/shop", wanted_by="x") == MINIMAL.forge

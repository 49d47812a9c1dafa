"""Orders: what follows for a run from its agent and its forge."""

from typing import Any

import msgspec
import pytest
from tests.unit.plan.samples import EVIDENCE, MINIMAL, ROSTER, minimal_run

from coderun.plan.order import GITHUB, ForgeRef
from coderun.plan.plan import plan

ON_GITHUB = ForgeRef(kind=GITHUB, location="https://api.github.com", repository="https://github.com/acme/shop.git")


@pytest.mark.parametrize(
    ("agent", "stage", "on_github", "may_push"),
    [
        ("rex", "implementation", True, True),
        ("cleo", "quality", True, True),
        ("tess", "testing", True, False),
        ("tess", "testing", False, True),
        ("tess", "implementation", True, True),
    ],
)
def test_on_github_an_agent_that_only_reviews_may_not_push(agent: str, stage: str, on_github: bool, may_push: bool) -> None:
    settings: Any = msgspec.structs.replace(MINIMAL, forge=ON_GITHUB) if on_github else MINIMAL
    run = minimal_run(agent, stage=stage, evidence=EVIDENCE[stage])
    assert plan(run, ROSTER, settings, attempt=1).order.agent.may_push is may_push

"""docs/pods.md says what pods have and what runs say as the code does."""

import base64
import re
from pathlib import Path

from tests.docs.pages import blocks, read
from tests.unit.plan.samples import minimal_run

from coderun.kube import manifests
from coderun.model.roster import Agent
from coderun.plan.needs import needed_by
from coderun.runtime import pods

PAGE = read("docs/pods.md")
ROOT = Path(__file__).parents[2]
SOURCES = "\n".join(
    (ROOT / "src" / "coderun" / name).read_text(encoding="utf-8")
    for name in ("plan/lifecycle.py", "reconcile/coderun.py", "runtime/pods.py", "agent/ending.py", "agent/program.py")
)


def table(heading: str) -> list[str]:
    """First cells of the tables under a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)


def test_the_paths_are_those_of_the_manifests() -> None:
    paths = table("What a pod has")
    assert paths == [manifests.WORKSPACE_FOLDER, manifests.ORDER_FOLDER, manifests.TOKEN_FOLDER, manifests.RUNS_FOLDER]


def test_every_reason_and_every_beginning_of_a_message_is_one_that_the_code_writes() -> None:
    words = table("What a run says")
    assert len(words) == 21
    missing = [word for word in words if word not in SOURCES and word.rstrip() not in SOURCES]
    assert missing == []
    assert pods.INTERRUPTED in words


def test_the_requirements_on_the_page_give_what_the_page_says() -> None:
    (text,) = (block.text for block in blocks("docs/pods.md") if block.language == "yaml")
    found = needed_by(minimal_run("rex", task_requirements=base64.b64encode(text.encode()).decode()), Agent(name="rex"))
    assert found.env == {"LOG_LEVEL": "debug", "WORKERS": "4"}
    assert [(one.name, one.secret_name, one.secret_key) for one in found.pod.secret_env] == [
        ("DB_PASSWORD", "shop-db", "password")
    ]
    assert found.pod.secret_sets == ("shop-all",)


def test_the_image_on_the_page_goes_back_to_the_user_that_pods_run_as() -> None:
    (text,) = (block.text for block in blocks("docs/pods.md") if block.language == "dockerfile")
    steps = text.splitlines()
    assert steps[0] == "FROM registry.example/coderun/agent"
    assert [step for step in steps if step.startswith("USER")] == ["USER 0", "USER 1000:1000"]
    assert steps[-1] == "USER 1000:1000"

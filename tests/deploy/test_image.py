"""The Dockerfile, read: who the images run as, that nothing in them is fetched unpinned, and that it builds what tests run."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.tools.fetch_claude import MEMBER, PACKAGE, PACKAGE_VERSION

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "image"
TARGETS = ("controller", "agent")


class Step(NamedTuple):
    word: str
    rest: str


def stages() -> dict[str, list[Step]]:
    """The instructions of each stage, by its name; "" holds those before the first."""
    text = re.sub(
        r"\\\n", " ", "\n".join(line for line in read("Dockerfile").splitlines() if not line.lstrip().startswith("#"))
    )
    found: dict[str, list[Step]] = {"": []}
    name = ""
    for line in filter(None, (line.strip() for line in text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            name = rest.partition(" AS ")[2]
            found[name] = []
        found[name].append(Step(word, re.sub(r"\s+", " ", rest).strip()))
    return found


def read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def of(target: str) -> list[Step]:
    """All instructions a target is built by, those of the stages it stands on first."""
    steps = stages()[target]
    below = steps[0].rest.partition(" AS ")[0]
    return [*(of(below) if below in stages() else []), *steps]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_user_without_rights(target: str) -> None:
    users = [step.rest for step in of(target) if step.word == "USER"]
    assert users == ["1000:1000"]
    assert [step.rest for step in of(target) if step.word == "ENTRYPOINT"] == ['["coderun"]']
    later = of(target)[[step.word for step in of(target)].index("USER") :]
    assert [step for step in later if step.word == "RUN"] == []


@pytest.mark.lesson(33)
def test_nothing_is_fetched_that_is_not_pinned() -> None:
    steps = [step for stage in stages().values() for step in stage]
    assert not [step for step in steps if step.word == "ADD"]
    installs = [step.rest for step in steps if step.word == "RUN" and "pip" in step.rest]
    assert len(installs) == 3
    assert "--require-hashes --no-deps --requirement requirements/run.lock" in installs[0]
    assert installs[1] == "/opt/coderun/bin/pip install --no-deps --no-build-isolation ."
    assert (
        'pip download --no-deps --only-binary=:all: --dest /wheel "claude-agent-sdk==${CLAUDE_AGENT_SDK_VERSION}"'
        in installs[2]
    )
    assert not re.search(r"curl|wget|npm|:latest|git clone", "\n".join(step.rest for step in steps))


def test_all_stages_stand_on_one_base_of_a_python_that_the_project_takes() -> None:
    (base,) = stages()[""]
    found = re.fullmatch(r"PYTHON_IMAGE=docker\.io/library/python:(3\.\d+)-slim-bookworm", base.rest)
    assert found is not None
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert wanted == ">=3.11"
    assert int(found[1].partition(".")[2]) >= 11
    foreign = {steps[0].rest.partition(" AS ")[0] for name, steps in stages().items() if name}
    assert foreign == {"${PYTHON_IMAGE}", "base"}


def test_the_claude_code_of_the_image_is_the_one_of_the_tests() -> None:
    claude = " ".join(f"{step.word} {step.rest}" for step in stages()["claude"])
    assert f"ARG CLAUDE_AGENT_SDK_VERSION={PACKAGE_VERSION}" in claude
    assert PACKAGE == "claude-agent-sdk"
    assert f"/wheel/unpacked/{MEMBER}" in claude


def test_the_image_has_what_a_run_needs_of_its_system() -> None:
    packages = next(step.rest for step in stages()["base"] if "apt-get install" in step.rest)
    assert {"git", "ca-certificates", "procps"} <= set(packages.split())


def test_everything_that_is_copied_is_there_and_is_let_into_the_build() -> None:
    let_in = {line.removeprefix("!") for line in read("Dockerfile.dockerignore").splitlines() if line.startswith("!")}
    copied = [step.rest.split()[:-1] for stage in stages().values() for step in stage if step.word == "COPY"]
    names = {name for words in copied if not words[0].startswith("--from") for name in words}
    assert names == let_in
    assert all((ROOT / name).exists() for name in names)


@pytest.mark.parametrize("stage", [name for name, steps in stages().items() if any(step.word == "RUN" for step in steps)])
def test_the_shell_of_the_image_is_sound(stage: str) -> None:
    script = "\n".join(step.rest for step in stages()[stage] if step.word == "RUN")
    given = "".join(f"{step.rest}\n" for step in stages()[stage] if step.word == "ARG")
    checked = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), "--shell=sh", "-"],
        input=f"set -eu\n{given}{script}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout

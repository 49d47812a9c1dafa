"""What commands print for programs and for people, and how they end."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.kit import Place
from tests.integration.cli.conftest import Coderun

from coderun.model.yaml import load

PAGE = (Path(__file__).parents[3] / "docs" / "commands.md").read_text(encoding="utf-8")
ROWS = {
    found["command"]: re.findall(r"`([\w.]+)`", found["fields"])
    for found in re.finditer(r"^\| `(?P<command>coderun [^`]+)` \|[^|]+\| (?P<fields>[^|]+) \|$", PAGE, re.MULTILINE)
}
RUN_FIELDS = ROWS["coderun get runs"]
PULL_FIELDS = ROWS["coderun pr list"]


def fields(command: str) -> list[str]:
    return {
        "coderun run": RUN_FIELDS,
        "coderun pr show": [*PULL_FIELDS, "body", "comments"],
    }.get(command, ROWS[command])


def is_clean(text: str) -> bool:
    return not any(ord(char) < 32 and char not in "\n\t" for char in text) and "\u202e" not in text


def lookup(data: Any, path: str) -> bool:
    """Whether a field is there, whatever its value; a list is looked at in its first element."""
    for name in path.split("."):
        data = data[0] if isinstance(data, list) else data
        if not isinstance(data, dict) or name not in data:
            return False
        data = data[name]
    return True


@pytest.mark.parametrize(
    ("words", "output"),
    [
        ("get", "json"),
        ("get plays 1", "yaml"),
        ("get runs", "yaml"),
        ("get runs 2", "json"),
        ("get forge", "json"),
        ("why 1", "json"),
        ("why 3", "yaml"),
        ("pr list", "json"),
        ("pr show 1", "yaml"),
        ("pr checks 1", "json"),
        ("events list", "json"),
        ("doctor", "json"),
    ],
)
def test_programs_get_every_field_that_the_page_promises(coderun: Coderun, words: str, output: str) -> None:
    done = coderun(*words.split(), "-o", output)
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout) if output == "json" else load(done.stdout, name="out").data
    row = " ".join(["coderun", *(word for word in words.split() if not re.search(r"\d|plays", word))])
    if data != []:
        assert [path for path in fields(row) if not lookup(data, path)] == []
    assert is_clean(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("get", ["play-shop-1", "play-shop-2", "play-shop-3"]),
        ("get runs", ["play-shop-2-implementation-1-1"]),
        ("why 3", ["play-shop-3"]),
        ("pr show 1", ["1"]),
    ],
)
def test_names_are_one_a_line(coderun: Coderun, words: str, names: list[str]) -> None:
    assert coderun(*words.split(), "-o", "name").stdout.splitlines() == names


@pytest.mark.slow
def test_the_name_of_the_forge_is_a_repository_to_pull_from(coderun: Coderun, shop: Place) -> None:
    name = coderun("get", "forge", "-o", "name").stdout.rstrip("\n")
    assert shop.git("ls-remote", name, "refs/heads/main").endswith("refs/heads/main")


@pytest.mark.parametrize("words", ["get", "get runs", "why 1 --history", "why 3", "pr list", "pr show 1"])
def test_people_get_clean_text(coderun: Coderun, words: str) -> None:
    done = coderun(*words.split())
    assert done.returncode == 0
    assert is_clean(done.stdout + done.stderr)
    assert done.stdout.strip()


def test_why_tells_people_all_it_knows(coderun: Coderun) -> None:
    lines = coderun("why", "1").stdout.splitlines()
    assert lines[0] == "play-shop-1 (task 1): Waiting, stage merge, iteration 1"
    names = [line.split(":", 1)[0].strip() for line in lines[1:]]
    assert names == ["waits for", "reason", "since", "would move", "moved by", "controller"]
    assert "waits for:   somebody merges ti'tle red next" in "\n".join(lines)
    assert "a controller, as none is running: `coderun up`; then `coderun pr merge 1`" in "\n".join(lines)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("why 99", 4, "error: there is no play '99'; known plays: play-shop-1, play-shop-2, play-shop-3"),
        pytest.param("why play-shpo-1", 4, "did you mean 'play-shop-1'?", marks=pytest.mark.slow),
        pytest.param("logs 9", 4, "error: there is no run or play '9'", marks=pytest.mark.slow),
        pytest.param("pr show 7", 4, "error: there is no pull request 7", marks=pytest.mark.slow),
        ("pause 3", 6, "error: play play-shop-3 has ended (Failed) and cannot be paused"),
        ("play --task 7", 2, "error: there is no task 7 (known tasks: 1, 2)"),
        pytest.param("play --task 0", 2, "error: there is no task 0: ids start at 1", marks=pytest.mark.slow),
        ("play", 2, "error: say what to play: --task N, --tasks 1-5,8, --next, --all, a Markdown file, or a sentence"),
        pytest.param("play --task 1 --all", 2, "error: --task and --all exclude each other", marks=pytest.mark.slow),
        pytest.param(
            "run --agent max --task 1", 2, "error: there is no agent 'max' in the roster (known: ", marks=pytest.mark.slow
        ),
        ("get -C /nowhere/at/all", 2, "error: /nowhere/at/all is no folder; name one inside a git repository"),
        pytest.param("demo --dir .", 2, "is not empty; name a new folder with --dir", marks=pytest.mark.slow),
        ("demo --dir coderun.yaml", 2, "the demo cannot work in"),
    ],
)
def test_errors_are_one_line_with_a_code(coderun: Coderun, words: str, code: int, message: str) -> None:
    done = coderun(*words.split())
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("words", ["get", "watch", "play --all", "up", "init", "pr list"])
def test_outside_a_repository_every_command_says_so(coderun: Coderun, tmp_path: Path, words: str) -> None:
    done = coderun(*words.split(), cwd=tmp_path, GIT_CEILING_DIRECTORIES=str(tmp_path.parent))
    assert done.returncode == 2
    assert "is not in a git repository; go into one, or make one with `git init` and commit first" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("words", ["watch", "logs 1", "pr list"])
def test_where_nothing_was_played_every_command_says_how_to_start(
    coderun: Coderun, shop: Place, tmp_path: Path, words: str
) -> None:
    done = coderun(*words.split(), XDG_STATE_HOME=str(tmp_path / "empty"))
    assert done.returncode == 4, done.stderr
    assert "coderun play" in done.stderr
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(("words", "code"), [("get", 0), ("why 1 --history", 0), ("--help", 1)])
def test_a_reader_who_leaves_early_gets_no_traceback(shop: Place, words: str, code: int) -> None:
    argv = [sys.executable, "-m", "coderun.cli.main", *words.split()]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            argv, cwd=shop.repository, env=shop.environment, stdout=write, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(write)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr.lower()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", ["get", "get -o json", "--help", "pr diff 1"])
def test_a_full_disk_behind_the_output_is_said_in_one_line(shop: Place, words: str) -> None:
    argv = [sys.executable, "-m", "coderun.cli.main", *words.split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            argv, cwd=shop.repository, env=shop.environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (5, 1), done.stderr
    assert done.stderr.startswith("error: the disk is full, as it seems where the output goes")


def test_where_the_folder_is_gone_that_is_said(shop: Place, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'rmdir "$PWD" && exec "$0" -m coderun.cli.main get'
    argv = ["sh", "-c", script, sys.executable]
    done = subprocess.run(argv, cwd=gone, env=shop.environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "error: the folder this command was typed in is gone; go into one that is there\n",
    )


def test_a_play_may_be_named_alone_and_what_is_neither_is_refused(coderun: Coderun) -> None:
    for name in ("2", "play-shop-2"):
        assert coderun("get", name, "-o", "name").stdout == "play-shop-2\n"
    assert coderun("get", "77").returncode == 4
    wrong = coderun("get", "plyas")
    assert wrong.returncode == 2
    assert "'plyas' is not one of 'plays', 'runs', 'forge', nor a play" in " ".join(wrong.stderr.split())


def test_steering_says_that_nobody_carries_it_out_where_no_controller_runs(coderun: Coderun) -> None:
    paused = coderun("pause", "2")
    assert paused.stdout == (
        "play play-shop-2: paused; `coderun resume` goes on; no controller is running, `coderun up` carries it out\n"
    )
    assert coderun("resume", "2").stdout.startswith("play play-shop-2: resumed; no controller is running")
    approved = coderun("approve", "2")
    again = coderun("approve", "2")
    assert (
        approved.stdout
        == again.stdout
        == (
            "play play-shop-2: stage implementation approved by ada for no commit yet; "
            "no controller is running, `coderun up` carries it out\n"
        )
    )
    cancelled = coderun("cancel", "2", "--reason", "too slow")
    assert cancelled.stdout.startswith("run play-shop-2-implementation-1-1: is being cancelled")
    assert coderun("get", "runs", "2", "-o", "json").stdout.count('"cancelRequested": "too slow"') == 1


def test_a_title_of_a_task_never_becomes_markup_in_the_doctors_table(coderun: Coderun) -> None:
    done = coderun("doctor")
    assert done.returncode == 0
    assert is_clean(done.stdout)

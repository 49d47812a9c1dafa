"""`coderun pr`: what it prints, what it changes, how it ends."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.contracts.forge_contract import open_one, seen
from tests.integration.forge.local_place import LocalPlace, make_place
from typer.testing import CliRunner, Result

from coderun.cli.pr import app
from coderun.model.errors import NotFoundError, RefusedError
from coderun.model.pulls import Check, CheckState, NewPullRequest, PullState, ReviewState

HOSTILE = "ti'tle \x1b]0;owned\x07\x1b[31m $(id) \u202e\r\nnext"


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[LocalPlace]:
    """A place with one open pull request, outside of any event loop: each command runs its own."""

    async def make() -> LocalPlace:
        place = await make_place(tmp_path, "rex", "cleo", "tess")
        await open_one(place, title=HOSTILE)
        return place

    made = asyncio.run(make())
    yield made
    made.close()


def run(place: LocalPlace, *arguments: str, by: str = "", stdin: str = "") -> Result:
    return CliRunner().invoke(app, list(arguments), obj=lambda: place.open(by), input=stdin)


def ok(place: LocalPlace, *arguments: str, by: str = "", stdin: str = "") -> str:
    result = run(place, *arguments, by=by, stdin=stdin)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_the_list_shows_open_ones_without_control_characters(ready: LocalPlace) -> None:
    text = ok(ready, "list")
    assert "ti'tle $(id) next" in text
    assert "feature/task-7-x" in text
    assert "rex[bot]" in text
    assert not any(ord(c) < 32 and c != "\n" for c in text)
    assert "\u202e" not in text


def test_the_list_speaks_json_yaml_and_names(ready: LocalPlace) -> None:
    [pull] = json.loads(ok(ready, "list", "-o", "json"))
    assert (pull["number"], pull["state"], pull["author"]["login"]) == (1, "open", "rex[bot]")
    [same] = yaml.safe_load(ok(ready, "list", "-o", "yaml"))
    assert same["headSha"] == pull["headSha"]
    assert ok(ready, "list", "-o", "name") == "1\n"


def test_the_list_is_cut_by_state_and_task(ready: LocalPlace) -> None:
    assert "no merged pull request" in ok(ready, "list", "--state", "merged")
    assert ok(ready, "list", "--task", "7", "-o", "name") == "1\n"
    assert json.loads(ok(ready, "list", "--task", "8", "--state", "all", "-o", "json")) == []


def test_show_tells_everything_of_one(ready: LocalPlace) -> None:
    ok(ready, "comment", "1", "-m", "one\n\x1b[2Jtwo", by="cleo")
    ok(ready, "label", "#1", "ready-for-qa", "second", by="cleo")
    text = ok(ready, "show", "1")
    for part in ("#1 ti'tle", "open, clean with main", "ready-for-qa  by cleo[bot]", "cleo[bot] wrote", "  two", "Pushes"):
        assert part in text
    assert "\x1b" not in text
    assert [c["actor"]["login"] for c in json.loads(ok(ready, "show", "1", "-o", "json"))["comments"]] == ["cleo[bot]"]


def test_the_diff_is_a_patch(ready: LocalPlace) -> None:
    assert "+one\n" in ok(ready, "diff", "1")


def test_comments_and_reviews_come_from_stdin_too(ready: LocalPlace) -> None:
    ok(ready, "comment", "1", "--body", "-", stdin="x" * 1_000_000)
    ok(ready, "review", "1", "--request-changes", "--body", "-", by="tess", stdin="Fix it")
    data = json.loads(ok(ready, "show", "1", "-o", "json"))
    assert len(data["comments"][0]["body"]) == 1_000_000
    assert (data["reviews"][0]["state"], data["reviews"][0]["body"]) == ("changes_requested", "Fix it")


def test_a_review_says_one_thing(ready: LocalPlace) -> None:
    result = run(ready, "review", "1", "--approve", "--request-changes")
    assert result.exit_code == 2
    assert "exclude each other" in result.output
    result = run(ready, "review", "1")
    assert result.exit_code == 2
    assert "needs a text" in result.output


def test_a_comment_says_something(ready: LocalPlace) -> None:
    result = run(ready, "comment", "1", "-m", " \n")
    assert result.exit_code == 2
    assert "a comment needs a text" in result.output
    assert json.loads(ok(ready, "show", "1", "-o", "json"))["comments"] == []


def test_labels_come_and_go(ready: LocalPlace) -> None:
    ok(ready, "label", "1", "a", "b")
    assert json.loads(ok(ready, "unlabel", "1", "A", "c", "-o", "json"))["labels"][0]["name"] == "b"


def test_an_approved_one_is_merged(ready: LocalPlace) -> None:
    refused = run(ready, "merge", "1")
    assert isinstance(refused.exception, RefusedError)
    assert "no approving review" in str(refused.exception)
    own = run(ready, "review", "1", "--approve", by="rex")
    assert "rex[bot] opened pull request 1 and cannot approve it" in str(own.exception)
    ok(ready, "review", "1", "--approve", by="tess")
    assert "pull request 1 is merged into main as " in ok(ready, "merge", "1", "--squash")
    assert ready.base_files()["a.txt"] == "one\n"


def test_a_merge_of_another_head_than_the_one_named_is_refused(ready: LocalPlace) -> None:
    result = run(ready, "merge", "1", "--admin", "--head", "0" * 40)
    assert isinstance(result.exception, RefusedError)
    assert "by now" in str(result.exception)


def test_a_closed_one_is_closed(ready: LocalPlace) -> None:
    assert ok(ready, "close", "1") == "pull request 1 is closed\n"
    assert "no open pull request" in ok(ready, "list")


def test_checks_end_with_a_code_that_means_something(ready: LocalPlace) -> None:
    async def check(state: CheckState) -> None:
        forge = ready.open()
        pull = await seen(forge, 1)
        await forge.set_checks(pull.head_sha, [Check(name="lint\x1b[31m", state=state, summary="one\ntwo\x07")])
        forge.close()

    assert "no checks on this head" in ok(ready, "checks", "1")
    for state, code in ((CheckState.PENDING, 3), (CheckState.FAILED, 1), (CheckState.PASSED, 0)):
        asyncio.run(check(state))
        result = run(ready, "checks", "1")
        assert (result.exit_code, state.value in result.stdout) == (code, True)
        assert "\x1b" not in result.stdout


@pytest.mark.parametrize("number", ["0", "x", "-1", "1e3", "99999999999999999999", "٣"])
def test_a_number_that_is_none_is_wrong_usage(ready: LocalPlace, number: str) -> None:
    assert run(ready, "show", "--", number).exit_code == 2


def test_a_number_nobody_has_seen_is_not_found(ready: LocalPlace) -> None:
    result = run(ready, "show", "47")
    assert isinstance(result.exception, NotFoundError)
    assert "there is no pull request 47" in str(result.exception)


def test_every_command_explains_itself_with_an_example() -> None:
    for command in ("list", "show", "diff", "comment", "review", "label", "unlabel", "checks", "merge", "close"):
        result = CliRunner().invoke(app, [command, "--help"])
        assert result.exit_code == 0
        assert f"coderun pr {command}" in result.output


def test_an_agent_within_a_run_finds_the_forge_by_its_order(ready: LocalPlace) -> None:
    order = ready.root / "order.json"
    reference = {"kind": "local", "location": str(ready.folder), "repository": str(ready.bare)}
    identity = {"name": "rex", "login": "rex[bot]", "email": "rex@x"}
    task = {"title": "T"}
    texts = {"coderun": "c", "job": "j", "attempt": 1, "stage": "s", "service": "v", "workspace": "w", "taskId": 7}
    order.write_text(
        json.dumps({**texts, "agent": identity, "task": task, "forge": reference, "baseBranch": "main", "branch": "x"})
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(ready.root),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "CODERUN_ORDER": str(order),
        **ready.environment("rex"),
    }
    command = [sys.executable, "-m", "coderun.cli.main", "pr", "label", "1", "from-a-run", "-o", "json"]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [mark] = json.loads(done.stdout)["labels"]
    assert (mark["name"], mark["actor"]["login"]) == ("from-a-run", "rex[bot]")


async def test_hostile_texts_come_back_as_data_only(place: LocalPlace) -> None:
    branch = "feature/task-3-\"'$(touch${IFS}pwned);`id`|&é"
    place.push(branch, {"a.txt": "x", "$(touch pwned2).txt": "y", "-rf": "z"}, by="rex")
    new = NewPullRequest(title=HOSTILE, body="\x1b[2J" + "é" * 500_000, head_branch=branch, base_branch="main")
    pull = await place.agent("rex").open_pull_request(new)
    await place.person().comment(pull.number, HOSTILE * 100)
    await place.agent("tess").review(pull.number, ReviewState.APPROVED, HOSTILE, head_sha=pull.head_sha)
    merged = await place.person().merge(pull.number, head_sha=pull.head_sha)
    assert merged.state is PullState.MERGED
    assert merged.body == new.body
    assert "\n" not in merged.title
    assert [p.number for p in await place.person().find_pull_requests(3)] == [pull.number]
    assert not [path for path in place.root.rglob("pwned*") if path.name in {"pwned", "pwned2"}]

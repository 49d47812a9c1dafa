"""`make demo-github`: everything it promises is seen, and what is not so makes it fail."""

import asyncio
import dataclasses
import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.demo_github.__main__ import show
from tests.demo_github.evidence import WEBHOOKS, Evidence, problems, rows
from tests.demo_github.trouble import Mischief

ROOT = Path(__file__).parents[2]


def good() -> Evidence:
    return Evidence(
        webhooks={"well": 9, **dict.fromkeys(WEBHOOKS, 2)},
        pushed="a" * 40,
        pushes_answered=1,
        expired=5,
        expired_run=("run-2", "Succeeded", 1),
        renewed=1,
        limited={"primary": 1, "secondary": 4},
        killed=[(10, 11)],
        killed_run=("run-1", "Succeeded", 1),
        second=6,
        starts=["1-implementation-1-1", "1-quality-1-1"],
        merged={1: 1, 2: 3, 3: 2},
        phases={1: "Succeeded", 2: "Succeeded", 3: "Succeeded"},
        scopes=[(1, {"contents": "read"})],
    )


def test_where_all_is_as_promised_nothing_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert problems(good()) == []
    assert show(good(), 61.0) == 0
    assert "3 of 3 tasks merged in 61 s; 0 of 13 promises broken" in capsys.readouterr().out


WRONG: list[tuple[dict[str, Any], str]] = [
    *(({"webhooks": {**dict.fromkeys(WEBHOOKS, 1), kind: 0}}, "there was none") for kind in WEBHOOKS),
    ({"pushed": ""}, "push during testing: nobody pushed while a task was being tested"),
    ({"pushes_answered": 0}, "push during testing: the push did not restart quality"),
    ({"expired": 0}, "token ended during a run: no token ended while a run was at work"),
    ({"expired_run": ("run-2", "Failed", 1)}, "token ended during a run: run run-2 ended as Failed"),
    ({"expired_run": ("run-2", "Succeeded", 2)}, "token ended during a run: run run-2 needed 2 attempts"),
    ({"renewed": 0}, "token ended during a run: no new token was given to run run-2"),
    ({"limited": {"primary": 1}}, "rate limits: no request met the secondary limit"),
    ({"limited": {}}, "rate limits: no request met the primary and the secondary limit"),
    ({"killed": []}, "controller killed (-9): no controller was killed"),
    ({"killed": [(10, 10)]}, "controller killed (-9): no other controller took over"),
    ({"killed_run": ("run-1", "Failed", 1)}, "run run-1, at work meanwhile, ended as Failed after 1 attempts"),
    ({"killed_run": ("run-1", "Succeeded", 2)}, "ended as Succeeded after 2 attempts"),
    ({"second": 0}, "a second controller: it ended with 0"),
    ({"second": None}, "a second controller: it ended with None"),
    ({"starts": ["1-quality-1-1", "1-quality-1-1"]}, "all of it: started twice: 1-quality-1-1"),
    ({"starts": []}, "all of it: no agent was started"),
    ({"scopes": [(None, {"contents": "read"})]}, "tokens: 1 tokens reach more than one repository, or too far"),
    ({"scopes": [(1, {"contents": "admin"})]}, "tokens: 1 tokens reach more than one repository, or too far"),
    ({"scopes": []}, "tokens: no token was given"),
    ({"merged": {1: 1, 2: 2}}, "the tasks: 2 tasks are merged instead of 3"),
    ({"phases": {1: "Succeeded", 2: "Failed", 3: "Succeeded"}}, "the tasks: task 2 is Failed"),
    ({"phases": {1: "Succeeded"}}, "the tasks: 1 plays instead of 3"),
    ({"broken": ["the tests of the merged branch fail: x"]}, "the tasks: the tests of the merged branch fail: x"),
]


@pytest.mark.parametrize(("change", "problem"), WRONG)
def test_anything_that_is_not_so_is_named_and_makes_it_fail(
    change: dict[str, Any], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = dataclasses.replace(good(), **change)
    assert [found for found in problems(seen) if problem in found]
    assert show(seen, 1.0) == 1
    said = capsys.readouterr()
    assert "NOT SO: " in said.out
    assert problem in said.err


def test_webhooks_meet_every_kind_of_trouble_and_half_of_them_none() -> None:
    mischief = Mischief(random.Random(3))
    for _ in range(20):
        mischief.take("push")
    assert mischief.met == {"well": 10, **dict.fromkeys(WEBHOOKS, 2)}


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_every_trouble_is_made_and_survived(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.demo_github", "--dir", str(tmp_path / "demo"),
        cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    said = out.decode()
    assert process.returncode == 0, said
    assert re.search(r"^3 of 3 tasks merged in \d+ s; 0 of 13 promises broken$", said, re.MULTILINE), said
    assert [row.trouble for row in rows(Evidence()) if f"\n{row.trouble} " not in said] == []


async def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.demo_github", "--dir", str(tmp_path), cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert "is not empty" in said.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]

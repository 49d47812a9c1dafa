import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.model import names
from coderun.model.names import (
    coderun_name,
    delivery_name,
    dns_label,
    is_dns_label,
    is_dns_subdomain,
    job_name,
    label_value,
    marker_path,
    play_name,
    shorten,
    task_branch,
    task_label,
    task_of_branch,
    task_of_label,
    workspace_name,
)

LABELS = st.text(alphabet="abcxyz019-", min_size=1, max_size=63).map(lambda text: text.strip("-") or "0")
NUMBERS = st.integers(1, 10**6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", True),
        ("a-1", True),
        ("1a", True),
        ("x" * 63, True),
        ("x" * 64, False),
        ("", False),
        ("-a", False),
        ("a-", False),
        ("A", False),
        ("a.b", False),
        ("a_b", False),
        ("a\n", False),
        ("ä", False),
        ("٣", False),
    ],
)
def test_a_dns_label_is_told_from_other_text(text: str, expected: bool) -> None:
    assert is_dns_label(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("api", "api"),
        ("My Service", "my-service"),
        ("--x--", "x"),
        ("a/b.c_d", "a-b-c-d"),
        ("$(rm -rf /)", "rm-rf"),
        ("a\nb", "a-b"),
        ("\x1b[31mred", "31mred"),
    ],
)
def test_text_becomes_a_dns_label(text: str, expected: str) -> None:
    assert dns_label(text) == expected


@pytest.mark.lesson(1)
@given(st.text())
def test_any_text_becomes_a_dns_label(text: str) -> None:
    assert is_dns_label(dns_label(text))


def test_text_without_anything_usable_is_told_apart_by_its_hash() -> None:
    assert dns_label("") != dns_label("日本") != dns_label("中国")
    assert dns_label("日本").startswith("x-")
    assert is_dns_label(dns_label("\ud800"))


def test_long_texts_that_differ_at_the_end_get_different_labels() -> None:
    one, other = dns_label("x" * 80 + "1"), dns_label("x" * 80 + "2")
    assert one != other
    assert len(one) == 63


@given(LABELS, st.integers(12, 63))
def test_a_name_that_fits_is_left_as_it_is(name: str, limit: int) -> None:
    short = shorten(name, limit=limit)
    assert short == name if len(name) <= limit else len(short) <= limit and is_dns_label(short)


MAKERS: dict[str, tuple[Callable[..., str], tuple[st.SearchStrategy[Any], ...]]] = {
    "play": (play_name, (LABELS, NUMBERS)),
    "coderun": (coderun_name, (LABELS, LABELS, NUMBERS, NUMBERS)),
    "job": (job_name, (NUMBERS, LABELS, LABELS, NUMBERS)),
    "workspace": (workspace_name, (LABELS, LABELS)),
}


@pytest.mark.lesson(1)
@pytest.mark.parametrize("kind", MAKERS)
@given(data=st.data())
def test_every_name_is_a_dns_label_of_at_most_63_characters(kind: str, data: st.DataObject) -> None:
    make, arguments = MAKERS[kind]
    values = [data.draw(argument) for argument in arguments]
    name = make(*values)
    assert is_dns_label(name), name
    assert make(*values) == name


LONG = st.builds("{}-{}".format, st.sampled_from(["x" * 50, "y-" * 26 + "z"]), LABELS).map(lambda text: text[:60].strip("-"))
APART: dict[str, tuple[Callable[..., str], tuple[st.SearchStrategy[Any], ...]]] = {
    "play": (play_name, (LONG, NUMBERS)),
    "coderun": (coderun_name, (LONG, st.sampled_from(["quality", "testing", "q" * 60]), NUMBERS, NUMBERS)),
    "job": (job_name, (NUMBERS, st.just("api"), LONG, NUMBERS)),
    "workspace": (workspace_name, (LONG, st.sampled_from(["rex", "blaze", "a" * 60]))),
}


@pytest.mark.lesson(1, 10)
@pytest.mark.parametrize("kind", APART)
@given(data=st.data())
def test_shortened_names_of_different_things_differ(kind: str, data: st.DataObject) -> None:
    make, arguments = APART[kind]
    one, other = (tuple(data.draw(argument) for argument in arguments) for _ in range(2))
    assert (make(*one) == make(*other)) == (one == other)


@pytest.mark.lesson(1)
def test_names_are_the_same_in_every_process() -> None:
    long = "very-long-name-of-a-service-of-somebody-who-likes-long-names-a-lot"
    calls = f"[n.play_name({long!r}, 7), n.coderun_name({long!r}, 'quality', 2, 3), n.job_name(7, 'api', {long!r}, 1)]"
    program = f"import json; from coderun.model import names as n; print(json.dumps({calls}))"
    source = str(Path(names.__file__).parents[2])
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": source, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    here = [play_name(long, 7), coderun_name(long, "quality", 2, 3), job_name(7, "api", long, 1)]
    assert [json.loads(text) for text in found] == [here, here]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (play_name("Acme-My.Repo", 7), "play-acme-my-repo-7"),
        (play_name("---", 7), "play-repository-7"),
        (play_name("x" * 70, 7), "play-" + "x" * 47 + "-5a77a9b2-7"),
        (coderun_name("play-demo-7", "quality", 2, 1), "play-demo-7-quality-2-1"),
        (job_name(7, "api", "cr", 2), "coderun-7-api-cr-2"),
        (workspace_name("api", "rex"), "workspace-api-rex"),
    ],
)
def test_names_read_as_documented(name: str, expected: str) -> None:
    assert name == expected


def test_a_shortened_name_keeps_what_people_look_for() -> None:
    long = "play-" + "x" * 58
    assert coderun_name(long, "quality", 2, 1).endswith("-quality-2-1")
    assert job_name(7, "api", long, 12).endswith("-12")
    assert workspace_name("s" * 60, "rex").endswith("-rex")
    assert play_name("s" * 60, 123456).endswith("-123456")


@pytest.mark.lesson(26)
@pytest.mark.parametrize(
    ("branch", "task"),
    [
        ("feature/task-7-implementation", 7),
        ("feature/task-7", 7),
        ("task-7", 7),
        ("task-7-fix", 7),
        ("task-7-", 7),
        ("task-007", 7),
        ("task-999999999", 999999999),
        ("task-7-$(touch x)`'\"", 7),
        ("task-0", None),
        ("task-1234567890", None),
        ("task-" + "9" * 5000, None),
        ("task-7x", None),
        ("hotfix/task-45", None),
        ("feature/hotfix/task-45", None),
        ("Feature/task-7", None),
        ("my-task-7", None),
        ("task-", None),
        ("task--7", None),
        ("task-٧", None),
        ("task-７", None),
        ("task-7\n", None),
        ("task-7-a\nb", None),
        ("\ntask-7", None),
        ("", None),
    ],
)
def test_a_head_branch_stands_for_a_task_in_two_forms_only(branch: str, task: int | None) -> None:
    assert task_of_branch(branch) == task


@pytest.mark.lesson(26)
@pytest.mark.parametrize(
    ("label", "task"),
    [
        ("task-7", 7),
        ("Task-7", 7),
        ("TASK-45", 45),
        ("task-007", None),
        ("task-0", None),
        ("task-7x", None),
        ("task-7-x", None),
        ("xtask-7", None),
        ("task-1234567890", None),
        ("task-٧", None),
        ("tas\N{KELVIN SIGN}-7", None),
        ("task-7\n", None),
        (" task-7", None),
        ("task 7", None),
        ("", None),
    ],
)
def test_a_label_stands_for_a_task_when_it_is_exactly_that(label: str, task: int | None) -> None:
    assert task_of_label(label) == task


@given(NUMBERS)
def test_what_is_written_for_a_task_is_read_as_that_task(task: int) -> None:
    assert task_of_branch(task_branch(task)) == task
    assert task_of_label(task_label(task)) == task
    assert marker_path(task) == f".coderun/tasks/task-{task}.json"


@given(st.text())
def test_reading_a_mark_never_fails_and_never_finds_a_task_below_one(text: str) -> None:
    assert (task_of_branch(text) or 1) >= 1
    assert (task_of_label(text) or 1) >= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", True),
        ("a.b-c.d", True),
        ("x" * 253, True),
        ("x" * 254, False),
        ("", False),
        ("a..b", False),
        ("A", False),
        ("a/b", False),
    ],
)
def test_a_dns_subdomain_is_told_from_other_text(text: str, expected: bool) -> None:
    assert is_dns_subdomain(text) is expected


@given(st.text())
def test_any_text_becomes_the_value_of_a_label(text: str) -> None:
    value = label_value(text)
    assert len(value) <= 63
    assert re.fullmatch(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?", value)
    assert label_value(value) == value


def test_what_is_the_value_of_a_label_stays_and_others_are_told_apart() -> None:
    assert label_value("Play_7.x") == "Play_7.x"
    assert not label_value("")
    assert len({label_value(text) for text in ("a b", "a  b", "!", "?", "a" * 64, "a" * 65)}) == 6


GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [
        (GUID, f"delivery-{GUID}"),
        (f"github-{GUID}", f"delivery-github-{GUID}"),
        ("local-17", "delivery-940780f6ec96c8face69dba21b3f03334e450908"),
    ],
)
def test_a_delivery_is_named_by_its_id(delivery: str, expected: str) -> None:
    assert delivery_name(delivery) == expected


@given(st.text(max_size=300), st.text(max_size=300))
def test_different_deliveries_have_different_names_that_kubernetes_takes(one: str, other: str) -> None:
    assert is_dns_label(delivery_name(one))
    assert (delivery_name(one) == delivery_name(other)) is (one == other)


def test_ids_that_differ_only_in_case_are_different_deliveries() -> None:
    assert delivery_name(GUID.upper()) != delivery_name(GUID)


@pytest.mark.parametrize("text", ["shop", "a" * 200, "play-" + "b" * 60])
def test_labels_of_plays_and_services_fit_github(text: str) -> None:
    labels = {names.run_label(text), names.service_label(text)}
    assert len(labels) == 2
    assert all(len(label) <= 50 and label.startswith(("run-", "service-")) for label in labels)

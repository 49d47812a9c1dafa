"""coderun.handlebars against handlebars.js: the same templates, the same data, the same text byte for byte.

`CODERUN_DIFFERENTIAL_TEMPLATES` makes the random part longer (default 800); the first seed is `CODERUN_DIFFERENTIAL_SEED`.
"""

import os
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.differential.differences import DIFFERENCES, Difference
from tests.differential.generator import PARTIALS, Generator, shown
from tests.differential.helpers import HELPERS, hook
from tests.differential.record import read, request
from tests.differential.reference import Reference

from coderun.handlebars import Template, TemplateError, escape_html

CASES = read()
TEMPLATES = int(os.environ.get("CODERUN_DIFFERENTIAL_TEMPLATES", "800"))
SEED = int(os.environ.get("CODERUN_DIFFERENTIAL_SEED", "0"))


def ours(
    template: str, context: Any, *, escape: bool = False, data: Any = None, hooks: tuple[str, ...] = (), **options: Any
) -> str | None:
    helpers = {**HELPERS, **{name: hook(name) for name in hooks}}
    try:
        made = Template(template, helpers=helpers, strict=False, escape=escape_html if escape else None, **options)
        return made.render(context, data)
    except TemplateError:
        return None


def compare(reference: Reference, made: Generator, *, escape: bool) -> bool:
    """Whether handlebars.js could render a random template; fails where the two differ."""
    template, data = made.template(), made.data()
    answer = reference.ask(template=template, context=data, partials=PARTIALS, escape=escape)
    assert ours(template, data, partials=PARTIALS, escape=escape) == answer.get("text"), f"{shown(template, data)}\n{answer}"
    return "text" in answer


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) >= 300


@pytest.mark.parametrize("group", sorted({case["group"] for case in CASES}))
def test_a_recorded_case_gives_what_handlebars_js_gave(group: str) -> None:
    wrong = []
    for case in CASES:
        if case["group"] == group:
            options = {key: case[key] for key in ("partials", "data", "escape", "hooks") if key in case}
            text = ours(case["template"], case["context"], **options)
            if text != case["expected"]:
                wrong.append((case["template"], case["expected"], text))
    assert wrong == []


def test_the_record_is_what_handlebars_js_says(reference: Reference) -> None:
    wrong = [case["template"] for case in CASES if reference.render(**request(case)) != case["expected"]]
    assert wrong == []


def test_random_templates_give_the_same_text(reference: Reference) -> None:
    print(f"seeds {SEED} to {SEED + TEMPLATES - 1}")
    valid = sum(compare(reference, Generator(Random(seed)), escape=seed % 4 == 0) for seed in range(SEED, SEED + TEMPLATES))
    assert valid > TEMPLATES * 0.8


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(chance=st.randoms(use_true_random=False), escape=st.booleans())
def test_templates_of_hypothesis_give_the_same_text(reference: Reference, chance: Random, escape: bool) -> None:
    compare(reference, Generator(chance), escape=escape)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.reason)
def test_a_kept_difference_is_ours(difference: Difference) -> None:
    assert ours(difference.template, difference.context, partials=difference.partials) == difference.ours


def test_a_kept_difference_is_theirs_as_well(reference: Reference) -> None:
    wrong = []
    for kept in DIFFERENCES:
        theirs = reference.render(template=kept.template, context=kept.context, partials=kept.partials)
        if theirs != kept.theirs:
            wrong.append((kept.reason, kept.theirs, theirs))
    assert wrong == []


def test_every_kept_difference_is_one() -> None:
    assert [kept.reason for kept in DIFFERENCES if kept.theirs == kept.ours] == []

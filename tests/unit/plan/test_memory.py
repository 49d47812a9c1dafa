"""What templates gave before is given again only where nothing they read is different."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.handlebars import Template
from coderun.plan.memory import Marks, Memory

TEMPLATE = """{{#if deep.flag}}{{a}} {{deep.text}}{{else}}{{b}}{{/if}}
{{#each items}}{{@index}}{{this}}{{../a}}{{/each}}{{json deep}}{{default c "none"}}{{#with deep}}{{text}}{{/with}}"""
VALUES = st.one_of(st.text(max_size=3), st.integers(0, 1), st.booleans(), st.sampled_from([0.0, 1.0, -0.0]))
CONTEXTS = st.fixed_dictionaries(
    {
        "a": VALUES,
        "b": VALUES,
        "c": st.none() | VALUES,
        "items": st.lists(VALUES, max_size=2),
        "deep": st.fixed_dictionaries({"flag": VALUES, "text": VALUES}),
    }
)


class Counted:
    """Renders a template, and how often."""

    def __init__(self, source: str) -> None:
        self.times = 0
        self._template = Template(source)

    def __call__(self, context: Mapping[str, Any]) -> str:
        self.times += 1
        return self._template.render(context)


def text(memory: Memory, context: dict[str, Any]) -> str:
    return memory.text(context, Marks(context)).text


@given(st.lists(CONTEXTS, min_size=2, max_size=12))
def test_it_gives_what_rendering_would(contexts: list[dict[str, Any]]) -> None:
    memory, template = Memory(Counted(TEMPLATE)), Template(TEMPLATE)
    for context in contexts:
        assert text(memory, context) == template.render(context)


def test_what_is_not_read_makes_no_difference_and_what_is_read_does() -> None:
    rendered = Counted("{{#if on}}{{a}}{{else}}{{b}}{{/if}}")
    memory = Memory(rendered)
    assert text(memory, {"on": True, "a": "A", "b": "B"}) == "A"
    assert text(memory, {"on": True, "a": "A", "b": "other"}) == "A"
    assert rendered.times == 1
    assert text(memory, {"on": False, "a": "A", "b": "other"}) == "other"
    assert text(memory, {"on": True, "a": "A", "b": "B"}) == "A"
    assert rendered.times == 2


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (1, 1.0), (0, False), (0.0, -0.0), ("1", 1), ("none", None), ([1], [True])]
)
def test_values_that_are_equal_and_not_the_same_are_told_apart(one: object, other: object) -> None:
    template = Template("{{json x}}")
    memory = Memory(Counted("{{json x}}"))
    for value in (one, other, one):
        assert text(memory, {"x": value}) == template.render({"x": value})


def test_a_variable_that_is_missing_is_a_value_of_its_own() -> None:
    rendered = Counted('{{default x "none"}}')
    memory = Memory(rendered)
    assert [text(memory, context) for context in ({}, {"x": "one"}, {})] == ["none", "one", "none"]
    assert rendered.times == 2


def test_a_template_that_reads_everything_is_not_remembered() -> None:
    rendered = Counted("{{json this}}")
    memory = Memory(rendered)
    assert [text(memory, {"x": number}) for number in (1, 2, 1)] == ['{"x":1}', '{"x":2}', '{"x":1}']
    assert rendered.times == 3


def test_a_template_that_always_differs_is_given_up() -> None:
    rendered = Counted("{{x}}")
    memory = Memory(rendered)
    for number in range(100):
        assert text(memory, {"x": number}) == str(number)
    assert text(memory, {"x": 99}) == "99"
    assert rendered.times == 101


def test_an_error_speaks_of_the_context_itself() -> None:
    source, context = "{{x.y}}", {"x": {"z": 1}}
    with pytest.raises(Exception, match="y") as plain:
        Template(source).render(context)
    with pytest.raises(type(plain.value)) as remembered:
        text(Memory(Counted(source)), context)
    assert str(remembered.value) == str(plain.value)


def test_faults_are_kept_with_the_text() -> None:
    memory = Memory(Counted("{{x}}"))
    first = memory.text({"x": "a"}, Marks({"x": "a"}))
    assert first.faults is None
    first.faults = ("wrong",)
    assert memory.text({"x": "a"}, Marks({"x": "a"})).faults == ("wrong",)

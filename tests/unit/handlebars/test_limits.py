"""Every limit ends in a clean error, and none of the known ways to hurt an engine hurts this one."""

import re
import time
from typing import Any

import pytest

from coderun.handlebars import Limits, OptionsHelper, Template, TemplateError, TemplateRenderError, TemplateSyntaxError

SOON = 5.0
"""Seconds of the processor's time: a busy machine takes none of it."""


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{" * 100_000, "parentheses|unclosed|unexpected|expected"),
        ("{{a " * 100_000, "unclosed tag"),
        ("{{#if a}}" * 100_000, "blocks nested more than 200 deep"),
        ("{{#if a}}" * 201 + "{{/if}}" * 201, "1:1801: blocks nested more than 200 deep"),
        ("{{#if a}}" + "{{else if b}}" * 300 + "{{/if}}", "blocks nested more than 200 deep"),
        ("{{concat " + "(concat " * 100_000 + "1" + ")" * 100_000 + "}}", "parentheses nested more than 200 deep"),
        ("{{a}}" * 20_001, "more than 20000 tags in one template"),
        ("{{{{raw}}}}" * 50_000, "unclosed raw block"),
        ("{{!--" + "-" * 500_000, "unclosed comment"),
        ('{{a "' + '\\"' * 400_000, "unclosed tag"),
        ("x" * (1 << 20) + "y", "the template is longer than 1048576 bytes"),
        ("é" * (1 << 19) + "y", "the template is longer than 1048576 bytes"),
        ("{{a" + ".b" * 5000 + "}}", "missing variable"),
    ],
    ids=lambda value: value[:20],
)
def test_a_hostile_template_ends_in_an_error_soon(template: str, message: str) -> None:
    start = time.thread_time()
    with pytest.raises(TemplateError, match=message):
        Template(template).render({"a": 1})
    assert time.thread_time() - start < SOON


@pytest.mark.parametrize(
    ("template", "length"),
    [
        ("x" * (1 << 20), 1 << 20),
        ("\\" * 100_000 + "{{a}}", 100_000),
        ("\n" * 100_000 + "{{a}}" + "\n" * 100_000 + "{{a}}", 200_002),
        ("{" * 1 + "} { " * 200_000, 800_001),
        ("{{a}}\n" * 5000, 10_000),
        ("{{#if a}}" * 200 + "x" + "{{/if}}" * 200, 1),
        ("{{#each l}}" * 200 + "{{@index}}" + "{{/each}}" * 200, 1),
        ("{{#with o}}" * 200 + "x" + "{{/with}}" * 200, 0),
        ("{{#b}}" * 60 + "x" + "{{/b}}" * 60, 1),
        ("{{concat " + "(concat " * 199 + "1" + ")" * 199 + "}}", 1),
        ("{{#if a}}" + "{{else if b}}" * 199 + "{{/if}}", 0),
        ("{{concat" + " 'x'" * 5000 + "}}", 5000),
        ("{{#if " + "(or b " * 199 + "a" + ")" * 199 + "}}y{{/if}}", 1),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_large_but_sound_template_renders(template: str, length: int) -> None:
    start = time.thread_time()
    nested: Any = [1]
    made = Template(template, strict=False, helpers={"b": OptionsHelper(lambda options: options.fn(options.context))})
    assert len(made.render({"a": 1, "l": nested, "o": {}})) == length or length == 1
    assert time.thread_time() - start < SOON


def test_contexts_of_two_hundred_nested_loops_are_all_in_reach() -> None:
    data: dict[str, Any] = {"name": "inner"}
    for _ in range(199):
        data = {"l": [data]}
    template = "{{#each l}}" * 199 + "{{name}}{{" + "../" * 199 + "top}}" + "{{/each}}" * 199
    assert Template(template).render({**data, "top": "T"}) == "innerT"


def test_partials_nested_too_deeply_are_an_error() -> None:
    with pytest.raises(TemplateRenderError, match=re.escape("partials nested more than 100 deep (recursive partial 'a'?)")):
        Template("{{> a}}", partials={"a": "{{> b}}", "b": "{{> a}}"}).render({})


def test_a_partial_that_recurses_in_each_ends() -> None:
    loop: list[Any] = []
    loop += [loop, loop]
    with pytest.raises(TemplateRenderError, match="partials nested more than 100 deep"):
        Template("{{> a}}", partials={"a": "{{#each this}}{{> a}}{{/each}}"}).render(loop)


def test_recursion_that_ends_is_legal() -> None:
    tree: dict[str, Any] = {"n": 0, "kids": []}
    for number in range(1, 60):
        tree = {"n": number, "kids": [tree]}
    assert Template("{{> a}}", partials={"a": "{{n}}{{#each kids}}{{> a}}{{/each}}"}).render(tree).startswith("5958")


def test_partials_that_double_without_printing_end() -> None:
    partials = {f"p{number}": f"{{{{> p{number + 1}}}}}{{{{> p{number + 1}}}}}" for number in range(60)} | {"p60": ""}
    with pytest.raises(TemplateRenderError, match="rendering took more than 10000 steps"):
        Template("{{> p0}}", partials=partials, limits=Limits(steps=10_000)).render({})


def test_loops_that_print_nothing_end() -> None:
    with pytest.raises(TemplateRenderError, match=r"^template:1:\d+: rendering took more than 2000000 steps"):
        Template("{{#each l}}" * 4 + "{{/each}}" * 4, strict=False).render(
            {"l": [{"l": [{"l": [{"l": [1] * 300}] * 300}] * 300}] * 300}
        )


@pytest.mark.parametrize(
    "template", ["{{#each l}}{{@root.s}}{{/each}}", "{{#each l}}{{> p}}{{/each}}", "{{#l}}{{@root.s}}{{/l}}"]
)
def test_the_output_is_limited(template: str) -> None:
    made = Template(template, partials={"p": "{{@root.s}}"}, limits=Limits(output_chars=100_000))
    with pytest.raises(TemplateRenderError, match="the output is longer than 100000 characters"):
        made.render({"l": [1] * 1000, "s": "x" * 1000})


def test_the_output_may_be_as_long_as_the_limit() -> None:
    assert Template("{{s}}", limits=Limits(output_chars=10)).render({"s": "x" * 10}) == "x" * 10


@pytest.mark.parametrize(
    "template", ["{{#each l}}{{#each ../l}}{{/each}}{{/each}}", "{{#each l}}{{> p}}{{/each}}", "{{#each l}}{{@index}}{{/each}}"]
)
def test_a_deadline_ends_a_rendering(template: str) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.01
        return now[0]

    made = Template(template, partials={"p": ""}, limits=Limits(deadline_seconds=0.5, clock=clock))
    with pytest.raises(TemplateRenderError, match=r"rendering took longer than 0\.5 seconds"):
        made.render({"l": [1] * 1000})


def test_a_deadline_that_is_far_changes_nothing() -> None:
    assert Template("{{#each l}}{{this}}{{else}}-{{/each}}", limits=Limits(deadline_seconds=60)).render({"l": [1, 2]}) == "12"


def test_limits_can_be_set() -> None:
    for limits, template in (
        (Limits(nesting=2), "{{#a}}{{#a}}{{#a}}{{/a}}{{/a}}{{/a}}"),
        (Limits(tags=1), "{{a}}{{a}}"),
        (Limits(source_bytes=3), "1234"),
    ):
        with pytest.raises(TemplateSyntaxError, match=r"more than|longer than"):
            Template(template, limits=limits)


def test_deeply_nested_data_ends_in_an_error() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    for template in ("{{this}}", "{{json this}}", "{{> p}}"):
        with pytest.raises(TemplateRenderError):
            Template(template, partials={"p": "{{#each this}}{{> p}}{{/each}}"}).render(deep)


def test_compile_time_grows_with_the_number_of_tags_and_no_faster() -> None:
    def seconds(times: int) -> float:
        start = time.process_time()
        Template("line {{a}} {{#if b}}x{{else}}y{{/if}}\n" * times)
        return time.process_time() - start

    seconds(50)
    assert seconds(2000) < 20 * max(seconds(250), 0.004)

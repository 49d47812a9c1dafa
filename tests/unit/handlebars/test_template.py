"""Templates and environments as their users see them."""

import subprocess
import sys
import threading
from collections import OrderedDict, defaultdict
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.handlebars import (
    Environment,
    Limits,
    OptionsHelper,
    Template,
    TemplateRenderError,
    TemplateSyntaxError,
    escape_html,
)
from coderun.handlebars import compiler as compiler_module
from coderun.handlebars.parser import parse
from coderun.handlebars.source import Source


@given(st.text())
def test_text_without_braces_is_rendered_as_it_is(text: str) -> None:
    plain = text.replace("{{", "")
    assert Template(plain).render({}) == plain


@pytest.mark.lesson(17)
@given(st.text())
def test_a_value_is_printed_as_it_is_without_an_escape(text: str) -> None:
    assert Template("[{{x}}]{{{x}}}").render({"x": text}) == f"[{text}]{text}"


@given(st.text(), st.text())
def test_text_of_a_template_never_becomes_code(text: str, key: str) -> None:
    safe = text.replace("{", "").replace("\\", "").replace('"', "")
    segment = key.replace("]", "").replace("\\", "")
    template = Template(f'{safe}{{{{concat "{safe}" [{segment}]}}}} {safe}')
    assert template.render({segment: "v"}) == f"{safe}{safe}v {safe}"


def test_generated_code_reaches_no_builtins() -> None:
    program = parse(Source("t", "{{a}}"), Limits())
    made = compiler_module.generate(Source("t", "{{a}}"), program, {}, escape=None, strict=True)
    assert set(made.main.__globals__["__builtins__"]) == {"len"}


@pytest.mark.parametrize(
    "path", ["__class__", "x.__class__.__mro__", "x.upper", "f.__globals__", "x.[__class__]", "o.attribute", "o.items"]
)
def test_no_python_attribute_can_be_read(path: str) -> None:
    class Thing(dict[str, Any]):
        attribute = "secret"

    context = {"x": "text", "f": test_no_python_attribute_can_be_read, "o": Thing(y=1)}
    assert Template(f"{{{{{path}}}}}{{{{lookup x '__class__'}}}}", strict=False).render(context) == ""
    with pytest.raises(TemplateRenderError, match="missing variable"):
        Template(f"{{{{{path}}}}}").render(context)


def test_a_default_of_a_mapping_is_not_triggered_by_a_look_up() -> None:
    context: defaultdict[str, int] = defaultdict(int)
    assert Template("{{x}}", strict=False).render(context) == ""
    assert dict(context) == {}


@pytest.mark.parametrize("context", [{"l": [1, 2]}, OrderedDict(l=(1, 2)), MappingProxyType({"l": [1, 2]})])
def test_any_mapping_and_sequence_can_be_walked(context: Any) -> None:
    assert Template("{{#each l}}{{this}}{{/each}}{{#each .}}{{@key}}{{/each}}{{l.length}}").render(context) == "12l2"


def test_what_is_present_but_empty_is_not_missing() -> None:
    assert Template("[{{a}}{{b}}{{c}}]").render({"a": None, "b": "", "c": []}) == "[]"


def test_a_strict_template_lets_conditions_ask_for_what_is_missing() -> None:
    template = Template(
        "{{#if a}}{{else}}1{{/if}}{{#unless a}}2{{/unless}}{{#each a}}{{else}}3{{/each}}{{#with a}}{{else}}4{{/with}}"
        "{{default a 5}}"
    )
    assert template.render({}) == "12345"
    assert Template("{{#if (eq a 'x')}}{{else}}6{{/if}}{{#if (lookup a 'x')}}{{else}}7{{/if}}").render({}) == "67"


def test_a_strict_template_requires_what_a_partial_is_given() -> None:
    with pytest.raises(TemplateRenderError, match="missing variable 'person'"):
        Template("{{> p person}}", partials={"p": ""}).render({})


def test_a_template_that_is_not_strict_prints_nothing_for_what_is_missing() -> None:
    template = Template("[{{a}}{{a.b.c}}{{@x}}{{../y}}{{#a}}n{{/a}}{{nope}}{{#if (nope)}}{{/if}}]", strict=False)
    assert template.render({}) == "[]"


def test_unknown_helpers_and_partials_of_a_lenient_template_fail_only_where_they_are_reached() -> None:
    template = Template("{{#if x}}{{nope 1}}{{/if}}{{#if y}}{{> nope}}{{/if}}ok", strict=False)
    assert template.render({}) == "ok"
    with pytest.raises(TemplateRenderError, match="1:10: Missing helper: 'nope'"):
        template.render({"x": 1})
    with pytest.raises(TemplateRenderError, match="1:36: unknown partial 'nope'"):
        template.render({"y": 1})


def test_data_cannot_be_called() -> None:
    with pytest.raises(TemplateRenderError, match="'a' is data, not a helper: it cannot be called"):
        Template("{{a 1}}", strict=False).render({"a": print})


def test_escaping_applies_to_double_braces_only() -> None:
    template = Template(
        "{{x}}{{{x}}}{{&x}}{{> p}}{{@root.x}}{{#each l}}{{this}}{{/each}}", partials={"p": "{{x}}"}, escape=escape_html
    )
    assert template.render({"x": "<", "l": ["&"]}) == "&lt;<<&lt;&lt;&amp;"


def test_data_variables_are_given_beside_the_context() -> None:
    template = Template("{{@level}}{{#each l}}{{@level}}{{@index}}{{/each}}{{@root.l.length}}")
    assert template.render({"l": [1]}, {"level": "L"}) == "LL01"


def test_hooks_stand_in_for_what_is_missing() -> None:
    missing = OptionsHelper(lambda options, *values: f"<{options.name}:{len(values)}>")
    template = Template("{{a}}{{b}}{{c 1 2}}{{o.x}}", helpers={"helperMissing": missing}, strict=True)
    assert template.render({"a": "A", "o": {"x": 1}}) == "A<b:0><c:2>1"


def test_a_plain_function_can_be_a_hook() -> None:
    helpers = {"helperMissing": lambda *values: f"<{len(values)}>", "blockHelperMissing": lambda value: f"[{value}]"}
    assert Template("{{b}}{{c 1}}{{#o}}x{{/o}}", helpers=helpers).render({"o": "v"}) == "<0><1>[v]"


def test_inline_partials_shadow_registered_ones_inside_their_block_only() -> None:
    template = Template("{{#if t}}{{#*inline 'p'}}inner{{/inline}}{{> p}} {{/if}}{{> p}}", partials={"p": "outer"})
    assert template.render({"t": True}) == "inner outer"


def test_inline_partials_nested_in_partial_blocks_compile_in_linear_size() -> None:
    text = "x"
    for number in range(40):
        text = f"{{{{#> l{number}}}}}{{{{#*inline 'i'}}}}{text}{{{{/inline}}}}{{{{> i}}}}{{{{/l{number}}}}}"
    assert Template(text).render({}) == "x"


@pytest.mark.lesson(47)
@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("a ${{ github.ref }} b", "a ${{ github.ref }} b"),
        ("${{ x }}{{x}}${{x}}", "${{ x }}v$v"),
        ("\\${{ x }}", "\\${{ x }}"),
        ("$${{ x }}", "$${{ x }}"),
        ("$\\{{ x }}", "${{ x }}"),
        ("${{{x}}}", "$v"),
        ("${{~ x}}", "$v"),
        ("${{ format('{0}}}', x) }}!", "${{ format('{0}}}', x) }}!"),
        ("${{ 'it''s' }}", "${{ 'it''s' }}"),
        ("${{\n x }}", "${{\n x }}"),
        ("${{ x }}}", "${{ x }}}"),
        ("\\{{x}} ${{ x }} {{x}}", "{{x}} ${{ x }} v"),
        ("{{#if x}}\n${{ y }}\n{{/if}}\n", "${{ y }}\n"),
        ("{{{{raw}}}}${{ x }}{{{{/raw}}}}", "${{ x }}"),
        ("{{concat '${{ x }}'}}", "${{ x }}"),
        ("$ {{ x }}", "$ v"),
    ],
)
def test_github_expressions_come_out_whole_where_they_are_kept(template: str, text: str) -> None:
    assert Template(template, keep_github_expressions=True).render({"x": "v"}) == text


def test_github_expressions_are_mustaches_where_they_are_not_kept() -> None:
    assert Template("${{ x }}").render({"x": "v"}) == "$v"


def test_an_unclosed_github_expression_is_an_error() -> None:
    with pytest.raises(TemplateSyntaxError, match=r"^template:1:3: unclosed GitHub expression '\$\{\{ ': '}}' is missing"):
        Template("a ${{ x }", keep_github_expressions=True)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{@.}}{{@this}}", "texttext"),
        ("{{#raw}}{{#*inline 'i'}}I{{/inline}}{{> i}}{{/raw}}", "I"),
        ("{{#raw}}" * 200 + "x" + "{{/raw}}" * 200, "x"),
        ("{{^raw}}x{{/raw}}", ""),
        ("{{lookup . 0}}", "t"),
        ("{{concat " + "9" * 400 + " -" + "9" * 400 + "}}", "Infinity-Infinity"),
        ("{{#if '}}'}}y{{/if}}", "y"),
    ],
    ids=lambda value: value[:30],
)
def test_corners_of_the_language(template: str, text: str) -> None:
    assert Template(template).render("text") == text


def test_a_rendering_that_nests_too_deeply_for_python_is_an_error() -> None:
    helpers = {"b": OptionsHelper(lambda options: options.fn(options.context))}
    made = Template("{{> p}}", partials={"p": "{{#b}}" * 20 + "{{> p}}" + "{{/b}}" * 20}, helpers=helpers)
    with pytest.raises(TemplateRenderError, match=r"rendering nests too deeply|nested more than 100 deep"):
        made.render({})


def test_a_partial_of_a_lenient_template_that_cannot_be_read_is_reported_when_it_is_called() -> None:
    made = Template("{{#if x}}{{> p}}{{/if}}", partials={"p": "\n{{"}, strict=False)
    assert made.render({}) == ""
    with pytest.raises(TemplateSyntaxError, match=r"^p:2:1: unclosed tag"):
        made.render({"x": 1})


def test_an_environment_renders_templates_that_call_each_other() -> None:
    environment = Environment({"a": "A{{> b}}", "b": "B{{x}}"})
    assert environment.render("a", {"x": 1}) == "AB1"
    assert environment.names() == ("a", "b")
    assert environment.from_string("{{> b}}!").render({"x": 2}) == "B2!"


def test_an_environment_compiles_a_template_once() -> None:
    environment = Environment({"a": "x"})
    assert environment.template("a") is environment.template("a")


def test_an_environment_knows_what_is_registered_later() -> None:
    environment = Environment({"a": "{{> b}}{{shout 'x'}}"}, helpers={"shout": str.upper})
    with pytest.raises(TemplateSyntaxError, match="unknown partial 'b'"):
        environment.render("a", {})
    environment.register_partial("b", "B")
    assert environment.render("a", {}) == "BX"
    environment.register_helper("shout", lambda text: f"{text}!")
    assert environment.render("a", {}) == "Bx!"


def test_an_unknown_template_of_an_environment_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nope"):
        Environment({}).template("nope")


def test_settings_of_an_environment_hold_for_all_its_templates() -> None:
    environment = Environment(
        {"a": "{{x}}{{> b}}", "b": "{{nope}}${{ y }}"},
        escape=escape_html,
        strict=False,
        keep_github_expressions=True,
        limits=Limits(tags=5),
    )
    assert environment.render("a", {"x": "<"}) == "&lt;${{ y }}"


def test_one_template_renders_in_many_threads_at_once() -> None:
    environment = Environment(
        {"a": "{{#each l}}{{> b}}{{@index}}{{/each}}", "b": "{{#pad}}{{this}}{{/pad}}"},
        helpers={"pad": OptionsHelper(lambda o: f"({o.fn(o.context)})")},
    )
    results: list[bool] = []

    def work(number: int) -> None:
        expected = "".join(f"({number + index}){index}" for index in range(50))
        results.extend(environment.render("a", {"l": [number + index for index in range(50)]}) == expected for _ in range(20))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 160


def test_what_a_template_reads_is_known_before_it_renders() -> None:
    source = """
        {{a}} {{o.x}} {{#each tasks as |t i|}}{{title}} {{t.id}} {{i}} {{../b}} {{@index}}{{/each}}
        {{#with o.y}}{{z}}{{@root.c}}{{/with}} {{#if (eq d (lookup e 'k'))}}{{shellquote f}}{{/if}} {{@level}}
        {{#s}}{{inside}}{{/s}} {{> p}} {{> (lookup g 'n')}} {{#> q h}}{{#*inline 'r'}}{{j}}{{/inline}}{{> r}}{{/q}}
    """
    found = Template(source, partials={"p": "{{k}}", "q": "{{> @partial-block}}"}).references
    assert found.variables == (
        "?.j", "@level", "a", "b", "c", "d", "e", "f", "g", "h", "o.x", "o.y", "o.y.z",
        "s", "s.inside", "tasks", "tasks[].id", "tasks[].title",
    )  # fmt: skip
    assert found.helpers == ("each", "eq", "if", "lookup", "shellquote", "with")
    assert (found.partials, found.inlines, found.dynamic) == (("p", "q"), frozenset({"r"}), True)


def test_what_its_partials_read_is_known_as_well() -> None:
    template = Template("{{> p}}", name="main", partials={"p": "{{x}}{{> q}}", "q": "{{y}}", "unused": "{{z}}"})
    assert {name: found.variables for name, found in template.reached.items()} == {"main": (), "p": ("x",), "q": ("y",)}
    assert template.name == "main"


def test_the_package_imports_nothing_but_itself_and_the_standard_library() -> None:
    foreign = "{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)"
    code = f"import sys, coderun.handlebars; print(*({foreign}))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) <= {"coderun", "__main__"}

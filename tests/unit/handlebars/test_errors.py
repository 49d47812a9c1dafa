"""The table of mistakes: every one is reported where it was made, in words that tell what to write instead."""

from typing import Any

import pytest

from coderun.handlebars import HelperError, OptionsHelper, Template, TemplateError, TemplateRenderError, TemplateSyntaxError
from coderun.handlebars.errors import listed, nearest, shortened


def fail(*_: Any) -> str:
    msg = "no luck"
    raise ValueError(msg)


def refuse(*_: Any) -> str:
    msg = "only on Sundays"
    raise HelperError(msg)


CONTEXT: dict[str, Any] = {"name": "Ada", "o": {"x": {"y": 1}}, "l": [1, 2], "n": None}
HELPERS = {"fail": fail, "refuse": refuse}
SYNTAX = [
    ("a\nb\nc\n  {{#if x}}\nd\n", "4:3", "unclosed block {{#if}}: {{/if}} is missing"),
    ("{{#each l}}{{#if x}}{{/if}}", "1:1", "unclosed block {{#each}}: {{/each}} is missing"),
    ("\n{{#if x}}\n {{/each}}", "3:2", "expected {{/if}}, opened at 2:1, found {{/each}}"),
    ("{{#if x}}{{else if y}}{{/with}}", "1:23", "expected {{/if}}, opened at 1:1, found {{/with}}"),
    ("x {{/if}}", "1:3", "stray {{/if}}: no block is open"),
    ("x\n{{else}}", "2:1", "stray {{else}}: no block is open"),
    ("{{else if x}}", "1:1", "stray {{else if}}: no block is open"),
    ("{{#if x}}{{else}}{{else}}{{/if}}", "1:18", "stray {{else}}: the {{else}} of {{#if}} came before it, opened at 1:1"),
    ("{{#> p}}{{else}}{{/p}}", "1:9", "stray {{else}}: {{#>p}} has no inverse, opened at 1:1"),
    ("{{^x}}{{else if y}}{{/x}}", "1:7", "stray {{else if}}: {{^x}} takes a plain {{else}}, opened at 1:1"),
    ("a {{foo", "1:3", "unclosed tag '{{foo': '}}' is missing"),
    ("a {{foo bar\nb {{x}}", "1:3", "unclosed tag '{{foo': '}}' is missing"),
    ("{{{foo", "1:1", "unclosed tag '{{{foo': '}}}' is missing"),
    ("{{", "1:1", "unclosed tag '{{': '}}' is missing"),
    ('{{f "abc}}', "1:5", 'unclosed string: " is missing'),
    ('{{f "abc}}\n{{g "x"}}', "1:5", 'unclosed string: " is missing'),
    ("{{f [abc}}", "1:5", "unclosed segment: ] is missing"),
    ("a\n{{!-- c }}", "2:1", "unclosed comment: '--}}' is missing"),
    ("{{! c }", "1:1", "unclosed comment: '}}' is missing"),
    ("x{{{{raw}}}} {{a}}", "1:2", "unclosed raw block: '{{{{/raw}}}}' is missing"),
    ("{{{{raw}}}}{{{{/row}}}}", "1:12", "expected '{{{{/raw}}}}', opened at 1:1, found '{{{{/row}}}}'"),
    ("{{f (g (h x) }}", "1:5", "unclosed parenthesis: ')' is missing"),
    ("{{f x)}}", "1:6", "unexpected ')': no parenthesis is open"),
    ("{{}}", "1:3", "expected a name in the tag, found '}}'"),
    ("{{f ()}}", "1:6", "expected a name in the parentheses, found ')'"),
    ("{{(f)}}", "1:3", "expected a name, found '('"),
    ("{{f a=}}", "1:5", "'a=' has no value"),
    ("{{f a= b=1}}", "1:5", "'a=' has no value"),
    ("{{f (g a=)}}", "1:8", "'a=' has no value"),
    ("{{a=1}}", "1:3", "expected a name, found 'a='"),
    ("{{f a=1 b}}", "1:9", "a plain argument must stand before the 'key=value' ones, found 'b'"),
    ("{{f =1}}", "1:3", "expected a name, found 'f='"),
    ("{{f 'a' =1}}", "1:9", "expected a name or a value, found '='"),
    ("{{a.}}", "1:4", "unexpected '.' after 'a'"),
    ("{{a..b}}", "1:4", "unexpected '..' after 'a'"),
    ("{{a/}}", "1:5", "expected a name after '/' in the path, found '}}'"),
    ("{{@}}", "1:4", "expected a name in the path, found '}}'"),
    ("{{a/../b}}", "1:5", "invalid path 'a/..': '..' may stand at the start only"),
    ("{{a,b}}", "1:4", "unexpected ',' after 'a'"),
    ("{{%}}", "1:3", "unexpected '%' in a tag"),
    ("{{a}}}", "1:4", "expected '}}', found '}}}': put a blank between the tag and a brace of the text"),
    ("{{{a}}", "1:5", "expected '}}}', found '}}': put a blank between the tag and a brace of the text"),
    ("{{#if x as |}}{{/if}}", "1:9", "unclosed block parameters: '|' is missing, found '}}'"),
    ("{{#if x as ||}}{{/if}}", "1:13", "expected a name between '|' and '|'"),
    ("{{#if}}{{/if}}", "1:1", "#if requires exactly one argument, found 0"),
    ("{{#if a}}{{else if a b}}{{/if}}", "1:10", "#if requires exactly one argument, found 2"),
    ("{{#each}}{{/each}}", "1:1", "#each requires exactly one argument, found 0"),
    ("{{lookup a}}", "1:1", "lookup requires exactly two arguments: an object and a key"),
    ("{{if a}}", "1:1", "'if' is a block: write {{#if …}}…{{/if}}"),
    ("{{#eq a b}}x{{/eq}}", "1:1", "the helper 'eq' takes no block: write {{#if (eq …)}}"),
    ("{{#raw x}}{{/raw}}", "1:1", "raw takes no arguments"),
    ("{{> p a b}}", "1:9", "a partial takes one context at most, found 2 arguments"),
    ("{{* deco}}", "1:1", "unknown decorator 'deco': the only one is {{#*inline \"name\"}}"),
    ('{{#*outline "x"}}{{/outline}}', "1:1", "unknown decorator 'outline': the only one is {{#*inline \"name\"}}"),
    ("{{#*inline}}{{/inline}}", "1:1", '{{#*inline "name"}} takes exactly one name'),
    ("{{#if x}}{{/if y}}", "1:10", "{{/if}} takes no arguments"),
    ("x\n {{upercase name}}", "2:2", "unknown helper 'upercase' (did you mean 'uppercase' or 'lowercase'?)"),
    ("{{concat (nope 1)}}", "1:10", "unknown helper 'nope'"),
    ("{{o.x 1}}", "1:1", "'o.x' cannot be called: helpers have plain names"),
    ("{{#each l as |v|}}{{v 1}}{{/each}}", "1:19", "'v' is a block parameter, not a helper"),
    ("\n  {{> heder}}", "2:3", "unknown partial 'heder' (did you mean 'header'?)"),
]
RENDER = [
    ("a\n {{nme}}", "2:4", "missing variable 'nme' (did you mean 'name'?)"),
    ("{{zzz}}", "1:3", "missing variable 'zzz' (present: l, n, name, o)"),
    ("{{o.z.y}}", "1:3", "missing variable 'o.z.y': no 'z' in 'o', which is an object (present: x)"),
    ("{{o.x.y.q}}", "1:3", "missing variable 'o.x.y.q': no 'q' in 'o.x.y', which is no object"),
    ("{{n.a}}", "1:3", "missing variable 'n.a': no 'a' in 'n', which is null"),
    ("{{l.[7]}}", "1:3", "missing variable 'l.7': no '7' in 'l', which is a list of 2"),
    ("{{name.first}}", "1:3", "missing variable 'name.first': no 'first' in 'name', which is a text"),
    ("{{#if o.z.y}}{{/if}}", "1:7", "missing variable 'o.z.y': no 'z' in 'o', which is an object (present: x)"),
    ("{{#each l}}{{nme}}{{/each}}", "1:14", "missing variable 'nme'"),
    ("{{@nope}}", "1:3", "missing variable '@nope' (present: root)"),
    ("{{..}}", "1:3", "missing variable '..': there is no context above the root"),
    ("{{../x}}", "1:3", "missing variable '../x': there is no context above the root"),
    ("{{#nope}}{{/nope}}", "1:4", "missing variable 'nope'"),
    ("{{shellquote nope}}", "1:14", "missing variable 'nope'"),
    ("{{lookup o 'z'}}", "1:1", "lookup found no 'z' (present: x)"),
    ("{{o}}", "1:3", "an object cannot be printed: print one of its members, or the whole with the helper json"),
    ("\n {{fail 1}}", "2:2", "helper 'fail': ValueError: no luck"),
    ("{{concat (refuse 1)}}", "1:10", "helper 'refuse': only on Sundays"),
    ("{{len 5}}", "1:1", "helper 'len': a list, an object or a text has a length, found the number 5"),
    ("{{eq 1}}", "1:1", "helper 'eq': TypeError: eq() missing 1 required positional argument: 'right'"),
    ("{{> (lookup . 'name')}}", "1:1", "unknown partial 'Ada' (known: header)"),
    ("{{> @partial-block}}", "1:1", "no partial block: this template was not called as {{#> …}}"),
]


@pytest.mark.parametrize(("template", "place", "message"), SYNTAX)
def test_a_template_that_cannot_be_read_names_the_place_of_the_mistake(template: str, place: str, message: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        Template(template, name="t.hbs", partials={"header": ""})
    assert str(caught.value).splitlines()[0].startswith(f"t.hbs:{place}: {message}")


@pytest.mark.lesson(18)
@pytest.mark.parametrize(("template", "place", "message"), RENDER)
def test_a_rendering_that_fails_names_the_place_and_what_would_be_there(template: str, place: str, message: str) -> None:
    made = Template(template, name="t.hbs", partials={"header": ""}, helpers=HELPERS)
    with pytest.raises(TemplateRenderError) as caught:
        made.render(CONTEXT)
    assert str(caught.value).splitlines()[0].startswith(f"t.hbs:{place}: {message}")


def test_an_error_shows_the_line_and_a_caret_under_the_mistake() -> None:
    with pytest.raises(TemplateError) as caught:
        Template("one\n\ttwo {{nme}}\nthree", name="t.hbs").render({"name": 1})
    assert str(caught.value).splitlines()[1:] == ["    \ttwo {{nme}}", "    \t      ^"]
    assert (caught.value.name, caught.value.line, caught.value.column) == ("t.hbs", 2, 8)


def test_an_error_in_a_very_long_line_shows_the_part_around_the_mistake() -> None:
    with pytest.raises(TemplateError) as caught:
        Template("x" * 5000 + "{{nme}}" + "y" * 5000).render({})
    shown, caret = str(caught.value).splitlines()[1:3]
    assert len(shown) < 200
    assert shown[caret.index("^") :].startswith("nme}}")


def test_an_error_in_a_partial_names_the_partial_and_the_calls_that_led_there() -> None:
    made = Template("a\n {{> outer}}", name="main", partials={"outer": "\n\n{{> inner}}", "inner": "{{nope}}"})
    with pytest.raises(TemplateRenderError) as caught:
        made.render({})
    assert caught.value.name == "inner"
    assert caught.value.callers == ("outer:3:1", "main:2:2")
    assert str(caught.value).splitlines()[-2:] == ["  included from outer:3:1", "  included from main:2:2"]


def test_a_partial_that_cannot_be_read_is_reported_under_its_own_name_before_anything_renders() -> None:
    with pytest.raises(TemplateSyntaxError, match=r"^p:2:1: unclosed block"):
        Template("{{> p}}", partials={"p": "\n{{#if x}}"})


def test_an_unknown_partial_of_a_partial_is_found_before_anything_renders() -> None:
    with pytest.raises(TemplateSyntaxError, match=r"^p:1:3: unknown partial 'q'"):
        Template("{{> p}}", partials={"p": "  {{> q}}"})


def test_a_long_chain_of_callers_is_cut() -> None:
    with pytest.raises(
        TemplateRenderError, match="partials nested more than 100 deep \\(recursive partial 'p'\\?\\)"
    ) as caught:
        Template("{{> p}}", partials={"p": "{{> p}}"}).render({})
    assert str(caught.value).count("included from") == 8
    assert str(caught.value).endswith("… and 92 more, the first from template:1:1")


def test_an_error_inside_a_block_of_a_helper_is_placed_in_the_block() -> None:
    wrap = OptionsHelper(lambda options: options.fn(options.context))
    with pytest.raises(TemplateRenderError, match=r"^template:2:3: missing variable 'nope'"):
        Template("{{#wrap}}\n{{nope}}{{/wrap}}", helpers={"wrap": wrap}).render({})


def test_names_are_listed_up_to_a_number() -> None:
    assert listed(map(str, range(10))) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"
    assert nearest("x", []) == ""
    assert shortened("a" * 100, 10) == "a" * 9 + "…"

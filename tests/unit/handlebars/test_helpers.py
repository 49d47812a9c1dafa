"""The helpers every template has."""

import json
import logging
import math
import re
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coderun.handlebars import HelperError, Options, OptionsHelper, SafeString, Template, TemplateRenderError, escape_html
from coderun.handlebars.helpers import shellquote, to_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
CONTEXT: dict[str, Any] = {
    "a": 1,
    "s": "Text",
    "l": ["x", "y"],
    "o": {"k": 1},
    "n": None,
    "e": "",
    "b": False,
    "t": True,
    "f": 1.0,
}


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("eq a 1", "true"),
        ("eq f 1", "true"),
        ("eq a '1'", "false"),
        ("eq t 1", "false"),
        ("eq missing null", "true"),
        ("eq l l", "true"),
        ("eq o o", "true"),
        ("eq o l", "false"),
        ("ne a 2", "true"),
        ("ne n missing", "false"),
        ("lt a 2", "true"),
        ("lte a 1", "true"),
        ("gt 'b' 'a'", "true"),
        ("gte a 2", "false"),
        ("and a s", "true"),
        ("and a b", "false"),
        ("or b n e", "false"),
        ("or b a", "true"),
        ("not b", "true"),
        ("not l", "false"),
        ("len l", "2"),
        ("len s", "4"),
        ("len o", "1"),
        ("lowercase s", "text"),
        ("uppercase s", "TEXT"),
        ("uppercase a", "1"),
        ("default missing 'd'", "d"),
        ("default n e 'd'", "d"),
        ("default b 'd'", "false"),
        ("default 0 'd'", "0"),
        ("default n", ""),
        ("json o", '{"k":1}'),
        ("json n", "null"),
        ("json l indent=2", '[\n  "x",\n  "y"\n]'),
        ("contains l 'x'", "true"),
        ("contains l 1", "false"),
        ("contains s 'ex'", "true"),
        ("contains o 'k'", "true"),
        ("contains o 1", "false"),
        ("join l", "x,y"),
        ("join l ' - '", "x - y"),
        ("concat s '-' a", "Text-1"),
        ("shellquote s", "Text"),
        ("shellquote l", "x y"),
        ("shellquote ''", "''"),
        ("shellquote 'it is'", "'it is'"),
        ("indent 'a' 2", "  a"),
        ("indent 'a' 2 first=false", "a"),
        ("log s", ""),
    ],
)
def test_a_helper_gives_its_result(call: str, text: str) -> None:
    assert Template(f"{{{{{call}}}}}").render(CONTEXT) == text


def test_indent_leaves_empty_lines_empty() -> None:
    template = Template("{{indent text 2}}|{{indent text 2 first=false}}")
    assert template.render({"text": "a\n\nb"}) == "  a\n\n  b|a\n\n  b"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("lt a s", "two numbers or two texts can be compared, found the number 1 and a text"),
        ("gt t 1", "two numbers or two texts can be compared, found true and the number 1"),
        ("gt n 1", "two numbers or two texts can be compared, found null and the number 1"),
        ("len n", "a list, an object or a text has a length, found null"),
        ("contains a 1", "a list, an object or a text can contain something, found the number 1"),
        ("join s", "a list can be joined, found a text"),
        ("join o", "a list can be joined, found an object"),
        ("shellquote o", "an object cannot be printed: print one of its members, or the whole with the helper json"),
        ("shellquote nul", "a NUL byte cannot be part of a shell word"),
        ("indent s 'x'", "a width is a whole number from 0 to 1000, found a text"),
        ("indent s 1001", "a width is a whole number from 0 to 1000, found the number 1001"),
        ("json nan", "NaN and Infinity have no JSON form"),
        ("json odd", "a value of type object has no JSON form"),
        ("json deep", "data nested more than 100 deep cannot be written as JSON"),
        ("eq deep deeper", "values nested too deeply cannot be compared"),
        ("log s level='loud'", "the level of log is one of debug, info, warn, error, found a text"),
    ],
)
def test_a_helper_says_what_it_cannot_work_with(call: str, message: str) -> None:
    deep: list[Any] = []
    deeper: list[Any] = []
    for _ in range(5000):
        deep, deeper = [deep], [deeper]
    context = {**CONTEXT, "nul": "a\0b", "nan": math.nan, "odd": object(), "deep": deep, "deeper": deeper}
    with pytest.raises(TemplateRenderError, match=re.escape(f"helper '{call.split(maxsplit=1)[0]}': {message}")):
        Template(f"{{{{{call}}}}}").render(context)


@given(JSON)
def test_json_reads_back_as_the_value(value: Any) -> None:
    assert json.loads(to_json(value)) == value
    assert json.loads(to_json(value, indent=2)) == value


def test_json_escapes_lone_surrogates() -> None:
    assert to_json("a\ud800b") == '"a\\ud800b"'


@pytest.mark.lesson(17)
@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=8)
)
def test_quoted_words_reach_a_program_through_a_real_shell_unchanged(words: list[str]) -> None:
    words = [*words, "", "-rf", "$HOME", "`id`", "a'b\"c", "two\nlines", "\\", "~", "!x", "*", "-"]
    script = Template("printf '%s\\0' {{#each words}}{{shellquote this}} {{/each}}").render({"words": words})
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == words


def test_a_nul_byte_is_refused_by_shellquote() -> None:
    with pytest.raises(HelperError, match="a NUL byte"):
        shellquote("a\0b")


def test_log_writes_at_its_level(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="coderun.handlebars"):
        Template("{{log 'a' 1 level='debug'}}{{log 'b'}}{{log 'c' level=3}}").render({})
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", "a 1"),
        ("INFO", "b"),
        ("ERROR", "c"),
    ]


def test_a_helper_of_the_user_wins_over_data_and_over_ours() -> None:
    template = Template("{{name}} {{len 1}} {{this.name}}", helpers={"name": lambda: "helper", "len": lambda _: "mine"})
    assert template.render({"name": "data"}) == "helper mine data"


def test_hash_arguments_arrive_as_keywords_whatever_their_names() -> None:
    template = Template("{{show a-b=1 class='c'}}", helpers={"show": lambda **named: min(named) + str(len(named))})
    assert template.render({}) == "a-b2"


def test_a_helper_with_options_sees_block_context_data_and_hash() -> None:
    def around(options: Options, word: str) -> str:
        assert options.is_block
        body = options.fn({"x": 2}, {"extra": "E"}, ["P"])
        known = [options.name, word, options.hash["k"], options.context["x"], options.data["root"]["x"]]
        return f"{' '.join(map(str, known))} {body}{options.inverse({})}"

    template = Template(
        "{{#around 'w' k=x as |p|}}{{x}}{{@extra}}{{p}}{{../x}}{{else}}I{{/around}}", helpers={"around": OptionsHelper(around)}
    )
    assert template.render({"x": 1}) == "around w 1 1 1 2EP1I"


def test_options_of_a_helper_without_a_block_render_nothing() -> None:
    helper = OptionsHelper(lambda options: f"[{options.fn(1)}{options.inverse(1)}{options.is_block}]")
    assert Template("{{helper}}", helpers={"helper": helper}).render({}) == "[False]"


def test_safe_text_is_not_escaped_again() -> None:
    helpers = {"safe": lambda: SafeString("<i>"), "unsafe": lambda: "<i>"}
    assert Template("{{safe}}{{unsafe}}{{{unsafe}}}", helpers=helpers, escape=escape_html).render({}) == "<i>&lt;i&gt;<i>"


def test_boolean_helpers_decide_blocks_without_printing() -> None:
    template = Template(
        "{{#if (and a (or b (not n)) (eq s 'Text'))}}y{{else}}n{{/if}}{{#unless (not a)}}u{{/unless}}{{#if (and)}}all{{/if}}"
    )
    assert template.render(CONTEXT) == "yuall"

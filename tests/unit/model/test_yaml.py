"""YAML documents: positions, limits and what is refused."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from coderun.model.errors import ConfigError
from coderun.model.yaml import MAX_CHARACTERS, Mark, _syntax_error, decode, dump, load, scalar


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    label: str
    count: Annotated[int, msgspec.Meta(ge=1)] = 1
    colour: Colour = Colour.RED
    is_open: bool = False
    price: float | None = None
    words: str | tuple[str, ...] = ()


class Whole(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    parts: tuple[Part, ...] = ()
    by_name: dict[str, Part] = {}
    deep: dict[str, dict[str, Part]] = {}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def load_data(text: str) -> Any:
    return load(text, name="x.yaml").data


def refusal(text: str, type_: type[Any] = object) -> str:
    with pytest.raises(ConfigError) as caught:
        decode(load(text, name="x.yaml"), type_)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("# only a comment\n", None),
        ("\ufeffa: 1", {"a": 1}),
        ("a: [1, -2, +3, 0, 1.5, .5, 1e3, 2.E-1]", {"a": [1, -2, 3, 0, 1.5, 0.5, 1000.0, 0.2]}),
        ("a: [true, False, TRUE, null, ~, ]", {"a": [True, False, True, None, None]}),
        ("a: [yes, on, no, 12:30, 010, 0x1f, 1_000, 2020-01-01, .inf, .nan, 1e999]", {
            "a": ["yes", "on", "no", "12:30", "010", "0x1f", "1_000", "2020-01-01", ".inf", ".nan", "1e999"]
        }),
        ("a: ['1', \"true\", !!str 5, ! 6]", {"a": ["1", "true", "5", "6"]}),
        ("1: a\ntrue: b\n~: c\n", {"1": "a", "true": "b", "~": "c"}),
        ("a: &x {b: 1}\nc: *x\nd: [*x, *x]", {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}, {"b": 1}]}),
        ("a: |\n  x\n  y\nb: >\n  x\n  y\n", {"a": "x\ny\n", "b": "x y\n"}),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema(text: str, data: Any) -> None:
    assert load_data(text) == data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: key 'a' is written twice (first in line 1); remove one of them"),
        ("a: {b: 1, b: 2}", "x.yaml:1:11: key 'b' is written twice (first in line 1); remove one of them"),
        ("a: !!python/object/apply:os.system [id]", "x.yaml:1:4: tag 'tag:yaml.org,2002:python/object/apply:os.system' is"),
        ("a: !!binary aGk=", "x.yaml:1:4: tag 'tag:yaml.org,2002:binary' is not read; write the plain value"),
        ("a: &x [*x]", "x.yaml:1:8: alias *x stands inside what it repeats"),
        ("a: *x", "x.yaml:1:4: alias *x has no anchor &x before it"),
        ("a: &x 1\n*x : 2\n", "a key must be text, not an alias"),
        ("? [1]\n: 2\n", "x.yaml:1:3: a key must be text, not a list or a mapping"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "x.yaml:3:3: merge keys (<<) are not read; write the keys out"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2:1: a second document starts here; write one document only"),
        ("a: [1, 2", "not valid YAML: while parsing a flow"),
        ("a:\n\tb: 1\n", "x.yaml:2:1: not valid YAML: "),
        ("a: 1\nb: \x07\n", "x.yaml:2:4: control character '\\x07' in YAML; remove it"),
        ("[" * 60 + "]" * 60, "x.yaml:1:51: nested deeper than 50 levels; flatten it"),
        ("a: &x 1\nb: [" + "*x, " * 101 + "]", "more than 100 aliases"),
        ("x" * (MAX_CHARACTERS + 1), f"x.yaml: {MAX_CHARACTERS + 1} characters are more than the {MAX_CHARACTERS}"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_with_its_place(text: str, message: str) -> None:
    assert message in refusal(text)


def test_a_tab_is_explained() -> None:
    assert refusal("a:\n\tb: 1\n").endswith("; indent with spaces, not tabs")


def test_a_bomb_of_aliases_is_refused_before_it_goes_off() -> None:
    rows = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "more than 100000 values, aliases expanded" in refusal("\n".join(["l0: &l0 [a, b, c]", *rows]))


def test_every_path_has_its_place() -> None:
    document = load("a:\n  - b: 1\n  - c:   {d: 2}\n", name="x.yaml")
    assert document.mark(()) == Mark(1, 1)
    assert document.mark(("a", 1, "c", "d")) == Mark(3, 14)
    assert document.mark(("a", 1, "c", "d"), key=True) == Mark(3, 11)
    assert document.mark(("a", 1, "nothing", 7)) == Mark(3, 5)
    assert str(document.error(("a", 0, "b"), "wrong\x1b[0m\n")) == "x.yaml:2:8: a[0].b: wrong"
    assert str(load("", name="e.yaml").error((), "empty")) == "e.yaml:1:1: empty"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parts:\n- label: 3\n", "x.yaml:2:10: parts[0].label: expected str, got int; write text, in quotes where"),
        (
            "parts:\n- label: a\n  lable: b\n",
            "x.yaml:3:3: parts[0].lable: unknown key; did you mean 'label'? (known keys: label, count",
        ),
        ("byName:\n  x: {label: a}\n  y: {label: a, count: 0}\n", "x.yaml:3:24: byName.y.count: expected int >= 1, got 0"),
        (
            "byName:\n  x: {label: a}\n  y: {label: a, isopen: no}\n",
            "x.yaml:3:17: byName.y.isopen: unknown key; did you mean 'isOpen'?",
        ),
        ("deep:\n  x: {}\n  y:\n    p: {label: a}\n    q: {label: 1}\n", "x.yaml:5:16: deep.y.q.label: expected str, got int"),
        (
            "parts: [{label: a, colour: gren}]",
            "parts[0].colour: 'gren' is not known; did you mean 'green'? (write one of: red, green)",
        ),
        ("parts: [{label: a, isOpen: yes}]", "parts[0].isOpen: expected bool, got str; write true or false"),
        ("parts: [{label: a, price: free}]", "parts[0].price: expected float | null, got str; write a number"),
        ("parts: [{label: a, words: 3}]", "parts[0].words: expected str | array, got int; write text, in quotes"),
        ("parts: [{label: a, words: [1]}]", "x.yaml:1:28: parts[0].words[0]: expected str, got int"),
        ("parts: [{count: 1}]", "x.yaml:1:9: parts[0]: 'label' is missing; write `label: …`"),
        ("parts: a", "x.yaml:1:8: parts: expected array, got str; write a list: [a, b]"),
        ("parts:\n", "parts: nothing is written here; write a list: [a, b], or remove the key"),
        ("- a\n", "x.yaml:1:1: expected object, got array; write keys and values below it"),
        ('"a`b": 1\n', "x.yaml:1:1: a`b: unknown key (known keys: parts, byName, deep)"),
    ],
)
def test_a_value_that_does_not_fit_is_explained(text: str, message: str) -> None:
    assert message in refusal(text, Whole)


def test_what_fits_is_decoded() -> None:
    whole = decode(load("parts: [{label: a, price: 2}]", name="x.yaml"), Whole)
    assert whole.parts[0].price == 2.0


@given(PLAIN)
def test_what_is_written_is_read_back(data: Any) -> None:
    assert load_data(dump(data)) == data


@given(PLAIN)
def test_other_readers_of_yaml_read_the_same(data: Any) -> None:
    assert pyyaml.safe_load(dump(data)) == data


@given(st.text().filter(lambda text: text.isprintable() or "\n" in text))
def test_a_scalar_is_one_line_and_stands_for_its_text(text: str) -> None:
    written = scalar(text)
    assert "\n" not in written
    assert load_data(f"a: {written}\n") == {"a": text}


def test_structs_are_written_as_they_are_named_outside() -> None:
    assert dump({"p": Part(label="yes", words=("1e3", "a: b"))}).startswith(
        "p:\n  label: 'yes'\n  count: 1\n  colour: red\n  isOpen: false"
    )


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@,? \n\t~<.1", max_size=60))
def test_any_text_is_either_read_or_refused_with_its_name(text: str) -> None:
    refused = ""
    try:
        load(text, name="x.yaml")
    except ConfigError as error:
        refused = str(error)
    assert refused == "" or refused.startswith("x.yaml:")


def test_an_error_without_a_place_is_reported_without_one() -> None:
    assert str(_syntax_error("x.yaml", "", pyyaml.YAMLError("odd\n"))) == "x.yaml: not valid YAML: odd"
    assert str(_syntax_error("x.yaml", "", pyyaml.MarkedYAMLError(problem="odd"))) == "x.yaml: not valid YAML: odd"

"""Values as handlebars.js sees them."""

import math
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.handlebars import UNDEFINED, HelperError, SafeString, escape_html
from coderun.handlebars.values import (
    is_empty,
    member,
    number_text,
    property_name,
    same_context,
    to_text,
    to_text_strict,
    truthy,
)


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (UNDEFINED, ""),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (1.0, "1"),
        (-0.0, "0"),
        (1.5e-7, "1.5e-7"),
        (0.000001, "0.000001"),
        (1e21, "1e+21"),
        (123456789012345680000.0, "123456789012345680000"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
        ([1, [2, None], "x"], "1,2,,x"),
        ((1, 2), "1,2"),
        ({}, "[object Object]"),
        (Colour.RED, "red"),
        (SafeString("s"), "s"),
    ],
)
def test_a_value_prints_as_in_javascript(value: Any, text: str) -> None:
    assert to_text(value) == text


def test_an_object_cannot_be_printed_by_a_strict_template() -> None:
    with pytest.raises(HelperError, match=r"an object cannot be printed: .* helper json"):
        to_text_strict([{}])


def test_what_is_no_json_cannot_be_printed() -> None:
    with pytest.raises(HelperError, match="a value of type Decimal cannot be printed"):
        to_text(Decimal(1))


def test_a_list_nested_too_deeply_is_an_error() -> None:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    with pytest.raises(HelperError, match="a list nested too deeply cannot be printed"):
        to_text(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_printed_float_reads_back_as_itself(value: float) -> None:
    assert float(number_text(value)) == value


@pytest.mark.parametrize("value", [None, UNDEFINED, False, 0, 0.0, math.nan, "", [], ()])
def test_false_values(value: Any) -> None:
    assert not truthy(value)


@pytest.mark.parametrize("value", [True, 1, -1, "0", " ", [0], {}, MappingProxyType({})])
def test_true_values(value: Any) -> None:
    assert truthy(value)


@pytest.mark.parametrize(
    ("value", "empty"), [(0, False), (0.0, False), (False, True), ("", True), ([], True), (math.nan, True), ({}, False)]
)
def test_zero_is_something_for_with(value: Any, empty: bool) -> None:
    assert is_empty(value) is empty


@pytest.mark.parametrize(
    ("value", "key", "found"),
    [
        ({"a": 1}, "a", 1),
        (MappingProxyType({"a": 1}), "a", 1),
        ({"a": None}, "a", None),
        ([5, 6], "1", 6),
        ([5, 6], "length", 2),
        ("text", "length", 4),
        ("text", "0", "t"),
        ([5, 6], "01", UNDEFINED),
        ([5, 6], "-1", UNDEFINED),
        ([5, 6], "2", UNDEFINED),
        ([5, 6], "9" * 50, UNDEFINED),
        ([5, 6], "²", UNDEFINED),
        ({}, "__class__", UNDEFINED),
        ([], "append", UNDEFINED),
        ("", "upper", UNDEFINED),
        (5, "real", UNDEFINED),
        (None, "x", UNDEFINED),
        (object(), "__class__", UNDEFINED),
    ],
)
def test_members_are_keys_indexes_and_lengths_and_nothing_else(value: Any, key: str, found: Any) -> None:
    assert member(value, key) == found


@pytest.mark.parametrize(
    ("value", "other", "same"),
    [
        (1, 1.0, True),
        ("ab", "abc"[:2], True),
        ("1", 1, True),
        ("x", 1, False),
        ("", 0, True),
        (None, UNDEFINED, True),
        (None, 0, False),
        ({}, {}, False),
        ([], None, False),
    ],
)
def test_a_context_is_the_same_where_javascript_says_so(value: Any, other: Any, same: bool) -> None:
    assert same_context(value, other) is same


def test_property_names_are_those_of_javascript() -> None:
    assert [property_name(key) for key in ("a", 1, 1.0, None, UNDEFINED, True)] == ["a", "1", "1", "null", "undefined", "true"]


def test_html_is_escaped_as_handlebars_js_does() -> None:
    assert escape_html("& < > \" ' ` = x") == "&amp; &lt; &gt; &quot; &#x27; &#x60; &#x3D; x"


def test_undefined_is_false_and_empty() -> None:
    assert not UNDEFINED
    assert (str(UNDEFINED), repr(UNDEFINED)) == ("", "undefined")

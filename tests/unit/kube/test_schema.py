"""Structs become schemas that an API server takes."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
import pytest

from coderun.kube.schema import WHOLE, Words, schema_of


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Leaf(msgspec.Struct):
    size: int


class Tree(msgspec.Struct, rename="camel"):
    tall: float
    is_old: bool = False
    leafy: bool = True
    name: str = ""
    kind: str = "oak"
    colour: Colour = Colour.BLUE
    port: int | str = 0
    count: int = 0
    limit: int | None = None
    since: datetime | None = None
    leaf: Leaf | None = None
    leaves: tuple[Leaf, ...] = ()
    rows: list[str] = []
    words: dict[str, str] = {}
    anything: dict[str, Any] = {}
    whatever: Any = None


def test_every_type_has_its_schema_and_a_default_where_it_says_something() -> None:
    leaf = {"type": "object", "properties": {"size": {"type": "integer", "format": "int64"}}, "required": ["size"]}
    assert schema_of(Tree, {}) == {
        "type": "object",
        "required": ["tall"],
        "properties": {
            "tall": {"type": "number", "format": "double"},
            "isOld": {"type": "boolean"},
            "leafy": {"type": "boolean", "default": True},
            "name": {"type": "string"},
            "kind": {"type": "string", "default": "oak"},
            "colour": {"type": "string", "enum": ["red", "blue"], "default": "blue"},
            "port": {"x-kubernetes-int-or-string": True},
            "count": {"type": "integer", "format": "int64"},
            "limit": {"type": "integer", "format": "int64", "nullable": True},
            "since": {"type": "string", "format": "date-time", "nullable": True},
            "leaf": {**leaf, "nullable": True},
            "leaves": {"type": "array", "items": leaf, "x-kubernetes-list-type": "atomic"},
            "rows": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"},
            "words": {"type": "object", "additionalProperties": {"type": "string"}},
            "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "whatever": {"x-kubernetes-preserve-unknown-fields": True},
        },
    }


def test_words_are_laid_over_a_field_and_over_the_struct() -> None:
    words: Words = {
        Leaf: {WHOLE: {"description": "a leaf", "properties": {"old": {}}}, "size": {"minimum": 1, "description": "how big"}}
    }
    made = schema_of(Leaf, words)
    assert made == {
        "description": "a leaf",
        "type": "object",
        "properties": {"size": {"description": "how big", "type": "integer", "format": "int64", "minimum": 1}, "old": {}},
        "required": ["size"],
    }
    assert next(iter(made)) == "description"


def test_words_for_a_field_that_is_not_there_are_an_error() -> None:
    with pytest.raises(LookupError, match="Leaf has no field 'colour' that words could be laid over"):
        schema_of(Leaf, {Leaf: {"colour": {"description": "none"}}})


class Odd(msgspec.Struct):
    raw: bytes


class Mixed(msgspec.Struct):
    either: int | bool


def test_types_that_a_custom_resource_cannot_hold_are_an_error() -> None:
    with pytest.raises(TypeError, match="cannot hold BytesType"):
        schema_of(Odd, {})
    with pytest.raises(TypeError, match=r"cannot hold a union of \['BoolType', 'IntType'\]"):
        schema_of(Mixed, {})

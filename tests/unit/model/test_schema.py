"""Words for values that do not fit, also where msgspec says something nobody has seen yet."""

from typing import Any

import msgspec
import pytest

from coderun.model.schema import advice, describe, keys_of


class Leaf(msgspec.Struct, forbid_unknown_fields=True):
    size: int
    note: str | msgspec.UnsetType = msgspec.UNSET


class Tree(msgspec.Struct, forbid_unknown_fields=True):
    leaves: dict[str, Leaf] = {}
    rows: tuple[Leaf, ...] = ()
    pairs: tuple[int, int] = (0, 0)


def test_every_key_is_listed_with_its_default() -> None:
    assert dict(keys_of(Tree)) == {
        "leaves.<name>.size": msgspec.NODEFAULT,
        "leaves.<name>.note": msgspec.UNSET,
        "rows[].size": msgspec.NODEFAULT,
        "rows[].note": msgspec.UNSET,
        "pairs": (0, 0),
    }


def test_a_path_is_written_as_people_write_it() -> None:
    assert describe(("agents", "rex", "tools", 0, "name")) == "agents.rex.tools[0].name"


@pytest.mark.parametrize(
    ("data", "refusal", "path", "message"),
    [
        ({}, "Something new about `x`", (), "Something new about 'x'"),
        ({"pairs": [1, "a"]}, "Odd - at `$.pairs[1]`", ("pairs", 1), "Odd"),
        ({"leaves": 3}, "Odd - at `$.leaves[...].size`", ("leaves",), "Odd"),
        ({"leaves": {"a": {"size": 1}}}, "Odd - at `$.leaves[...].size`", ("leaves",), "Odd"),
        ({"rows": []}, "Odd - at `$.rows[4].size`", ("rows", 4, "size"), "Odd"),
        ({"leaves": {"a": {"size": 1}, "b": {"size": "x"}}}, "Expected `int`, got `str` - at `$.leaves[...].size`",
         ("leaves", "b", "size"), "expected int, got str; write a whole number"),
    ],
)  # fmt: skip
def test_the_place_is_as_near_as_it_can_be_found(data: Any, refusal: str, path: tuple[str | int, ...], message: str) -> None:
    assert advice(data, Tree, refusal) == (path, message, False)

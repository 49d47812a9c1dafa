"""docs/configuration.md names every key of coderun.yaml, with its default, and no other."""

import re
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coderun.model.config import Config
from coderun.model.schema import keys_of
from coderun.model.yaml import load

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(?P<key>[^`]+)` \| (?P<default>[^|]+) \| (?P<meaning>[^|]+) \|$", re.MULTILINE)
ROWS = {found["key"]: found["default"].strip() for found in ROW.finditer(PAGE)}
KEYS = dict(keys_of(Config))
EXTRA = {"agents.<name>.cli", "roles.<name>"}  # a scalar beside its mapping, and the values of a plain dict


def plain(default: Any) -> Any:
    if isinstance(default, Enum):
        return default.value
    return list(default) if isinstance(default, tuple) else default


def test_the_page_names_exactly_the_keys_there_are() -> None:
    assert set(ROWS) - EXTRA == set(KEYS) - {"roles"}
    assert set(ROWS) >= EXTRA


@pytest.mark.parametrize("key", sorted(set(KEYS) - {"roles"}))
def test_the_default_on_the_page_is_the_default(key: str) -> None:
    default, written = plain(KEYS[key]), ROWS[key]
    if default is msgspec.NODEFAULT:
        assert written == "–"
    elif default is msgspec.UNSET:
        assert written.startswith("packaged, else ")
    elif default is None:
        assert written == "none"
    else:
        assert load(written.strip("`"), name=key).data == default

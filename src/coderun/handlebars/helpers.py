"""The helpers every template has: comparisons, texts, JSON and quoting for a shell.

A helper is a plain function of its arguments; hash arguments arrive as keywords. One that needs its block, the context or the
data variables is wrapped in `OptionsHelper` and gets an `Options` first.
"""

import json
import logging
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from coderun.handlebars.errors import HelperError
from coderun.handlebars.runtime import Body, Frame
from coderun.handlebars.values import MAX_DATA_DEPTH, UNDEFINED, to_text, to_text_strict, truthy

_log = logging.getLogger("coderun.handlebars")
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_NUMBERED: Final = ("debug", "info", "warn", "error")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
MAX_INDENT: Final = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a helper may know beyond its arguments.

    `context` is `this`; `data` the data variables; `hash` the `key=value` arguments. `fn(context)` renders the block and
    `inverse(context)` its `{{else}}`; both take data variables and block parameters after the context, and give "" where there
    is no such part.
    """

    name: str
    context: Any
    data: Frame
    hash: Mapping[str, Any] = field(default_factory=dict)
    body: Body | None = None
    inverse_body: Body | None = None

    @property
    def is_block(self) -> bool:
        """Whether the helper was called as `{{#name}}…{{/name}}`."""
        return self.body is not None or self.inverse_body is not None

    def fn(self, context: Any, data: Mapping[str, Any] | None = None, block_params: Sequence[Any] = ()) -> str:
        """The block rendered with `context`; `data` is laid over the data variables."""
        return self._run(self.body, context, data, block_params)

    def inverse(self, context: Any, data: Mapping[str, Any] | None = None, block_params: Sequence[Any] = ()) -> str:
        """The inverse of the block rendered with `context`."""
        return self._run(self.inverse_body, context, data, block_params)

    def _run(self, body: Body | None, context: Any, data: Mapping[str, Any] | None, block_params: Sequence[Any]) -> str:
        if body is None:
            return ""
        return body(context, self.data if data is None else Frame(self.data, data), block_params)


@dataclass(frozen=True, slots=True)
class OptionsHelper:
    """A helper that is called with `Options` before its arguments."""

    function: Callable[..., Any]


Helper: TypeAlias = Callable[..., Any] | OptionsHelper


def eq(left: Any, right: Any, /) -> bool:
    """Whether two JSON values are equal: `1` and `1.0` are, `1` and `true` or `"1"` are not; undefined equals null."""
    return _equal(left, right, MAX_DATA_DEPTH)


def ne(left: Any, right: Any, /) -> bool:
    """Whether two JSON values differ, as `eq` sees it."""
    return not eq(left, right)


def _equal(left: Any, right: Any, depth: int) -> bool:
    if not depth:
        msg = "values nested too deeply cannot be compared"
        raise HelperError(msg)
    if left is None or left is UNDEFINED:
        return right is None or right is UNDEFINED
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_equal(left[key], right[key], depth - 1) for key in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(_equal(a, b, depth - 1) for a, b in zip(left, right, strict=True))
    return bool(left == right)


def lt(left: Any, right: Any, /) -> bool:
    """Whether one number or text comes before another."""
    left, right = _comparable(left, right)
    return bool(left < right)


def lte(left: Any, right: Any, /) -> bool:
    """Whether one number or text comes before another or equals it."""
    left, right = _comparable(left, right)
    return bool(left <= right)


def gt(left: Any, right: Any, /) -> bool:
    """Whether one number or text comes after another."""
    left, right = _comparable(left, right)
    return bool(left > right)


def gte(left: Any, right: Any, /) -> bool:
    """Whether one number or text comes after another or equals it."""
    left, right = _comparable(left, right)
    return bool(left >= right)


def _comparable(left: Any, right: Any) -> tuple[Any, Any]:
    if isinstance(left, str) and isinstance(right, str):
        return left, right
    if _is_number(left) and _is_number(right):
        return left, right
    raise HelperError(f"two numbers or two texts can be compared, found {_kind(left)} and {_kind(right)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def length(value: Any, /) -> int:
    """The number of elements of a list, members of an object, characters of a text."""
    if isinstance(value, (str, list, tuple, Mapping)):
        return len(value)
    raise HelperError(f"a list, an object or a text has a length, found {_kind(value)}")


def all_true(*values: Any) -> bool:
    """Whether every argument is true as `#if` sees it."""
    return all(map(truthy, values))


def any_true(*values: Any) -> bool:
    """Whether one argument is true as `#if` sees it."""
    return any(map(truthy, values))


def negation(value: Any, /) -> bool:
    """Whether the argument is false as `#if` sees it."""
    return not truthy(value)


def lowercase(value: Any, /) -> str:
    """The text in lower case."""
    return to_text_strict(value).lower()


def uppercase(value: Any, /) -> str:
    """The text in upper case."""
    return to_text_strict(value).upper()


def default(*values: Any) -> Any:
    """The first argument that is present: not missing, null or "". False and 0 are present."""
    for value in values:
        if value is not None and value is not UNDEFINED and value != "":
            return value
    return values[-1] if values else UNDEFINED


def to_json(value: Any, /, *, indent: Any = None) -> str:
    """The value as JSON, on one line or indented by `indent` blanks; undefined is null, NaN has no JSON form."""
    try:
        text = json.dumps(
            _plain(value, MAX_DATA_DEPTH),
            ensure_ascii=False,
            allow_nan=False,
            indent=None if indent is None else _width(indent),
            separators=(",", ":") if indent is None else (",", ": "),
        )
    except ValueError as error:
        msg = "NaN and Infinity have no JSON form"
        raise HelperError(msg) from error
    return _SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return str.__str__(value) if isinstance(value, str) else value
    if not depth:
        raise HelperError(f"data nested more than {MAX_DATA_DEPTH} deep cannot be written as JSON")
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else to_text(key): _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1) for item in value]
    if value is UNDEFINED:
        return None
    raise HelperError(f"a value of type {type(value).__name__} has no JSON form")


def contains(container: Any, item: Any, /) -> bool:
    """Whether a list has the element, a text the part, an object the key."""
    if isinstance(container, str):
        return to_text(item) in container
    if isinstance(container, Mapping):
        return item in container if isinstance(item, str) else to_text(item) in container
    if isinstance(container, (list, tuple)):
        return any(eq(element, item) for element in container)
    raise HelperError(f"a list, an object or a text can contain something, found {_kind(container)}")


def join(items: Any, separator: Any = ",", /) -> str:
    """The elements of a list as one text with `separator` between them."""
    if not isinstance(items, (list, tuple)):
        raise HelperError(f"a list can be joined, found {_kind(items)}")
    return to_text_strict(separator).join([to_text_strict(item) for item in items])


def concat(*values: Any) -> str:
    """The arguments as one text."""
    return "".join(map(to_text_strict, values))


def shellquote(value: Any, /) -> str:
    """The text as one word of a POSIX shell, the elements of a list as one word each; a NUL byte is an error."""
    if isinstance(value, (list, tuple)):
        return " ".join([_word(item) for item in value])
    return _word(value)


def _word(value: Any) -> str:
    text = to_text_strict(value)
    if "\0" in text:
        msg = "a NUL byte cannot be part of a shell word"
        raise HelperError(msg)
    return shlex.quote(text)


def indent(value: Any, width: Any, /, *, first: Any = True) -> str:
    """The text with `width` blanks before every line that is not empty; `first=false` leaves the first line as it is."""
    blanks = " " * _width(width)
    lines = to_text_strict(value).split("\n")
    return "\n".join([blanks + line if line and (index or truthy(first)) else line for index, line in enumerate(lines)])


def _width(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_INDENT:
        raise HelperError(f"a width is a whole number from 0 to {MAX_INDENT}, found {_kind(value)}")
    return value


def log(*values: Any, level: Any = "info") -> str:
    """Writes its arguments to the log `coderun.handlebars` at `level` (debug, info, warn, error) and prints nothing."""
    if _is_number(level) and level in range(len(_NUMBERED)):
        level = _NUMBERED[int(level)]
    number = _LEVELS.get(level.lower()) if isinstance(level, str) else None
    if number is None:
        raise HelperError(f"the level of log is one of {', '.join(_LEVELS)}, found {_kind(level)}")
    _log.log(number, "%s", " ".join(map(to_text, values)))
    return ""


def _kind(value: Any) -> str:
    if value is None or value is UNDEFINED:
        return "undefined" if value is UNDEFINED else "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, (list, tuple)) else f"the number {to_text(value)}"


HELPERS: Final[Mapping[str, Helper]] = {
    "and": all_true,
    "concat": concat,
    "contains": contains,
    "default": default,
    "eq": eq,
    "gt": gt,
    "gte": gte,
    "indent": indent,
    "join": join,
    "json": to_json,
    "len": length,
    "log": log,
    "lowercase": lowercase,
    "lt": lt,
    "lte": lte,
    "ne": ne,
    "not": negation,
    "or": any_true,
    "shellquote": shellquote,
    "uppercase": uppercase,
}
# Helpers whose result is a bool, and helpers that make nothing of a missing argument: a strict template requires it.
BOOLEAN: Final = frozenset({all_true, any_true, negation, eq, ne, lt, lte, gt, gte, contains})
NEEDS_VALUES: Final = frozenset(
    {lt, lte, gt, gte, length, lowercase, uppercase, to_json, contains, join, concat, shellquote, indent},
)

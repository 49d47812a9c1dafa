"""JSON values as handlebars.js sees them: what is missing, what is true, how a value reads as text.

Only mappings, lists and strings have members; a Python attribute is never looked up, so a template reaches nothing but data.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, final

from coderun.handlebars.errors import HelperError

Escape: TypeAlias = Callable[[str], str]
MAX_DATA_DEPTH: Final = 100
EXPONENT_FROM: Final = 21
EXPONENT_BELOW: Final = -6
_HTML: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;", "`": "&#x60;", "=": "&#x3D;"},
)


@final
class Undefined:
    """What a look-up that found nothing gives: false, empty as text, and not the same as a null that is present."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "undefined"

    def __str__(self) -> str:
        return ""


UNDEFINED: Final = Undefined()


class SafeString(str):
    """Text that a helper has escaped already: it is printed as it is."""

    __slots__ = ()


def escape_html(text: str) -> str:
    """`text` with the characters replaced that handlebars.js replaces: ampersand, angle brackets, quotes, backtick and `=`."""
    return text.translate(_HTML)


def member(value: Any, key: str) -> Any:
    """The member `key` of a mapping, list or string (`length` and indexes of the last two); `UNDEFINED` where there is none."""
    if isinstance(value, Mapping):
        return value.get(key, UNDEFINED)
    if isinstance(value, (list, tuple, str)):
        if key == "length":
            return len(value)
        if key.isascii() and key.isdecimal() and (key == "0" or key[0] != "0") and len(key) < EXPONENT_FROM:
            index = int(key)
            return value[index] if index < len(value) else UNDEFINED
    return UNDEFINED


def truthy(value: Any) -> bool:
    """Whether `#if` takes its first branch: not for undefined, null, false, 0, NaN, "" and an empty list; `{}` is true."""
    if value:
        return bool(value == value)  # noqa: PLR0124 - NaN is the one value that differs from itself
    return isinstance(value, Mapping)


def is_empty(value: Any) -> bool:
    """Whether `#with` takes its inverse: as `truthy`, but 0 is something."""
    return not truthy(value) and (isinstance(value, bool) or not isinstance(value, (int, float)) or value != value)  # noqa: PLR0124


def same_context(value: Any, other: Any) -> bool:
    """Whether entering a block with context `value` inside context `other` is no step, as JavaScript's `==` decides it."""
    if value is other:
        return True
    if value is None or value is UNDEFINED:
        return other is None or other is UNDEFINED
    if isinstance(value, str) and isinstance(other, str):
        return value == other
    left, right = _as_number(value), _as_number(other)
    return left is not None and right is not None and left == right


def _as_number(value: Any) -> float | None:
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str):
        try:
            return float(value) if value.strip() else 0
        except ValueError:
            return None
    return None


def to_text(value: Any) -> str:
    """`value` as handlebars.js prints it: null and undefined as nothing, `1.0` as `1`, a list joined by commas."""
    return _text(value, MAX_DATA_DEPTH, strict=False)


def to_text_strict(value: Any) -> str:
    """`value` as `to_text` gives it, but an object is an error: nobody wants to read `[object Object]`."""
    return _text(value, MAX_DATA_DEPTH, strict=True)


def _text(value: Any, depth: int, *, strict: bool) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or value is UNDEFINED:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, (list, tuple)):
        if not depth:
            msg = "a list nested too deeply cannot be printed"
            raise HelperError(msg)
        return ",".join([_text(item, depth - 1, strict=strict) for item in value])
    if not isinstance(value, Mapping):
        raise HelperError(f"a value of type {type(value).__name__} cannot be printed: templates know JSON values only")
    if strict:
        msg = "an object cannot be printed: print one of its members, or the whole with the helper json"
        raise HelperError(msg)
    return "[object Object]"


def number_text(value: float) -> str:
    """A float as JavaScript writes it (ECMA-262, Number::toString): shortest digits, exponents from 1e21 and below 1e-6."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if not value:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return sign + _layout(digits, point)


def _layout(digits: str, point: int) -> str:
    # `point` is where the decimal point stands, counted from the first digit.
    if len(digits) <= point <= EXPONENT_FROM:
        return digits.ljust(point, "0")
    if 0 < point <= EXPONENT_FROM:
        return f"{digits[:point]}.{digits[point:]}"
    if EXPONENT_BELOW < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def property_name(key: Any) -> str:
    """A computed key (of `lookup`) as JavaScript names the property: a number by its digits, null as `null`."""
    if isinstance(key, str):
        return key
    if key is None:
        return "null"
    if key is UNDEFINED:
        return "undefined"
    return to_text(key)

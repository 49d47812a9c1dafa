"""Look-ups and printing, in the variants that a template's settings call for; generated code calls them by one-letter names.

`need` raises where a variable is missing. `take` is for arguments of strict templates: a missing last segment is undefined, a
missing segment before it is an error.
"""

from collections.abc import Callable, Mapping
from typing import Any

from coderun.handlebars.runtime import FaultError, MissingError
from coderun.handlebars.values import UNDEFINED, Escape, SafeString, member, property_name, to_text, to_text_strict


def need(context: Any, parts: tuple[str, ...]) -> Any:
    """The value at `parts`, every segment of which must be there."""
    value = context
    for index, key in enumerate(parts):
        inner = member(value, key)
        if inner is UNDEFINED:
            raise MissingError(value, parts, index)
        value = inner
    return value


def need_value(value: Any) -> Any:
    """`value`, which must be something (a context above the root is not)."""
    if value is UNDEFINED:
        raise MissingError(value, (), 0)
    return value


def take(context: Any, parts: tuple[str, ...]) -> Any:
    """The value at `parts`, undefined where the last segment is missing; one before it must be there."""
    value, last = context, len(parts) - 1
    for index, key in enumerate(parts):
        inner = member(value, key)
        if inner is UNDEFINED and (index < last or value is UNDEFINED or (value is None and index)):
            raise MissingError(value, parts, index)
        value = inner
    return value


def take_any(context: Any, parts: tuple[str, ...]) -> Any:
    """The value at `parts`, undefined where any segment is missing."""
    value = context
    for key in parts:
        value = member(value, key)
    return value


def look_up(value: Any, key: Any) -> Any:
    """The helper `lookup`: a computed member."""
    if value or isinstance(value, (Mapping, list, tuple)):
        return member(value, property_name(key))
    return value


def look_up_needed(value: Any, key: Any) -> Any:
    """The helper `lookup` where its result is printed by a strict template."""
    found = look_up(value, key)
    if found is UNDEFINED:
        raise MissingError(value, (property_name(key),), 0)
    return found


def missing_helper(value: Any, name: str, arguments: int) -> Any:
    """The call of a helper nobody registered, in a template that is not strict: undefined where it was called with nothing."""
    if value is not None and value is not UNDEFINED:
        raise FaultError(f"{name!r} is data, not a helper: it cannot be called")
    if arguments:
        raise FaultError(f"Missing helper: {name!r}")
    return UNDEFINED


def printer(escape: Escape | None, *, strict: bool) -> Callable[[Any], str]:
    """The function that makes text of a value, escaped where the template escapes."""
    plain = to_text_strict if strict else to_text
    if escape is None:
        return plain

    def escaped(value: Any) -> str:
        return str.__str__(value) if isinstance(value, SafeString) else escape(plain(value))

    return escaped


def namespace(escape: Escape | None, *, strict: bool) -> dict[str, Any]:
    """The look-ups by the names generated code knows them by.

    `s` and `S` print a path of one and of more segments, `u` and `U` without escaping; `g` and `G` take an argument, `q` and
    `Q` one that must be there; `T` and `V` print any value, `V` without escaping.
    """
    text, plain = printer(escape, strict=strict), to_text_strict if strict else to_text
    whole = need if strict else take_any
    names = {"T": text, "V": plain, "Q": whole, "q": _one_needed if strict else _one, "N": need_value if strict else _same}
    names |= {"G": take if strict else take_any, "g": _one_taken if strict else _one, "M": missing_helper}
    names["s"], names["S"] = _printing(text, whole, escapes=escape is not None)
    names["u"], names["U"] = _printing(plain, whole, escapes=False)
    return names


def _printing(
    text: Callable[[Any], str],
    whole: Callable[[Any, tuple[str, ...]], Any],
    *,
    escapes: bool,
) -> tuple[Callable[[Any, str], str], Callable[[Any, tuple[str, ...]], str]]:
    as_it_is = None if escapes else str

    def one(context: Any, key: str) -> str:
        if type(context) is dict and key in context:
            value = context[key]
            if type(value) is as_it_is:
                return value
            return text(value)
        return text(whole(context, (key,)))

    def many(context: Any, parts: tuple[str, ...]) -> str:
        value = context
        for key in parts:
            if type(value) is not dict or key not in value:
                return text(whole(context, parts))
            value = value[key]
        return value if type(value) is as_it_is else text(value)

    return one, many


def _one(context: Any, key: str) -> Any:
    return context.get(key, UNDEFINED) if type(context) is dict else member(context, key)


def _one_taken(context: Any, key: str) -> Any:
    if type(context) is dict:
        return context.get(key, UNDEFINED)
    return take(context, (key,))


def _one_needed(context: Any, key: str) -> Any:
    if type(context) is dict and key in context:
        return context[key]
    return need(context, (key,))


def _same(value: Any) -> Any:
    return value

"""What is wrong with a value that does not fit its struct, in words for the person who wrote it.

`model.yaml.decode` asks here after msgspec has refused a document. msgspec names neither the key of a dict nor the keys and
words it would have taken; both are found again from the data and the type. Nothing here reads a file.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import inspect

from coderun.model.text import did_you_mean, listed

Path: TypeAlias = tuple[str | int, ...]
_Step: TypeAlias = str | int | None  # None: some key of a dict, msgspec's `[...]`

_AT: Final = re.compile(r"(?P<what>.*?)(?: - at (?P<key>`key` in )?`(?P<path>\$[^`]*)`)?", re.DOTALL)
_STEP: Final = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)
_WRONG_KIND: Final = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<found>[^`]*)`")
_BOUND: Final = re.compile(r"Expected `(?P<kind>[^`]*)` (?P<bound>.*)", re.DOTALL)

_WRITE: Final = {
    "str": "text, in quotes where it looks like a number",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "array": "a list: [a, b]",
    "object": "keys and values below it",
    "null": "nothing after the colon",
}


def advice(data: Any, type_: Any, refusal: str) -> tuple[Path, str, bool]:
    """Where `data` does not fit `type_`, what to say of it, and whether the key itself (not its value) is at fault.

    `refusal` is the text of msgspec's `ValidationError` for exactly this data and type.
    """
    found = _AT.fullmatch(refusal)
    what, pattern = (found["what"], _steps(found["path"] or "$")) if found else (refusal, [])
    path = _settle(data, type_, refusal, pattern)
    fields = inspect.type_info(type_)
    unknown = _UNKNOWN.fullmatch(what)
    if unknown:
        known = [field.encode_name for field in _fields_at(fields, path)]
        name = unknown["name"]
        return (*path, name), f"unknown key{did_you_mean(name, known)} (known keys: {listed(known, limit=30)})", True
    missing = _MISSING.fullmatch(what)
    if missing:
        return path, f"{missing['name']!r} is missing; write `{missing['name']}: …`", False
    return path, _wrong_value(what, _value_at(data, path), _types_at(fields, path)), False


def describe(path: Path) -> str:
    """`path` as people write it: `agents.rex.role`, `checks[0].run`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def keys_of(type_: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key a struct takes, as `(dotted path, default)`; `<name>` stands for the keys of a dict, `[]` for items of a list.

    The default of a key that must be written is `msgspec.NODEFAULT`; of one that merely may be, `msgspec.UNSET`.
    """
    for field in _structs_fields(inspect.type_info(type_)):
        yield from _keys_of_field(field, prefix)


def _keys_of_field(field: inspect.Field, prefix: str) -> Iterator[tuple[str, Any]]:
    path = f"{prefix}{field.encode_name}"
    default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
    if default is msgspec.NODEFAULT and not field.required:
        default = msgspec.UNSET
    below = list(_below(field.type, path))
    if not below:
        yield path, default
    yield from below


def _below(type_: inspect.Type, path: str) -> Iterator[tuple[str, Any]]:
    for one in _alternatives(type_):
        match one:
            case inspect.StructType():
                for field in one.fields:
                    yield from _keys_of_field(field, f"{path}.")
            case inspect.DictType():
                yield from _below(one.value_type, f"{path}.<name>")
            case inspect.VarTupleType() | inspect.ListType():
                yield from _below(one.item_type, f"{path}[]")
            case _:
                pass


def _steps(path: str) -> list[_Step]:
    return [found["name"] or (int(found["index"]) if found["index"] else None) for found in _STEP.finditer(path)]


def _settle(data: Any, type_: Any, refusal: str, pattern: list[_Step]) -> Path:
    """The path with real keys: for each `[...]` the first key that alone is refused in the same words."""
    path: Path = ()
    for step in pattern:
        if step is not None:
            path = (*path, step)
            continue
        entries = _value_at(data, path)
        if not isinstance(entries, dict):
            return path
        culprit = next((key for key in entries if _is_refused(_only(data, path, key), type_, refusal)), None)
        if culprit is None:
            return path
        data = _only(data, path, culprit)
        path = (*path, culprit)
    return path


def _is_refused(data: Any, type_: Any, refusal: str) -> bool:
    try:
        msgspec.convert(data, type_, strict=True)
    except msgspec.ValidationError as error:
        return str(error) == refusal
    return False


def _only(data: Any, path: Path, key: str) -> Any:
    """A copy of `data` whose dict at `path` has this one key."""
    if not path:
        return {key: data[key]}
    copy = data.copy()
    copy[path[0]] = _only(data[path[0]], path[1:], key)
    return copy


def _value_at(data: Any, path: Path) -> Any:
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _alternatives(type_: inspect.Type) -> tuple[inspect.Type, ...]:
    return type_.types if isinstance(type_, inspect.UnionType) else (type_,)


def _types_at(type_: inspect.Type, path: Path) -> list[inspect.Type]:
    types = list(_alternatives(type_))
    for step in path:
        types = [inner for one in types for inner in _inside(one, step)]
    return types


def _inside(type_: inspect.Type, step: str | int) -> tuple[inspect.Type, ...]:
    match type_:
        case inspect.StructType():
            return next((_alternatives(field.type) for field in type_.fields if field.encode_name == step), ())
        case inspect.DictType():
            return _alternatives(type_.value_type)
        case inspect.VarTupleType() | inspect.ListType():
            return _alternatives(type_.item_type)
        case _:
            return ()


def _structs_fields(type_: inspect.Type) -> list[inspect.Field]:
    return [field for one in _alternatives(type_) if isinstance(one, inspect.StructType) for field in one.fields]


def _fields_at(type_: inspect.Type, path: Path) -> list[inspect.Field]:
    return [field for one in _types_at(type_, path) for field in _structs_fields(one)]


def _wrong_value(what: str, value: Any, types: list[inspect.Type]) -> str:
    words = [str(member.value) for one in types if isinstance(one, inspect.EnumType) for member in one.cls]
    if words and isinstance(value, str):
        return f"{value!r} is not known{did_you_mean(value, words)} (write one of: {listed(words)})"
    kind = _WRONG_KIND.fullmatch(what)
    if kind:
        wanted = [name.strip() for name in kind["expected"].split("|")]
        write = " or ".join(_WRITE.get(name, name) for name in wanted if name != "null" or len(wanted) == 1)
        if kind["found"] == "null":
            return f"nothing is written here; write {write}, or remove the key"
        return f"expected {kind['expected']}, got {kind['found']}; write {write}"
    bound = _BOUND.fullmatch(what)
    if bound:
        return f"expected {bound['kind']} {bound['bound']}, got {value!r}"
    return what.replace("`", "'")

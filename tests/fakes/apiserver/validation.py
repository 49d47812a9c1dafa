"""Checks a value against a compiled schema, in the words of the real server; CEL rules run last, as there."""

import json
import re
from collections.abc import Callable
from typing import Any

from tests.fakes.apiserver.cel import CelError, evaluate, parse
from tests.fakes.apiserver.errors import Cause, invalid_value, required, unsupported
from tests.fakes.apiserver.schema import META, Rule, Schema

_UNCHECKED = (
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing "
    "errors to complete validation"
)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_FORMATS: dict[str, Callable[[Any], bool]] = {
    "date-time": lambda value: _DATE_TIME.fullmatch(value) is not None,
    "int32": lambda value: -(2**31) <= value < 2**31,
    "int64": lambda value: -(2**63) <= value < 2**63,
}


def check(value: Any, schema: Schema, *, old: Any = None, field: str = "") -> list[Cause]:
    """What is wrong with `value`; `old` is what stood there before, for transition rules."""
    found: list[Cause] = []
    if not _is_plainly_right(value, schema, top=True):
        _structure(value, schema, field, found, top=True)
    if not found:
        _rules(value, schema, old, field, found)
    elif schema.rules_inside:
        found.append(Cause(field="<nil>", message=_UNCHECKED))
    return found


def _is_plainly_right(value: Any, schema: Schema, *, top: bool = False) -> bool:
    """Whether types and names alone show that nothing can be wrong: quick, because nearly always that is so."""
    if schema.checks or schema.pattern or schema.any_of or schema.all_of or schema.one_of or schema.not_ or value is None:
        found: list[Cause] = []
        _structure(value, schema, "", found, top=top)
        return not found
    if schema.int_or_string:
        return isinstance(value, int | str) and not isinstance(value, bool)
    if isinstance(value, dict):
        if schema.type not in {"object", ""} or any(name not in value for name in schema.required):
            return False
        properties, additional = schema.properties, schema.additional
        for name, one in value.items():
            below = properties.get(name) or (additional if isinstance(additional, Schema) else None)
            if below is not None and not (top and name in META) and not _is_plainly_right(one, below):
                return False
        return True
    if isinstance(value, list):
        if schema.type not in {"array", ""} or (schema.list_type != "atomic" and not _are_distinct(value, schema)):
            return False
        items = schema.items
        return items is None or all(_is_plainly_right(one, items) for one in value)
    return not schema.type or _TYPES[schema.type](value)


def _are_distinct(value: list[Any], schema: Schema) -> bool:
    if not schema.distinct:
        return True
    if schema.list_type == "set":
        return all(isinstance(one, str) for one in value) and len(set(value)) == len(value)
    keys = [tuple(str(one.get(name)) for name in schema.list_keys) if isinstance(one, dict) else () for one in value]
    return len(set(keys)) == len(keys)


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    return next(name for name, fits in _TYPES.items() if fits(value))


def _structure(value: Any, schema: Schema, field: str, found: list[Cause], *, top: bool = False) -> None:
    if value is None and schema.nullable:
        return
    if schema.int_or_string:
        if not isinstance(value, int | str) or isinstance(value, bool):
            found.append(_wrong_type(field, value, "integer,string"))
            return
    elif schema.type and not _TYPES[schema.type](value):
        found.append(_wrong_type(field, value, schema.type))
        return
    if isinstance(value, dict):
        _object(value, schema, field, found, top=top)
    elif isinstance(value, list):
        _list(value, schema, field, found)
    elif isinstance(value, str):
        _text(value, schema, field, found)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _number(value, schema, field, found)
    if "enum" in schema.checks and value not in schema.checks["enum"]:
        found.append(unsupported(field, value, schema.checks["enum"]))
    _combined(value, schema, field, found)


def _wrong_type(field: str, value: Any, wanted: str) -> Cause:
    name = _type_name(value)
    text = f'{field} in body must be of type {wanted}: "{name}"'
    return Cause(field=field or "<nil>", message=f'Invalid value: "{name}": {text}', reason="FieldValueTypeInvalid")


def _below(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _object(value: dict[str, Any], schema: Schema, field: str, found: list[Cause], *, top: bool) -> None:
    found.extend(required(_below(field, name)) for name in schema.required if name not in value)
    for name, one in value.items():
        if top and name in META:
            continue
        below = schema.properties.get(name)
        if below is not None:
            _structure(one, below, _below(field, name), found)
        elif isinstance(schema.additional, Schema):
            _structure(one, schema.additional, _below(field, name), found)
    _size(len(value), schema, ("minProperties", "maxProperties"), field, "properties", found)


def _list(value: list[Any], schema: Schema, field: str, found: list[Cause]) -> None:
    if schema.items is not None:
        for at, one in enumerate(value):
            _structure(one, schema.items, f"{field}[{at}]", found)
    _size(len(value), schema, ("minItems", "maxItems"), field, "items", found)
    if schema.list_type in {"map", "set"} and schema.distinct:
        seen: list[Any] = []
        for at, one in enumerate(value):
            key = (
                {name: one.get(name) for name in schema.list_keys}
                if schema.list_type == "map" and isinstance(one, dict)
                else one
            )
            if key in seen:
                text = f"Duplicate value: {json.dumps(key)}"
                found.append(Cause(field=f"{field}[{at}]", message=text, reason="FieldValueDuplicate"))
            seen.append(key)


def _size(size: int, schema: Schema, limits: tuple[str, str], field: str, what: str, found: list[Cause]) -> None:
    least, most = (schema.checks.get(name) for name in limits)
    if least is not None and size < least:
        found.append(invalid_value(field, size, f"{field} in body should have at least {least} {what}"))
    if most is not None and size > most:
        text = f"Too many: {size}: must have at most {most} items"
        found.append(Cause(field=field, message=text, reason="FieldValueTooMany"))


def _text(value: str, schema: Schema, field: str, found: list[Cause]) -> None:
    least, most = schema.checks.get("minLength"), schema.checks.get("maxLength")
    if least is not None and len(value) < least:
        found.append(invalid_value(field, value, f"{field} in body should be at least {least} chars long"))
    if most is not None and len(value) > most:
        text = f"Too long: may not be more than {most} bytes"
        found.append(Cause(field=field, message=text, reason="FieldValueTooLong"))
    if schema.pattern is not None and schema.pattern.search(value) is None:
        found.append(invalid_value(field, value, f"{field} in body should match '{schema.pattern.pattern}'"))
    _format(value, schema, field, found)


def _format(value: Any, schema: Schema, field: str, found: list[Cause]) -> None:
    name = schema.checks.get("format")
    fits = _FORMATS.get(name) if isinstance(name, str) else None
    if fits is not None and not fits(value):
        text = f'Invalid value: {json.dumps(value)}: {field} in body must be of type {name}: "{value}"'
        found.append(Cause(field=field, message=text, reason="FieldValueTypeInvalid"))


def _number(value: float, schema: Schema, field: str, found: list[Cause]) -> None:
    checks = schema.checks
    least, most = checks.get("minimum"), checks.get("maximum")
    if least is not None and (value < least or (checks.get("exclusiveMinimum") and value == least)):
        word = "greater than" if checks.get("exclusiveMinimum") else "greater than or equal to"
        found.append(invalid_value(field, value, f"{field} in body should be {word} {least}"))
    if most is not None and (value > most or (checks.get("exclusiveMaximum") and value == most)):
        word = "less than" if checks.get("exclusiveMaximum") else "less than or equal to"
        found.append(invalid_value(field, value, f"{field} in body should be {word} {most}"))
    if (step := checks.get("multipleOf")) and value % step:
        found.append(invalid_value(field, value, f"{field} in body should be a multiple of {step}"))
    _format(value, schema, field, found)


def _combined(value: Any, schema: Schema, field: str, found: list[Cause]) -> None:
    for one in schema.all_of:
        _structure(value, one, field, found)
    if schema.any_of and not any(_fits(value, one) for one in schema.any_of):
        found.append(invalid_value(field, value, f"{field} in body must validate at least one schema (anyOf)"))
    if schema.one_of and sum(_fits(value, one) for one in schema.one_of) != 1:
        found.append(invalid_value(field, value, f"{field} in body must validate one and only one schema (oneOf)"))
    if schema.not_ is not None and _fits(value, schema.not_):
        found.append(invalid_value(field, value, f"{field} in body must not validate the schema (not)"))


def _fits(value: Any, schema: Schema) -> bool:
    found: list[Cause] = []
    _structure(value, schema, "", found)
    return not found


def _rules(value: Any, schema: Schema, old: Any, field: str, found: list[Cause]) -> None:
    if value is None or not schema.rules_inside:
        return
    found.extend(cause for rule in schema.rules if (cause := _broken(rule, value, old, field)) is not None)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for name, one in value.items():
            if (below := schema.of(name)) is not None:
                _rules(one, below, before.get(name), _below(field, name), found)
    elif isinstance(value, list) and schema.items is not None:
        for at, one in enumerate(value):
            _rules(one, schema.items, _same_item(one, schema, old), f"{field}[{at}]", found)


def _same_item(item: Any, schema: Schema, old: Any) -> Any:
    if schema.list_type != "map" or not isinstance(old, list):
        return None
    return next((one for one in old if all(one.get(key) == item.get(key) for key in schema.list_keys)), None)


def _broken(rule: Rule, value: Any, old: Any, field: str) -> Cause | None:
    if rule.is_transition and old is None and not rule.optional_old_self:
        return None
    at = (field + rule.field_path) if rule.field_path else field
    shown = at.removeprefix(".") or "<nil>"
    kind = "object" if isinstance(value, dict) else "array" if isinstance(value, list) else None
    rest = f'"{kind}"' if kind else json.dumps(value, ensure_ascii=False)
    try:
        if evaluate(parse(rule.rule), {"self": value, "oldSelf": old}):
            return None
    except CelError as error:
        text = f"Invalid value: {rest}: rule evaluation error: {error} evaluating rule: {rule.message or rule.rule}"
        return Cause(field=shown, message=text)
    message = rule.message or f"failed rule: {rule.rule}"
    if rule.message_expression:
        message = evaluate(parse(rule.message_expression), {"self": value, "oldSelf": old})
    if rule.reason == "FieldValueForbidden":
        return Cause(field=shown, message=f"Forbidden: {message}", reason=rule.reason)
    if rule.reason == "FieldValueRequired":
        return Cause(field=shown, message=f"Required value: {message}", reason=rule.reason)
    return Cause(field=shown, message=f"Invalid value: {rest}: {message}", reason=rule.reason or "FieldValueInvalid")

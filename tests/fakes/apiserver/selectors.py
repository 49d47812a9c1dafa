"""Label and field selectors.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

import re
from collections.abc import Callable
from typing import Any

from tests.fakes.apiserver.errors import bad_request
from tests.fakes.apiserver.resources import Resource

Match = Callable[[dict[str, Any]], bool]
_REQUIREMENT = re.compile(
    r"\s*(?:(?P<not>!)\s*(?P<absent>[^\s=!,()]+)"
    r"|(?P<key>[^\s=!,()<>]+)(?:\s*(?P<sign>==|!=|=)\s*(?P<value>[^\s=!,()]*)|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|$)"
)


def label_match(selector: str) -> Match | None:
    """Whether an object's labels fit; None where everything does."""
    tests = _requirements(selector)
    if not tests:
        return None
    return lambda thing: all(test(thing["metadata"].get("labels") or {}) for test in tests)


def _requirements(selector: str) -> list[Match]:
    tests: list[Match] = []
    at = 0
    while at < len(selector):
        found = _REQUIREMENT.match(selector, at)
        if found is None:
            raise bad_request(f"unable to parse requirement: found '{selector[at:]}'")
        tests.append(_requirement(found))
        at = found.end()
    return tests


def _requirement(found: re.Match[str]) -> Match:
    if found["not"]:
        absent = found["absent"]
        return lambda labels: absent not in labels
    key = found["key"]
    if found["set"]:
        values = {one.strip() for one in found["values"].split(",")}
        if found["set"] == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: key not in labels or labels[key] not in values
    if not found["sign"]:
        return lambda labels: key in labels
    value = found["value"]
    if found["sign"] == "!=":
        return lambda labels: labels.get(key) != value
    return lambda labels: key in labels and labels[key] == value


def field_match(selector: str, resource: Resource) -> Match | None:
    """Whether an object's fields fit; None where everything does."""
    tests: list[Match] = []
    for part in filter(None, (one.strip() for one in selector.split(","))):
        found = re.fullmatch(r"([^=!]+?)\s*(==|!=|=)\s*(.*)", part)
        if found is None:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{part}'")
        known = ("metadata.name", *(("metadata.namespace",) if resource.namespaced else ()), *resource.fields)
        if found[1] not in known:
            raise bad_request(f"field label not supported: {found[1]}")
        tests.append(_field(found[1].split("."), found[3], equal=found[2] != "!="))
    if not tests:
        return None
    return lambda thing: all(test(thing) for test in tests)


def _field(path: list[str], wanted: str, *, equal: bool) -> Match:
    def test(thing: dict[str, Any]) -> bool:
        value: Any = thing
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        text = "" if value is None else str(value)
        return (text == wanted) is equal

    return test


def both(first: Match | None, second: Match | None) -> Match | None:
    """An object must fit both."""
    if first is None or second is None:
        return first or second
    one, two = first, second
    return lambda thing: one(thing) and two(thing)

"""What the chart grants, read from its templates: the rules stand there as plain YAML."""

from collections.abc import Iterator
from typing import Any, Final

import yaml
from tests.deploy.chart_files import CHART

Right = tuple[str, str]
"""A verb and what it is for: `patch`, `coderuns/status.agents.platform`."""

CONTROLLER: Final = "rbac.yaml"
PEOPLE: Final = "people.yaml"


def rules(template: str, role: int = 0) -> list[dict[str, Any]]:
    """The rules of a Role of a template of the chart."""
    text = (CHART / "templates" / template).read_text("utf-8")
    part = text.split("\nrules:\n")[role + 1].partition("\n---")[0].partition("\n{{")[0]
    found: list[dict[str, Any]] = yaml.safe_load(part)
    return found


def granted(template: str, role: int = 0) -> set[Right]:
    """Every right of a Role."""
    return set(_spread(rules(template, role)))


def name_of(group: str, resource: str) -> str:
    """A resource with its group, as kubectl names it."""
    return f"{resource}.{group}" if group else resource


def _spread(found: list[dict[str, Any]]) -> Iterator[Right]:
    for rule in found:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield verb, name_of(group, resource)

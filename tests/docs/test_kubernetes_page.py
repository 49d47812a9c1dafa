"""docs/kubernetes.md names every value of the chart, every key of the controller and every right, and no other."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import yaml
from tests.deploy.chart_files import CHART, values_schema
from tests.deploy.rights import CONTROLLER, granted
from tests.docs.pages import blocks, read
from tests.fakes.structural import pruned, refusals

from coderun.kube.crd import definitions
from coderun.model.cluster import ClusterConfig, ClusterSettings, WorkspaceSettings
from coderun.model.coderun import CodeRun
from coderun.model.play import Play
from coderun.model.schema import keys_of
from coderun.model.yaml import load

PAGE = "docs/kubernetes.md"
ROW = re.compile(r"^\| `(?P<key>[^`]+)` \| (?P<default>[^|]+) \| [^|]+ \|$", re.MULTILINE)
SOMETHING = "–"


def section(heading: str) -> str:
    return read(PAGE).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(heading: str) -> dict[str, str]:
    return {found["key"]: found["default"].strip() for found in ROW.finditer(section(heading))}


def leaves(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def test_every_value_is_on_the_page_with_its_default() -> None:
    values = dict(leaves(yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))))
    written = rows("Values")
    assert set(written) == set(values)
    wrong = {
        key: default
        for key, default in written.items()
        if default != SOMETHING and yaml.safe_load(default.strip("`")) != values[key]
    }
    assert wrong == {}


def test_every_key_of_the_controllers_configuration_is_on_the_page_with_its_default() -> None:
    named = {"cluster": ClusterSettings, "workspaces": WorkspaceSettings}
    keys = {f"{name}.{key}": default for name, struct in named.items() for key, default in keys_of(struct)}
    written = rows("The controller's configuration")
    assert set(written) == set(keys)
    for key, default in keys.items():
        if default is msgspec.NODEFAULT:
            assert written[key] == SOMETHING
        else:
            plain = msgspec.to_builtins(default)
            assert load(written[key].strip("`"), name=key).data == (list(plain) if isinstance(plain, tuple) else plain)
    assert {field.name for field in msgspec.structs.fields(ClusterConfig)} >= set(named)


def test_every_right_is_on_the_page_with_its_verbs() -> None:
    written = {
        (verb, name)
        for cells, verbs in re.findall(r"^\| (`[a-z][^|]*`) \| ([a-z ]+) \| [^|]+ \|$", section("Rights"), re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", cells)
        for verb in verbs.split()
    }
    assert written == granted(CONTROLLER)


@pytest.mark.parametrize(
    "block", [block for block in blocks(PAGE) if block.language == "yaml"], ids=lambda block: block.heading
)
def test_every_example_is_taken(block: Any) -> None:
    data = yaml.safe_load(block.text)
    if block.heading in {"Install", "Network"}:
        assert jsonschema_rs.validator_for(values_schema()).is_valid(data)
        return
    kind = {"CodeRun": CodeRun, "Play": Play}[data["kind"]]
    [made] = [one for one in definitions() if one["spec"]["names"]["kind"] == data["kind"]]
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert refusals(data, schema) == []
    strict = {**schema["properties"]["spec"], "x-kubernetes-preserve-unknown-fields": False}
    assert list(pruned(data["spec"], strict)) == []
    assert msgspec.convert(data, kind).metadata.namespace == "coderun"

"""What the chart carries is what the code makes."""

from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from tests.deploy.chart_files import CHART, files, values_schema

from coderun import __version__


@pytest.mark.parametrize(("path", "text"), list(files()), ids=lambda value: value.name if isinstance(value, Path) else "")
def test_a_file_of_the_chart_that_is_made_from_the_code_is_up_to_date(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, f"run `make chart`: {path.name} is not what the code makes"


def test_no_other_definition_lies_about() -> None:
    made = {path for path, _ in files()}
    assert set((CHART / "files" / "crds").iterdir()) <= made


def test_every_value_has_a_schema_and_every_schema_a_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    schema = values_schema()
    assert set(values) | {"global"} == set(schema["properties"])
    for key, value in values.items():
        inner = schema["properties"][key].get("properties")
        if isinstance(value, dict) and inner and key != "config":
            assert set(value) == set(inner), key
    assert jsonschema_rs.validator_for(schema).is_valid(values)


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert (chart["appVersion"], chart["version"]) == (__version__, __version__)

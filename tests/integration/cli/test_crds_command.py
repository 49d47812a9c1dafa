import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from coderun.cli.main import app
from coderun.kube.crd import definitions
from coderun.model.errors import ConfigError


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["crds", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_definitions_are_printed_as_yaml_and_as_json() -> None:
    assert list(yaml.safe_load_all(run())) == definitions()
    listed = json.loads(run("-o", "json"))
    assert (listed["kind"], listed["items"]) == ("List", definitions())


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_the_definitions_are_written_one_file_a_kind(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "crds"
    said = run("--dir", str(folder), "-o", form)
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [
        f"{plural}.agents.platform.{form}" for plural in ("coderuns", "deliveries", "docsruns", "plays")
    ]
    assert said.splitlines() == [f"Wrote {folder / made['metadata']['name']}.{form}" for made in definitions()]
    assert all(yaml.safe_load(file.read_text("utf-8")) in definitions() for file in files)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["crds", "--dir", str(tmp_path / "file")])
    assert isinstance(result.exception, ConfigError)
    assert f"cannot write into {tmp_path / 'file'}: File exists" in str(result.exception)

"""docs/templates.md prints the table of variables as it is, and names every packaged hook and file."""

import re
from pathlib import Path

from coderun.app.templates import packaged_templates
from coderun.plan.context import VARIABLES
from coderun.plan.templates import OUTPUTS

PAGE = (Path(__file__).parents[2] / "docs" / "templates.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<type>[^|]+) \| (?P<source>[^|]+) \| (?P<meaning>[^|]+) \|$", re.MULTILINE)


def test_the_page_prints_the_table_of_variables_as_it_is() -> None:
    _, _, table = PAGE.partition("## Variables")
    printed = [tuple(found.group("name", "type", "source", "meaning")) for found in ROW.finditer(table)]
    assert printed == [(row.name, row.type, row.source, row.description) for row in VARIABLES]


def test_the_page_names_every_file_and_every_hook() -> None:
    hooks = [text.key.rpartition("/")[2].removesuffix(".sh") for text in packaged_templates() if "/hooks/" in text.key]
    assert [name for name in (*OUTPUTS, *hooks) if f"`{name}`" not in PAGE] == []

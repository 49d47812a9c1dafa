"""docs/decisions: each record has a number of its own, none is missing, and its heading says the same number."""

import re

from tests.docs.pages import ROOT

FOLDER = ROOT / "docs" / "decisions"


def test_decisions_are_numbered_without_a_gap_and_none_twice() -> None:
    names = sorted(path.name for path in FOLDER.iterdir())
    numbers = [found[1] for name in names if (found := re.fullmatch(r"(\d{4})(?:-[a-z0-9]+)+\.md", name))]
    assert len(numbers) == len(names), f"what is not NNNN-title.md: {names}"
    assert numbers == [f"{number:04}" for number in range(1, len(names) + 1)]


def test_the_heading_of_a_decision_begins_with_its_number() -> None:
    for path in FOLDER.iterdir():
        heading = path.read_text(encoding="utf-8").partition("\n")[0]
        assert re.fullmatch(rf"# {path.name[:4]} [A-Z]\S*(?: \S+)+", heading), f"{path.name} begins with {heading!r}"

"""Asks handlebars.js for the answer to every case of `cases.json` and writes it there: `python -m tests.differential.record`.

The tests hold coderun.handlebars to the recorded answers everywhere, and the record to handlebars.js where node is there.
"""

import json
from pathlib import Path
from typing import Any

CASES = Path(__file__).parent / "cases.json"
REQUEST = ("template", "partials", "data", "escape", "strict", "hooks")


def read() -> list[dict[str, Any]]:
    """The cases, each with its whole context."""
    kept = json.loads(CASES.read_text(encoding="utf-8"))
    return [{"context": kept["context"], **case} for case in kept["cases"]]


def request(case: dict[str, Any]) -> dict[str, Any]:
    """What to ask handlebars.js for a case."""
    return {"context": case["context"], **{key: case[key] for key in REQUEST if key in case}}


def write(path: Path, kept: dict[str, Any]) -> None:
    """Writes the file with one case a line."""
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in kept["cases"])
    path.write_text(
        f'{{"context": {json.dumps(kept["context"], ensure_ascii=True)},\n"cases": [\n{lines}\n]}}\n', encoding="utf-8"
    )


def main() -> None:
    """Records the answers."""
    from tests.differential.reference import Reference, installed  # noqa: PLC0415 - needs node, reading does not

    kept = json.loads(CASES.read_text(encoding="utf-8"))
    with Reference(installed()) as reference:
        for case in kept["cases"]:
            case["expected"] = reference.render(**request({"context": kept["context"], **case}))
    write(CASES, kept)


if __name__ == "__main__":
    main()

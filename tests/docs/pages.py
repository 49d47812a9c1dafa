"""The pages for users, taken apart: headings, fenced blocks, commands, links."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
_DOCS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
PAGES: Final = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", *_DOCS)
_FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<language>\w*)\s*$")


class Block(NamedTuple):
    """A fenced block: where it is, below which heading, after which mark (`<!-- mark -->`), in which language."""

    page: str
    heading: str
    mark: str
    language: str
    text: str
    line: int

    @property
    def commands(self) -> list[str]:
        """Its commands: lines that start with `$ `, without the comment behind them."""
        typed = [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        return [re.sub(r"\s+#\s.*$", "", line).strip() for line in typed]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> Iterator[Block]:
    heading, mark, fence, language, start = "", "", "", "", 0
    body: list[str] = []
    for number, line in enumerate(read(page).splitlines(), 1):
        found = _FENCE.match(line)
        if fence:
            if line.strip() == fence:
                yield Block(page, heading, mark, language, "\n".join(body) + "\n", start)
                fence, mark = "", ""
            else:
                body.append(line)
        elif found:
            fence, language, start, body = found["ticks"], found["language"], number, []
        elif line.startswith("#"):
            heading, mark = line.lstrip("# "), ""
        elif line.startswith("<!--"):
            mark = line.removeprefix("<!--").removesuffix("-->").strip()
        elif line.strip():
            mark = ""


ALL_BLOCKS: Final = [block for page in PAGES for block in blocks(page)]


def marked(page: str, mark: str) -> Block:
    [found] = [block for block in blocks(page) if block.mark == mark]
    return found


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^(`{3,})\w*\n.*?^\1$", "", read(page), flags=re.MULTILINE | re.DOTALL)


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")

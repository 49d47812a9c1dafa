"""Shows the demo: a line for each decision and each trouble, and a table at the end. Exits 1 if anything named is not so."""

import argparse
import asyncio
import contextlib
import logging
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.demo_github.evidence import Evidence, problems, rows
from tests.demo_github.trouble import play_with_trouble
from tests.demo_github.world import DemoError, Shop
from tests.fakes.github import FakeGitHub

from coderun.app.logs import log_nothing
from coderun.cli.live import LineView
from coderun.cli.terminal import clock_text, safe
from coderun.model.text import printable

LONGEST = 900.0


async def demo(folder: Path, seed: int) -> Evidence:
    """Play it in `folder`, which must be empty."""
    log_nothing()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # a git of the fake's whose client has gone is nobody's trouble

    def tell(text: str) -> None:
        print(f"{clock_text(datetime.now(UTC))}  ⚡ {safe(text)}", flush=True)

    async with FakeGitHub(folder / "github") as github:
        shop = Shop(folder, github)
        await shop.make()
        print(f"a fake GitHub answers at {github.url}; the repository is {shop.place.page}\n", flush=True)
        try:
            async with asyncio.timeout(LONGEST):
                return await play_with_trouble(shop, LineView(datetime.now(UTC)).update, tell, seed=seed)
        finally:
            await shop.stop_controllers()


def show(seen: Evidence, seconds: float) -> int:
    """Print the table; the exit code."""
    table = rows(seen)
    widths = [max(len(row.trouble) for row in table), max(len(row.made) for row in table)]
    print(f"\n{'TROUBLE':<{widths[0]}}  {'MADE':<{widths[1]}}  SURVIVED")
    for row in table:
        end = f"NOT SO: {row.problem}" if row.problem else row.survived
        print(f"{row.trouble:<{widths[0]}}  {row.made:<{widths[1]}}  {safe(end)}")
    wrong = problems(seen)
    print(f"\n{len(seen.merged)} of 3 tasks merged in {seconds:.0f} s; {len(wrong)} of {len(table)} promises broken")
    for line in wrong:
        print(f"error: {safe(line)}", file=sys.stderr)
    return 1 if wrong else 0


def main() -> int:
    """Parse, play, show."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo_github", description=__doc__)
    parser.add_argument("--dir", default="", help="an empty or new folder to work in; a temporary one by default")
    parser.add_argument("--seed", type=int, default=1, help="in which order webhooks meet trouble")
    chosen = parser.parse_args()
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = Path(chosen.dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="coderun-demo-github-"))).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            parser.error(f"{folder} is not empty")
        try:
            seen = asyncio.run(demo(folder, chosen.seed))
        except (DemoError, TimeoutError) as error:
            print(f"error: {printable(str(error), keep_lines=True) or f'not done after {LONGEST:g} s'}", file=sys.stderr)
            return 1
        return show(seen, time.monotonic() - begun)


if __name__ == "__main__":
    sys.exit(main())

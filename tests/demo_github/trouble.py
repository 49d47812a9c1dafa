"""Makes the trouble of the demo while its plays go on, and writes down what came of it."""

import asyncio
import random
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from tests.demo_github.evidence import TASKS, WEBHOOKS, Evidence
from tests.demo_github.world import PERSON, REPOSITORY, DemoError, Shop
from tests.fakes.github import WebhookFault, WebhookFaultKind
from tests.fakes.github.faults import WebhookFaults

from coderun.app.follow import follow_plays
from coderun.app.local import LocalSystem, open_local
from coderun.app.request import PlayRequest, request_plays
from coderun.model.coderun import CodeRun, RunPhase
from coderun.model.play import Play

PUSHED_TASK: Final = 3
EXPIRED: Final = (2, "testing")
KILLED: Final = (1, "quality")
_LIMIT_SECONDS: Final = 8
_LOOK_SECONDS: Final = 0.1
_REFUSALS: Final = (403, 429)
Show = Callable[[Sequence[Play], datetime], None]
Tell = Callable[[str], None]


class Mischief(WebhookFaults):
    """Every second delivery meets trouble, of each kind in turn; which kind comes first is drawn."""

    def __init__(self, drawn: random.Random) -> None:
        super().__init__()
        kinds = list(WEBHOOKS)
        drawn.shuffle(kinds)
        self._turns = [turn for kind in kinds for turn in ("", kind)]
        self.met: dict[str, int] = dict.fromkeys(("well", *WEBHOOKS), 0)

    def take(self, event: str) -> WebhookFault | None:
        """The trouble of this delivery."""
        kind = self._turns[sum(self.met.values()) % len(self._turns)]
        self.met[kind or "well"] += 1
        return WebhookFault(kind=WebhookFaultKind(kind), seconds=1.5) if kind else None


async def play_with_trouble(shop: Shop, show: Show, tell: Tell, *, seed: int) -> Evidence:
    """Play the three tasks on the fake GitHub, with all the trouble, and say what was seen.

    Raises:
        DemoError: it could not even begin.
    """
    seen = Evidence()
    mischief = shop.github.webhooks.faults = Mischief(random.Random(seed))
    for task, role in (EXPIRED, KILLED):
        (shop.hold / f"{task}-{role}").touch()
    await shop.start_controller()
    await _check_setup(shop, tell)
    async with open_local(shop.project, create=True, around=shop.around) as system:
        names = [each.name for each in await request_plays(system, PlayRequest(all_tasks=True))]
        maker = _Troubles(shop, system, seen, tell)
        deeds = asyncio.gather(maker.second_controller(), maker.kill(), maker.expire(), maker.push(), maker.limit())
        try:
            plays = await follow_plays(system, names, show, until_person=False)
            if not deeds.done():
                deeds.cancel()
            await asyncio.gather(deeds, return_exceptions=True)
        finally:
            deeds.cancel()
        await shop.github.settle()
        await maker.look_back(plays)
    seen.webhooks = dict(mischief.met)
    return seen


async def _check_setup(shop: Shop, tell: Tell) -> None:
    code, said = await shop.coderun("github", "check")
    if code:
        raise DemoError(f"`coderun github check` finds something wrong:\n{said}")
    tell("an App for each agent is set up on the fake GitHub; `coderun github check` finds nothing wrong")


class _Troubles:
    """Each method waits for its moment, and makes one kind of trouble."""

    def __init__(self, shop: Shop, system: LocalSystem, seen: Evidence, tell: Tell) -> None:
        self._shop = shop
        self._system = system
        self._seen = seen
        self._tell = tell

    async def _until_running(self, task: int, stage: str) -> CodeRun:
        """The run of that task and stage, once its agent is at work."""
        while True:
            for run in await self._system.store.find(CodeRun):
                at_work = run.spec.task_id == task and run.spec.stage == stage and run.status.phase is RunPhase.RUNNING
                if at_work and self._has_started(task, stage):
                    return run
            await asyncio.sleep(_LOOK_SECONDS)

    def _has_started(self, task: int, stage: str) -> bool:
        starts = self._shop.hold / "starts"
        return starts.exists() and f"{task}-{stage}-" in starts.read_text(encoding="utf-8")

    async def second_controller(self) -> None:
        """Another controller beside the first is refused."""
        self._seen.second, _ = await self._shop.coderun("up")
        self._tell("a second controller was started, and refused")

    async def kill(self) -> None:
        """Kill the controller while an agent is at work, and start another one."""
        run = await self._until_running(*KILLED)
        old = self._shop.controllers[-1]
        old.send_signal(signal.SIGKILL)
        await old.wait()
        self._tell(f"the controller was killed while {run.name} was at work")
        new = await self._shop.start_controller()
        self._seen.killed.append((old.pid, new.pid))
        self._seen.killed_run = (run.name, "", 0)
        (self._shop.hold / f"{KILLED[0]}-{KILLED[1]}").unlink()
        self._tell("another controller has taken over")

    async def expire(self) -> None:
        """End every token while an agent is at work."""
        run = await self._until_running(*EXPIRED)
        self._seen.expired = self._shop.github.expire_tokens()
        self._seen.expired_run = (run.name, "", 0)
        self._given = self._of_app("tess")
        (self._shop.hold / f"{EXPIRED[0]}-{EXPIRED[1]}").unlink()
        self._tell(f"every token was ended while {run.name} was at work")

    def _of_app(self, agent: str) -> int:
        installation = self._shop.installations[agent]
        return sum(
            token.installation is installation and "pull_requests" in token.permissions for token in self._shop.tokens.ever
        )

    async def push(self) -> None:
        """As a person: push to a pull request while it is being tested."""
        await self._until_running(PUSHED_TASK, "testing")
        branch, clone = f"feature/task-{PUSHED_TASK}-implementation", self._shop.folder / "person"
        await self._shop.git(self._shop.folder, "clone", "--quiet", "--branch", branch, self._shop.url(), str(clone))
        readme = clone / "README.md"
        readme.write_text(readme.read_text(encoding="utf-8") + "\nPrices can be read from text.\n", encoding="utf-8")
        person = ("-c", f"user.name={PERSON}", "-c", "user.email=ada@example.invalid")
        await self._shop.git(clone, *person, "commit", "--quiet", "-am", "Mention prices in the README")
        await self._shop.git(clone, "push", "--quiet", "origin", branch)
        self._seen.pushed = await self._shop.git(clone, "rev-parse", "HEAD")
        self._tell("a person pushed to task 3 while it was being tested")

    async def limit(self) -> None:
        """Both kinds of rate limits, while things move."""
        await self._until_running(1, "implementation")
        github = self._shop.github
        github.fault("secondary-limit", count=4, retry_after=2)
        self._tell("GitHub refuses four requests for going too fast")
        await self._until_running(PUSHED_TASK, "quality")
        caller = f"installation-{self._shop.installations['rex'].id}"
        window = github.server.limits.exhaust(caller)
        window.reset = int(github.world.clock()) + _LIMIT_SECONDS
        self._tell(f"the controller's App has spent its requests for {_LIMIT_SECONDS} s")

    async def look_back(self, plays: Sequence[Play]) -> None:
        """Write down how it ended."""
        seen, shop = self._seen, self._shop
        seen.phases = {play.spec.task_id: play.status.phase.value for play in plays}
        pushed = next((play for play in plays if play.spec.task_id == PUSHED_TASK), None)
        seen.pushes_answered = sum(entry.reason == "Push" for entry in pushed.status.history) if pushed is not None else 0
        seen.expired_run = await self._ended(seen.expired_run[0])
        seen.killed_run = await self._ended(seen.killed_run[0])
        seen.renewed = self._of_app("tess") - self._given if seen.expired else 0
        seen.starts = (shop.hold / "starts").read_text(encoding="utf-8").split()
        seen.limited = _limited(shop.github.journal)
        seen.scopes = [(None if token.repos is None else len(token.repos), token.permissions) for token in shop.tokens.ever]
        merged = [pull for pull in shop.github.repo(REPOSITORY).pulls.values() if pull.merged_at is not None]
        seen.merged = {task: pull.number for pull in merged for task in range(1, TASKS + 1) if f"task-{task}-" in pull.head_ref}
        seen.broken = await self._check_merged()

    async def _ended(self, name: str) -> tuple[str, str, int]:
        run = await self._system.store.get(CodeRun, name) if name else None
        return (name, run.status.phase.value, run.status.attempt) if run is not None else (name, "", 0)

    async def _check_merged(self) -> list[str]:
        clone = self._shop.folder / "merged"
        await self._shop.git(self._shop.folder, "clone", "--quiet", self._shop.url(), str(clone))
        failed = []
        for name, words in (("lint", ["lint.py"]), ("tests", ["-m", "unittest", "discover", "-s", "tests"])):
            code, said = await self._shop.run(sys.executable, *words, cwd=clone)
            if code:
                failed.append(f"the {name} of the merged branch fail: {said[-300:]}")
        return failed


def _limited(journal: list[Any]) -> dict[str, int]:
    """Requests that a limit refused: the fake names nobody for the secondary one."""
    found: dict[str, int] = {}
    for entry in journal:
        if entry["status"] in _REFUSALS and entry["method"]:
            kind = "secondary" if entry["caller"] == "anonymous" else "primary"
            found[kind] = found.get(kind, 0) + 1
    return found

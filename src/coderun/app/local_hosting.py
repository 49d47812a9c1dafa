"""The local forge as a hosting: its events, tokens, checks and task list for the controller. Nothing here decides."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from coderun.app.checks import CheckCommand, LocalChecks
from coderun.app.configuration import Configuration
from coderun.app.hosting import ForgeParts
from coderun.app.writeback import TaskWriter
from coderun.events.local import PREFIX, LocalEvent, event_number, to_delivery
from coderun.forge.local.forge import LocalForge
from coderun.forge.protocol import Forge
from coderun.model.coderun import CodeRun
from coderun.model.marks import marks_of
from coderun.model.pulls import PullState
from coderun.model.repository import canonical
from coderun.model.roster import Agent, Roster
from coderun.plan.order import LOCAL, ForgeRef
from coderun.reconcile.view import View
from coderun.store.protocol import Inbox, Store

EVENT_BATCH: Final = 200


class LocalTokens:
    """Tokens of the local forge, for the CodeRun reconciler. They last until they are revoked."""

    def __init__(self, forge: LocalForge) -> None:
        self._forge = forge
        self._known: dict[str, str] = {}

    async def issue(self, run: CodeRun, agent: Agent) -> str:
        """A token that acts as `agent` until the run's tokens are revoked; the same one while this process remembers it."""
        if run.name not in self._known:
            self._known[run.name] = await self._forge.issue_token(agent.login, run.name)
        return self._known[run.name]

    def knows(self, run: str) -> bool:
        """Always: the forge knows which tokens are a run's."""
        _ = run
        return True

    def inherit(self, run: CodeRun, agent: Agent, token: str) -> None:
        """Nothing to remember: see `knows`."""

    async def revoke(self, run: str) -> None:
        """End all tokens of a run."""
        self._known.pop(run, None)
        await self._forge.revoke_token(run)


class LocalForges:
    """The one forge there is, whatever a play calls its repository."""

    def __init__(self, forge: LocalForge) -> None:
        self._forge = forge

    async def of(self, repository_url: str) -> Forge:  # noqa: ARG002 - there is one
        """The local forge."""
        return self._forge


class LocalSource:
    """The local forge's durable log of events, as deliveries of the inbox."""

    def __init__(self, forge: LocalForge, inbox: Inbox, repository: str) -> None:
        self._forge = forge
        self._inbox = inbox
        self._repository = canonical(repository)
        self._seen = -1

    async def take_in(self) -> bool:
        """Put the events since the newest delivery into the inbox; one cheap query where there are none."""
        revision = await self._forge.revision()
        if revision == self._seen:
            return False
        after = event_number(await self._inbox.last_delivery(PREFIX))
        while events := await self._events_after(after):
            await self._inbox.put_deliveries(to_delivery(event, self._repository) for event in events)
            after = events[-1].id
        self._seen = revision
        return True

    async def _events_after(self, after: int) -> list[LocalEvent]:
        return [
            LocalEvent(
                id=event.id,
                at=event.at,
                event=event.name,
                number=event.pull,
                branch=event.ref.removeprefix("refs/heads/"),
                head_sha=event.head_sha,
                actor=event.actor,
                detail=event.detail,
            )
            for event in await self._forge.events_after(after, EVENT_BATCH)
        ]


class LocalHosting:
    """The local forge of one repository; `environment` is all that checks see of the caller's."""

    def __init__(
        self,
        *,
        forge: LocalForge,
        repository: Path,
        state: Path,
        configuration: Configuration,
        base_branch: str,
        environment: Mapping[str, str],
        check_environment: Mapping[str, str],
        clock: Callable[[], datetime],
    ) -> None:
        self.forge = forge
        self._repository = repository
        self._state = state
        self._configuration = configuration
        self._base_branch = base_branch
        self._environment = environment
        self._check_environment = check_environment
        self._clock = clock

    @property
    def place(self) -> str:
        """The bare repository."""
        return str(self.forge.repository)

    @property
    def repository(self) -> str:
        """The path of the user's repository."""
        return str(self._repository)

    @property
    def person(self) -> str:
        """Login of whoever acts here without a token."""
        return self.forge.login

    async def open(self) -> Forge:
        """The local forge."""
        return self.forge

    async def counts(self) -> dict[PullState, int]:
        """How many pull requests there are in each state."""
        states = [pull.state for pull in await self.forge.list_pull_requests()]
        return {state: states.count(state) for state in PullState}

    async def merged_tasks(self, base_branch: str) -> frozenset[int]:
        """Tasks whose pull request was merged into this branch, by marks that agree."""
        merged = await self.forge.list_pull_requests(PullState.MERGED)
        found = [marks_of(pull) for pull in merged if pull.base_branch == base_branch]
        return frozenset(task for marks in found if marks.agree for task in marks.tasks)

    async def parts(self, store: Store, roster: Roster, view: View) -> ForgeParts:
        """The parts for one controller."""
        _ = view
        return ForgeParts(
            roster=roster,
            ref=ForgeRef(kind=LOCAL, location=str(self.forge.folder), repository=str(self.forge.repository)),
            forges=LocalForges(self.forge),
            tokens=LocalTokens(self.forge),
            source=LocalSource(self.forge, store, self.repository),
            checks=self._make_checks(),
            tasks=self._make_task_list(store),
        )

    async def close(self) -> None:
        """Close the forge."""
        self.forge.close()

    def _make_checks(self) -> LocalChecks:
        folder = self._state / "checks"
        folder.mkdir(parents=True, exist_ok=True)
        return LocalChecks(
            forge=self.forge,
            commands=check_commands(self._configuration),
            git_dir=self.forge.repository,
            folder=folder,
            environment=self._check_environment,
        )

    def _make_task_list(self, store: Store) -> TaskWriter | None:
        settings = self._configuration.config.tasks
        if not settings.write_back:
            return None
        return TaskWriter(
            store=store,
            repository=self.forge.repository,
            branch=self._base_branch,
            file=settings.file,
            tag=settings.tag,
            folder=self._state / "tasks",
            environment=self._environment,
        )


def check_commands(configuration: Configuration) -> tuple[CheckCommand, ...]:
    """The checks of `coderun.yaml`."""
    return tuple(
        CheckCommand(name=check.name, argv=check.command, required=check.required, timeout=check.timeout_seconds)
        for check in configuration.config.checks
    )

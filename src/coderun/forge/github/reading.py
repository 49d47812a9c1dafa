"""Gathers what GitHub says about pull requests of one repository: many conditional GETs, one value.

Between `client` and `assemble`. Reads only. Who may write, and what a branch requires, is remembered for minutes: both change
by a person's hand alone.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec

from coderun.forge.github import shapes
from coderun.forge.github.answers import GitHubRefusedError
from coderun.forge.github.assemble import GHOST, UNKNOWN_LOGIN, Parts, assemble, login_of, required_of, state_of
from coderun.forge.github.client import Client
from coderun.forge.texts import label_key
from coderun.model.errors import NotFoundError, RefusedError
from coderun.model.logins import normalise_login
from coderun.model.markers import MAX_MARKER, UPSTREAM_MARKER, task_in_marker, task_of_marker
from coderun.model.pulls import OWN_CHECK, Actor, LabelMark, PullRequest, PullState
from coderun.model.repository import RepositoryId

T = TypeVar("T")
RAW: Final = "application/vnd.github.raw+json"
_REMEMBERED: Final = 300.0
_ASK_AGAIN: Final = (0.1, 0.4, 1.5)  # while GitHub computes whether a pull request can be merged
_WRITERS: Final = frozenset({"admin", "maintain", "write"})
_CLOCK_SLACK: Final = timedelta(minutes=1)


class Reader:
    """One repository. `trusted` are bots that may write, the Apps of the roster; `now` is in seconds."""

    def __init__(self, client: Client, repository: RepositoryId, *, trusted: Collection[str], now: Callable[[], float]) -> None:
        self.client = client
        self.repository = repository
        self.path = f"/repos/{quote(repository.owner, safe='')}/{quote(repository.name, safe='')}"
        self._trusted = frozenset(normalise_login(login) for login in trusted)
        self._now = now
        self._writers: dict[str, tuple[float, bool]] = {}
        self._required: dict[str, tuple[float, Mapping[str, int | None]]] = {}
        self._markers: dict[tuple[int, str, str], tuple[int, ...]] = {}

    async def pull(self, number: int) -> shapes.Pull:
        """A pull request as it is now.

        Raises:
            NotFoundError: there is none.
            RefusedError: the whole repository is not to be seen.
        """
        if number < 1:
            raise NotFoundError(f"{self.repository} has no pull request {number}")
        found = await self.client.find(f"{self.path}/pulls/{number}", shapes.Pull)
        if found is not None:
            return found
        # GitHub answers 404 also where a token does not reach: that must not pass for a pull request that is gone.
        if await self.client.find(self.path, shapes.Repository) is None:
            raise RefusedError(
                f"{self.client.identity} cannot see {self.repository}: it is gone, was renamed, or is private and not "
                "among the App's repositories; look at the App's installation"
            )
        raise NotFoundError(f"{self.repository} has no pull request {number}")

    async def read(self, number: int) -> PullRequest:
        """A pull request with all that gates look at. Raises as `pull`."""
        pull = await self._computed(await self.pull(number))
        parts = await self.gather(pull)
        if parts.activity and parts.activity[0].after != pull.head.sha and state_of(pull) is PullState.OPEN:
            # It moved while it was read: once more, and then as it is.
            again = await self.pull(number)
            if again.head.sha != pull.head.sha:
                parts = await self.gather(again)
        return assemble(parts, await self.actors(parts.logins))

    async def _computed(self, pull: shapes.Pull) -> shapes.Pull:
        for pause in _ASK_AGAIN:
            if pull.mergeable is not None or state_of(pull) is not PullState.OPEN:
                break
            await self.client.pause(pause)
            pull = await self.pull(pull.number)
        return pull

    async def gather(self, pull: shapes.Pull) -> Parts:
        """All parts of a pull request, its checks those of the head that `pull` names."""
        try:
            return await self._gather(pull)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed  # one reason is enough, and callers know our errors alone

    async def _gather(self, pull: shapes.Pull) -> Parts:
        path, sha = f"{self.path}/pulls/{pull.number}", quote(pull.head.sha, safe="")
        async with asyncio.TaskGroup() as group:
            events = group.create_task(self.client.list(f"{self.path}/issues/{pull.number}/events", shapes.IssueEvent))
            reviews = group.create_task(self.client.list(f"{path}/reviews", shapes.Review))
            activity = group.create_task(self.activity(pull))
            runs = group.create_task(self._check_runs(sha))
            statuses = group.create_task(self._statuses(sha))
            required = group.create_task(self.required(pull.base.ref))
            markers = group.create_task(self.markers(pull))
        return Parts(
            pull=pull,
            events=events.result(),
            reviews=reviews.result(),
            activity=activity.result(),
            check_runs=runs.result(),
            statuses=statuses.result(),
            required=required.result(),
            markers=markers.result(),
        )

    async def activity(self, pull: shapes.Pull) -> list[shapes.Activity] | None:
        """Moves of the head branch, newest first, back to the one it was opened with; None where GitHub does not tell."""
        if pull.is_foreign:
            return None
        params = {"ref": f"refs/heads/{pull.head.ref}"}
        found: list[shapes.Activity] = []
        try:
            async for page in self.client.pages(f"{self.path}/activity", list[shapes.Activity], params):
                found += page
                if page and page[-1].timestamp < pull.created_at - _CLOCK_SLACK:
                    break
        except (NotFoundError, GitHubRefusedError):
            return None  # a server too old for it, or an App without the right to read contents
        return found

    async def mark(self, pull: shapes.Pull, label: str) -> tuple[LabelMark, bool]:
        """A label that `pull` carries, and whether GitHub tells to which head it is bound."""
        only = msgspec.structs.replace(
            pull, labels=tuple(one for one in pull.labels if label_key(one.name) == label_key(label))
        )
        events = await self.client.list(f"{self.path}/issues/{pull.number}/events", shapes.IssueEvent)
        parts = Parts(pull=only, events=events, activity=await self.activity(pull))
        found = assemble(parts, await self.actors(parts.logins))
        return found.labels[0], parts.activity is not None

    async def _check_runs(self, sha: str) -> list[shapes.CheckRun]:
        found: list[shapes.CheckRun] = []
        pages = self.client.pages(f"{self.path}/commits/{sha}/check-runs", shapes.CheckRuns, {"filter": "latest"})
        async for page in pages:
            found += page.check_runs
        return [run for run in found if not self._is_own(run)]

    def _is_own(self, run: shapes.CheckRun) -> bool:
        """Whether a check run is what we tell of a play: that is no evidence for the play."""
        return run.name == OWN_CHECK and run.app is not None and normalise_login(run.app.slug) in self._trusted

    async def _statuses(self, sha: str) -> list[shapes.Status]:
        found: list[shapes.Status] = []
        async for page in self.client.pages(f"{self.path}/commits/{sha}/status", shapes.CombinedStatus):
            found += page.statuses
        return [status for status in found if status.context != OWN_CHECK]

    async def required(self, branch: str) -> Mapping[str, int | None]:
        """Checks that a branch asks for; what cannot be read asks for none."""
        at, known = self._required.get(branch, (-_REMEMBERED, {}))
        if self._now() - at < _REMEMBERED:
            return known
        name = quote(branch, safe="")
        protection = await self._readable(f"{self.path}/branches/{name}", shapes.Branch)
        rules = await self._readable(f"{self.path}/rules/branches/{name}", list[shapes.Rule])
        found = required_of(protection, rules or ())
        found.pop(OWN_CHECK, None)
        self._required[branch] = (self._now(), found)
        return found

    async def _readable(self, path: str, kind: type[T]) -> T | None:
        try:
            return await self.client.find(path, kind)
        except GitHubRefusedError:
            return None

    async def markers(self, pull: shapes.Pull) -> tuple[int, ...]:
        """Task ids of the marker files that a pull request adds or changes. An outsider's, from a fork, stand for nothing."""
        if pull.is_foreign:
            return ()
        key = (pull.number, pull.head.sha, pull.base.ref)
        if key not in self._markers:
            files = await self.files(pull.number)
            self._markers[key] = await self._tasks_of(files)
            while len(self._markers) > 2000:  # noqa: PLR2004 - a bound, as good as any
                self._markers.pop(next(iter(self._markers)))
        return self._markers[key]

    async def files(self, number: int) -> list[shapes.ChangedFile]:
        """What a pull request changes; GitHub tells of three thousand files at most."""
        return await self.client.list(f"{self.path}/pulls/{number}/files", shapes.ChangedFile)

    async def _tasks_of(self, files: list[shapes.ChangedFile]) -> tuple[int, ...]:
        tasks: set[int | None] = set()
        for file in files:
            if file.status == "removed":
                continue
            tasks.add(task_of_marker(file.filename))
            if file.filename == UPSTREAM_MARKER and file.sha:
                content = await self.client.text(f"{self.path}/git/blobs/{quote(file.sha, safe='')}", accept=RAW)
                tasks.add(task_in_marker(content) if len(content) <= MAX_MARKER else None)
        return tuple(sorted(task for task in tasks if task is not None))

    async def actors(self, logins: Collection[str]) -> dict[str, Actor]:
        """Each login with whether it may write."""
        return {login: Actor(login=login, can_write=await self.can_write(login)) for login in sorted(logins)}

    async def actor(self, user: shapes.User | None) -> Actor:
        """An account with whether it may write."""
        login = login_of(user)
        return Actor(login=login, can_write=await self.can_write(login))

    async def can_write(self, login: str) -> bool:
        """Whether an account may push to the repository."""
        if login in {GHOST, UNKNOWN_LOGIN}:
            return False
        if normalise_login(login) in self._trusted and login.lower().endswith("[bot]"):
            return True
        at, known = self._writers.get(login.lower(), (-_REMEMBERED, False))
        if self._now() - at < _REMEMBERED:
            return known
        path = f"{self.path}/collaborators/{quote(login, safe='')}/permission"
        found = await self._readable(path, shapes.Permission)
        allowed = found is not None and found.permission.lower() in _WRITERS
        self._writers[login.lower()] = (self._now(), allowed)
        return allowed

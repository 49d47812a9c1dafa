"""`GitHubForge`: the forge protocol over GitHub's REST API, as one App or one person, for one repository.

Thin: it reads through `reading` and `index`, asks `rules`, and writes through `client`. Every write looks first, so that a
repeated call changes nothing; what GitHub refuses is `RefusedError`. No state is kept that is not on GitHub, apart from what
was read last.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from coderun.forge.github import shapes
from coderun.forge.github.answers import GitHubRefusedError
from coderun.forge.github.assemble import head_branch_of, login_of, state_of
from coderun.forge.github.client import Client, decode, prove
from coderun.forge.github.index import Entry, PullIndex
from coderun.forge.github.reading import Reader
from coderun.forge.github.rules import MAX_BODY, colour_of, refusal_to_merge, refusal_to_review, standing_review
from coderun.forge.texts import (
    checked_branch,
    checked_label,
    checked_marker,
    checked_title,
    hidden_marker,
    label_key,
    one_line,
)
from coderun.model.deliveries import Hint
from coderun.model.errors import ForgeUnavailableError, NotFoundError, RefusedError
from coderun.model.logins import same_login
from coderun.model.pulls import (
    Check,
    CheckState,
    Comment,
    Mergeability,
    MergeMethod,
    NewPullRequest,
    PullRequest,
    PullState,
    Review,
    ReviewState,
)
from coderun.model.repository import RepositoryId
from coderun.model.text import listed, storable

DIFF: Final = "application/vnd.github.diff"
_EVENTS: Final = {
    ReviewState.APPROVED: "APPROVE",
    ReviewState.CHANGES_REQUESTED: "REQUEST_CHANGES",
    ReviewState.COMMENTED: "COMMENT",
}
_CONCLUSIONS: Final = {CheckState.PASSED: "success", CheckState.FAILED: "failure"}
_STATUSES: Final = {CheckState.PASSED: "success", CheckState.FAILED: "failure", CheckState.PENDING: "pending"}
_GIVEN_UP: Final = ("cancelled", "error")  # as a check run and as a status: neither lets anything be merged
_WORDLESS: Final = "(no words)"  # GitHub wants some for everything but an approval
_NOT_FOUND: Final = frozenset({404})
_NOT_MADE: Final = frozenset({403, 404, 422})
_ENQUEUE: Final = """mutation($pull: ID!, $head: GitObjectID!) {
  enqueuePullRequest(input: {pullRequestId: $pull, expectedHeadOid: $head}) { clientMutationId }
}"""
_ON_QUEUE: Final = "added_to_merge_queue"
_OFF_QUEUE: Final = "removed_from_merge_queue"
_MOVED: Final = 409
_UNMERGEABLE: Final = 405
_MARKED_AT_ONCE: Final = 50
_AT_ONCE: Final = 4
_NEXT_SECOND: Final = 1.05
_DESCRIPTION: Final = 140
_COMPLETED: Final = "completed"
_SUMMARY: Final = 65_000


class GitHubForge:
    """The pull requests of one repository.

    Attributes:
        login: `{slug}[bot]` for an App (`AppInstallations.login`), a person's login for a personal token.
    """

    def __init__(
        self,
        client: Client,
        repository: RepositoryId,
        *,
        login: str,
        trusted: Collection[str] = (),
        require_approval: bool = True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """See the class.

        Args:
            client: Acts as the App's installation, or as the person.
            repository: The repository.
            login: Who that is.
            trusted: Logins of Apps that may write, the roster's.
            require_approval: Whether a merge needs an approving review of the head, whatever the branch's protection says.
            now: A clock in seconds, for how long things are remembered.
        """
        self._client = client
        self._login = login
        self._require_approval = require_approval
        self._reader = Reader(client, repository, trusted={login, *trusted}, now=now)
        self._path = self._reader.path
        self._repository = repository
        self._index = PullIndex(client, self._path)
        self._told: dict[int, datetime] | None = None
        self._labels: set[str] = set()
        self._queued: dict[int, str] = {}

    @property
    def login(self) -> str:
        """Whose identity this is."""
        return self._login

    # -- reading -----------------------------------------------------------------------------------------------------------

    async def get_pull_request(self, number: int) -> PullRequest | None:
        """The pull request, None where there is none. Raises `RefusedError` where the repository is not to be seen."""
        try:
            return await self._reader.read(number)
        except NotFoundError:
            return None

    async def list_pull_requests(self, state: PullState | None = None) -> list[PullRequest]:
        """All pull requests (of a state), oldest first; each is read whole, which takes several requests."""
        entries = [entry for entry in await self._index.look() if state is None or entry.state is state]
        found: list[PullRequest] = []
        for at in range(0, len(entries), _AT_ONCE):
            found += await asyncio.gather(*(self._reader.read(entry.number) for entry in entries[at : at + _AT_ONCE]))
        return found

    async def count_pull_requests(self) -> dict[PullState, int]:
        """How many there are in each state."""
        states = [entry.state for entry in await self._index.look()]
        return {state: states.count(state) for state in PullState}

    async def find_pull_requests(self, task_id: int) -> list[PullRequest]:
        """Pull requests of any state that carry at least one mark of this task, oldest first.

        Marker files are looked for where neither branch nor labels name a task: in all that are open, and in the fifty that
        were finished last. A fork's branch and marker files stand for nothing.
        """
        entries = await self._index.look()
        unmarked = [entry for entry in entries if not entry.tasks]
        finished = sorted((entry for entry in unmarked if entry.state is not PullState.OPEN), key=_updated, reverse=True)
        marked = {entry.number for entry in entries if task_id in entry.tasks}
        for entry in (*(entry for entry in unmarked if entry.state is PullState.OPEN), *finished[:_MARKED_AT_ONCE]):
            if task_id in await self._reader.markers(entry.pull):
                marked.add(entry.number)
        return [await self._reader.read(number) for number in sorted(marked)]

    async def prove(self) -> None:
        """Find out whether GitHub still takes our credential; what can be done where it does not is the credential's to do."""
        await prove(self._client)

    async def news(self) -> tuple[Hint, ...]:
        """What has changed about pull requests since the last call, as hints; nothing the first time.

        Where nothing has, it is one request that costs nothing.
        """
        entries = {entry.number: entry for entry in await self._index.look()}
        before, self._told = self._told, {number: entry.updated_at for number, entry in entries.items()}
        if before is None:
            return ()
        moved = (entry for number, entry in entries.items() if before.get(number) != entry.updated_at)
        return tuple(_hint_of(entry) for entry in moved)

    async def merged_tasks(self, base_branch: str) -> frozenset[int]:
        """Tasks whose pull request was merged into a branch, by branch name and labels, where these agree."""
        merged = [entry for entry in await self._index.look() if entry.state is PullState.MERGED]
        into = (entry for entry in merged if entry.pull.base.ref == base_branch and len(entry.tasks) == 1)
        return frozenset(task for entry in into for task in entry.tasks)

    async def comments(self, number: int) -> list[Comment]:
        """The conversation, oldest first."""
        found = await self._client.list(f"{self._path}/issues/{number}/comments", shapes.Comment)
        actors = await self._reader.actors({login_of(comment.user) for comment in found})
        return [
            Comment(id=comment.id, actor=actors[login_of(comment.user)], body=comment.body or "", at=comment.created_at)
            for comment in found
        ]

    async def diff(self, number: int) -> str:
        """The diff of the head against where it left the base. Raises `RefusedError` where GitHub finds it too large."""
        await self._reader.pull(number)
        return (await self._client.text(f"{self._path}/pulls/{number}", accept=DIFF)).decode("utf-8", "replace")

    # -- opening -----------------------------------------------------------------------------------------------------------

    async def open_pull_request(self, new: NewPullRequest) -> PullRequest:
        """Open it, or give back the open one of the same head and base (labels it lacks are set).

        Raises:
            RefusedError: no such branch, no commits between them, unusable title, body or label.
        """
        head, base = checked_branch(new.head_branch), checked_branch(new.base_branch)
        title, body = checked_title(new.title), _checked_body(new.body, "the body")
        labels = tuple(checked_label(label) for label in new.labels)
        pull = await self._open_one(head, base)
        if pull is None:
            await self._require_branches(head, base)
            wanted = {"title": title, "body": body, "head": head, "base": base, "draft": new.draft}
            pull = await self._create(wanted, head, base)
        there = {label_key(label.name) for label in pull.labels}
        lacking = [label for label in labels if label_key(label) not in there]
        if lacking:
            await self._ensure_labels(lacking)
            await self._client.write("POST", f"{self._path}/issues/{pull.number}/labels", {"labels": lacking}, repeatable=True)
        return await self._reader.read(pull.number)

    async def _open_one(self, head: str, base: str) -> shapes.Pull | None:
        owner = (await self._client.get(self._path, shapes.Repository)).full_name.partition("/")[0] or self._repository.owner
        params = {"state": "open", "head": f"{owner}:{head}", "base": base}
        listed_pulls = await self._client.list(f"{self._path}/pulls", shapes.Pull, params)
        # GitHub passes over a filter that it does not understand.
        same = (pull for pull in listed_pulls if head_branch_of(pull) == head and pull.base.ref == base)
        return next((pull for pull in same if state_of(pull) is PullState.OPEN), None)

    async def _require_branches(self, *branches: str) -> None:
        for branch in branches:
            if await self._client.find(f"{self._path}/branches/{quote(branch, safe='')}", shapes.Branch) is None:
                raise RefusedError(
                    f"{self._repository} has no branch {one_line(branch, 120)!r}; push it before opening a pull request"
                )

    async def _create(self, wanted: dict[str, Any], head: str, base: str) -> shapes.Pull:
        path = f"{self._path}/pulls"
        try:
            return decode(await self._client.write("POST", path, wanted), shapes.Pull, path)
        except GitHubRefusedError as error:
            if "no commits between" in error.said.lower():
                raise RefusedError(
                    f"{one_line(head, 120)!r} has no commits that {one_line(base, 120)!r} lacks; push some, then open it"
                ) from error
            there = await self._open_one(head, base) if "already exists" in error.said.lower() else None
            if there is None:
                raise
            return there

    # -- labels ------------------------------------------------------------------------------------------------------------

    async def add_label(self, number: int, label: str) -> None:
        """Set a label; where it is there but bound to another head or login, it is set anew. GitHub makes a missing label."""
        name = checked_label(label)
        for _ in range(3):
            pull = await self._reader.pull(number)
            bound, there = await self._binding(pull, name)
            if bound:
                return
            if there:
                await self.remove_label(number, name)
            await self._ensure_labels([name])
            path = f"{self._path}/issues/{number}/labels"
            await self._client.write("POST", path, {"labels": [name]}, repeatable=True)
            pull = await self._reader.pull(number)
            bound, there = await self._binding(pull, name)
            if bound or there is None:
                return
            # Set in the second of the push, it would pass for one of the head before.
            await self._client.pause(_NEXT_SECOND)

    async def _ensure_labels(self, names: Iterable[str]) -> None:
        """Make what labels the repository lacks, in their colours. Where that does not work, GitHub makes them grey."""
        for name in names:
            if label_key(name) in self._labels:
                continue
            path = f"{self._path}/labels"
            if await self._client.find(f"{path}/{quote(name, safe='')}", shapes.Named) is None:
                with contextlib.suppress(GitHubRefusedError, NotFoundError):
                    await self._client.write("POST", path, {"name": name, "color": colour_of(name)}, quiet=_NOT_MADE)
            self._labels.add(label_key(name))

    async def _binding(self, pull: shapes.Pull, name: str) -> tuple[bool, bool | None]:
        """Whether a label is bound to us and the head; whether it is set, None where nobody can tell to what it is bound."""
        if not any(label_key(label.name) == label_key(name) for label in pull.labels):
            return False, False
        mark, known = await self._reader.mark(pull, name)
        if not known:
            return False, None
        return mark.head_sha == pull.head.sha and same_login(mark.actor.login, self._login), True

    async def remove_label(self, number: int, label: str) -> None:
        """Take a label off; nothing happens where it is not there."""
        pull = await self._reader.pull(number)
        for there in pull.labels:
            if label_key(there.name) == label_key(label):
                path = f"{self._path}/issues/{number}/labels/{quote(there.name, safe='')}"
                await self._forgiving("DELETE", path)

    async def _forgiving(self, method: str, path: str) -> None:
        try:
            await self._client.write(method, path, quiet=_NOT_FOUND)
        except NotFoundError:
            return  # somebody was faster

    # -- words -------------------------------------------------------------------------------------------------------------

    async def comment(self, number: int, body: str, *, marker: str = "") -> None:
        """Add a comment; with a `marker`, the own comment that carries it is edited instead of repeated."""
        text = body
        if not marker:
            await self._client.write(
                "POST", f"{self._path}/issues/{number}/comments", {"body": _checked_body(text, "the comment")}
            )
            return
        hidden = hidden_marker(checked_marker(marker))
        text = _checked_body(f"{body}\n\n{hidden}", "the comment")
        for comment in await self._client.list(f"{self._path}/issues/{number}/comments", shapes.Comment):
            if hidden in (comment.body or "") and same_login(login_of(comment.user), self._login):
                if (comment.body or "").replace("\r\n", "\n").strip() != text.strip():
                    await self._client.write("PATCH", f"{self._path}/issues/comments/{comment.id}", {"body": text})
                return
        await self._client.write("POST", f"{self._path}/issues/{number}/comments", {"body": text})

    async def react(self, number: int, comment: int, *, accepted: bool) -> None:  # noqa: ARG002 - ids are GitHub's, not the pull's
        """A thumb up, or a confused face; nothing happens where the comment is gone. GitHub keeps one of each and account."""
        path = f"{self._path}/issues/comments/{comment}/reactions"
        body = {"content": "+1" if accepted else "confused"}
        with contextlib.suppress(NotFoundError):
            await self._client.write("POST", path, body, repeatable=True, quiet=_NOT_FOUND)

    async def review(self, number: int, state: ReviewState, body: str, *, head_sha: str) -> Review:
        """Submit a review of that commit, or give back the own one that says the same of it and still stands.

        Raises:
            RefusedError: approval or change request on one's own pull request; the head is another one by now.
        """
        text = _checked_body(body, "the review")
        if not text.strip() and state is not ReviewState.APPROVED:
            text = _WORDLESS
        pull = await self._reader.read(number)
        said = standing_review(pull.reviews, self._login, state, head_sha)
        if said is not None and said.state is state and said.body.strip() == text.strip():
            return said
        refusal = refusal_to_review(pull, self._login, state, head_sha)
        if refusal is not None:
            raise RefusedError(refusal)
        path = f"{self._path}/pulls/{number}/reviews"
        answer = await self._client.write("POST", path, {"commit_id": head_sha, "event": _EVENTS[state], "body": text})
        given = decode(answer, shapes.Review, path)
        return Review(
            id=given.id,
            actor=await self._reader.actor(given.user),
            state=state,
            head_sha=given.commit_id or head_sha,
            body=given.body or "",
            at=given.submitted_at,
        )

    # -- ends --------------------------------------------------------------------------------------------------------------

    async def merge(self, number: int, *, head_sha: str, method: MergeMethod = MergeMethod.MERGE) -> PullRequest:
        """Merge exactly this head; merged already at it, it is given back.

        Where the base has a merge queue it is put on it, and given back still open: the queue merges it in its turn.

        Raises:
            RefusedError: moved on, conflicts, not approved, not open, not allowed, thrown off the queue.
        """
        pull = await self._reader.read(number)
        if _is_merged_at(pull, head_sha):
            return pull
        refusal = refusal_to_merge(pull, head_sha, require_approval=self._require_approval)
        if refusal is not None:
            raise RefusedError(refusal)
        if pull.mergeability is Mergeability.CONFLICT:
            raise RefusedError(await self._conflict(pull))
        if self._queued.get(number) == head_sha:
            return await self._enqueue(pull)
        try:
            path = f"{self._path}/pulls/{number}/merge"
            await self._client.write("PUT", path, {"sha": head_sha, "merge_method": method.value})
        except GitHubRefusedError as error:
            now = await self._reader.read(number)
            if _is_merged_at(now, head_sha):
                return now  # an attempt before this one, whose answer was lost
            if error.status == _UNMERGEABLE and "merge queue" in error.said.lower() and now.head_sha == head_sha:
                self._queued[number] = head_sha
                return await self._enqueue(now)
            raise await self._unmerged(now, head_sha, error) from error
        return await self._merged(number)

    async def _enqueue(self, pull: PullRequest) -> PullRequest:
        """Put it on the merge queue, unless it is there, or was thrown off it since its head was pushed."""
        events = await self._client.list(f"{self._path}/issues/{pull.number}/events", shapes.IssueEvent)
        last = next((event for event in reversed(events) if event.event in {_ON_QUEUE, _OFF_QUEUE}), None)
        if last is not None and last.event == _ON_QUEUE:
            return pull
        pushed = pull.pushes[-1].at if pull.pushes else None
        if last is not None and (pushed is None or last.created_at is None or last.created_at >= pushed):
            raise RefusedError(
                f"the merge queue of {pull.base_branch!r} took pull request {pull.number} off without merging it; look at its "
                "checks there, then push a correction or put it on the queue yourself"
            )
        shape = await self._reader.pull(pull.number)
        answer = await self._client.write(
            "POST",
            graphql_url(self._client.base_url),
            {"query": _ENQUEUE, "variables": {"pull": shape.node_id, "head": pull.head_sha}},
        )
        said = decode(answer, shapes.GraphAnswer, "/graphql")
        if said.errors:
            why = one_line("; ".join(error.message for error in said.errors), 300)
            raise RefusedError(f"GitHub does not put pull request {pull.number} on the merge queue: {why}")
        return pull

    async def _merged(self, number: int) -> PullRequest:
        for pause in (0.0, 0.5, 2.0):
            if pause:
                await self._client.pause(pause)
            pull = await self._reader.read(number)
            if pull.state is PullState.MERGED:
                return pull
        raise ForgeUnavailableError(f"GitHub merged pull request {number} and does not show it yet; look again")

    async def _unmerged(self, now: PullRequest, head_sha: str, error: GitHubRefusedError) -> RefusedError:
        if now.head_sha != head_sha or error.status == _MOVED:
            return RefusedError(
                f"pull request {now.number} was to be merged at {head_sha[:12]}, but its head is {now.head_sha[:12]} by now; "
                f"look at the new head and merge that (GitHub: {error.said})"
            )
        if error.status == _UNMERGEABLE and now.mergeability is Mergeability.CONFLICT:
            return RefusedError(await self._conflict(now))
        return RefusedError(f"GitHub does not merge pull request {now.number}: {error.said}")

    async def _conflict(self, pull: PullRequest) -> str:
        base, head = quote(pull.base_branch, safe=""), quote(pull.head_sha, safe="")
        theirs = await self._client.find(f"{self._path}/compare/{head}...{base}", shapes.Comparison)
        ours = {file.filename for file in await self._reader.files(pull.number)}
        both = sorted(ours & {file.filename for file in theirs.files}) if theirs is not None else []
        return (
            f"pull request {pull.number} conflicts with {pull.base_branch!r} (changed on both sides: {listed(both)}); "
            "bring the base into its branch and push"
        )

    async def close_pull_request(self, number: int) -> None:
        """Close it unmerged; nothing happens where it is not open."""
        if state_of(await self._reader.pull(number)) is PullState.OPEN:
            await self._client.write("PATCH", f"{self._path}/pulls/{number}", {"state": "closed"})

    # -- checks ------------------------------------------------------------------------------------------------------------

    async def set_checks(self, head_sha: str, checks: Iterable[Check], *, only_open: bool = False) -> None:
        """Record checks of a commit, one of the same name is replaced: check runs for an App, statuses for a person.

        With `only_open` only what is there and pending is replaced.
        """
        if self._login.lower().endswith("[bot]"):
            await self._set_runs(head_sha, checks, only_open=only_open)
        else:
            await self._set_statuses(head_sha, checks, only_open=only_open)

    async def _set_statuses(self, head_sha: str, checks: Iterable[Check], *, only_open: bool) -> None:
        sha = quote(head_sha, safe="")
        wanted = list(checks)
        if only_open:
            pages = self._client.pages(f"{self._path}/commits/{sha}/status", shapes.CombinedStatus)
            pending = {each.context async for page in pages for each in page.statuses if each.state == "pending"}
            wanted = [check for check in wanted if check.name in pending]
        for check in wanted:
            body = {
                "state": _GIVEN_UP[1] if check.given_up else _STATUSES[check.state],
                "context": check.name,
                "description": one_line(check.title or check.summary, _DESCRIPTION),
            }
            await self._client.write("POST", f"{self._path}/statuses/{sha}", body, repeatable=True)

    async def _set_runs(self, head_sha: str, checks: Iterable[Check], *, only_open: bool) -> None:
        sha = quote(head_sha, safe="")
        pages = self._client.pages(f"{self._path}/commits/{sha}/check-runs", shapes.CheckRuns, {"filter": "latest"})
        runs = [run async for page in pages for run in page.check_runs]
        own = {run.name: run for run in runs if run.app is not None and same_login(run.app.slug, self._login)}
        for check in checks:
            there = own.get(check.name)
            if not only_open or (there is not None and there.status != _COMPLETED):
                await self._set_run(head_sha, check, there)

    async def _set_run(self, head_sha: str, check: Check, there: shapes.CheckRun | None) -> None:
        conclusion = _GIVEN_UP[0] if check.given_up else _CONCLUSIONS.get(check.state)
        body: dict[str, Any] = (
            {"status": "in_progress"} if conclusion is None else {"conclusion": conclusion, "status": _COMPLETED}
        )
        summary = storable(check.summary[-_SUMMARY:])
        body["output"] = {"title": one_line(check.title, _DESCRIPTION) or check.name, "summary": summary}
        if there is None or (there.status == _COMPLETED and conclusion is None):
            await self._client.write("POST", f"{self._path}/check-runs", {"name": check.name, "head_sha": head_sha, **body})
        elif there.conclusion != conclusion or (there.output.summary or "") != summary:
            await self._client.write("PATCH", f"{self._path}/check-runs/{there.id}", body)


def graphql_url(api: str) -> str:
    """Where GraphQL is, given the base of the REST API; a GitHub Enterprise Server has it beside."""
    return f"{api.removesuffix('/v3')}/graphql"


def _hint_of(entry: Entry) -> Hint:
    branch = "" if entry.pull.is_foreign else entry.pull.head.ref
    return Hint(number=entry.number, tasks=entry.tasks, branch=branch, head_sha=entry.head_sha)


def _updated(entry: Entry) -> float:
    return entry.updated_at.timestamp()


def _is_merged_at(pull: PullRequest, head_sha: str) -> bool:
    return pull.state is PullState.MERGED and pull.head_sha == head_sha


def _checked_body(body: str, what: str) -> str:
    """A body as GitHub takes it. Raises `RefusedError` above 65536 characters."""
    if len(body) > MAX_BODY:
        raise RefusedError(f"{what} is {len(body)} characters long; GitHub takes {MAX_BODY}, shorten it or link to it")
    return storable(body)

"""A small working forge over a real bare repository, in memory: enough for the runner's duties.

It keeps pull requests in a dictionary and reads heads from git, so that pushes of the runner are seen as a forge sees them.
"""

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from coderun.model.errors import RefusedError
from coderun.model.logins import same_login
from coderun.model.names import task_of_branch, task_of_label
from coderun.model.pulls import (
    Actor,
    Check,
    Checks,
    Comment,
    LabelMark,
    MergeMethod,
    NewPullRequest,
    PullRequest,
    PullState,
    Review,
    ReviewState,
)


class OnePullForge:
    """The forge as `login`; `shared` is what all identities of one repository have in common."""

    def __init__(self, repository: Path, login: str, shared: "dict[int, PullRequest] | None" = None) -> None:
        self.repository = repository
        self._login = login
        self.pulls: dict[int, PullRequest] = {} if shared is None else shared
        self.calls: list[str] = []
        self.checks_of: Callable[[str, int], Checks] = lambda _sha, _look: Checks(expected=())
        self.before: Callable[[str], None] = lambda _call: None
        self._looks = 0

    @property
    def login(self) -> str:
        return self._login

    def acting_as(self, login: str) -> "OnePullForge":
        return OnePullForge(self.repository, login, self.pulls)

    def head_of(self, branch: str) -> str:
        asked = ["git", "-C", str(self.repository), "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()

    async def get_pull_request(self, number: int) -> PullRequest | None:
        self._note("get_pull_request")
        pull = self.pulls.get(number)
        if pull is None:
            return None
        head = (self.head_of(pull.head_branch) if pull.state is PullState.OPEN else "") or pull.head_sha
        self._looks += 1
        return msgspec.structs.replace(pull, head_sha=head, checks=self.checks_of(head, self._looks))

    async def list_pull_requests(self, state: PullState | None = None) -> list[PullRequest]:
        found = [await self.get_pull_request(number) for number in sorted(self.pulls)]
        return [pull for pull in found if pull is not None and state in {None, pull.state}]

    async def find_pull_requests(self, task_id: int) -> list[PullRequest]:
        pulls = await self.list_pull_requests()
        return [
            pull
            for pull in pulls
            if task_of_branch(pull.head_branch) == task_id or any(task_of_label(mark.name) == task_id for mark in pull.labels)
        ]

    async def open_pull_request(self, new: NewPullRequest) -> PullRequest:
        self._note("open_pull_request")
        head = self.head_of(new.head_branch)
        if not head:
            raise RefusedError(f"no branch {new.head_branch}")
        number = len(self.pulls) + 1
        self.pulls[number] = PullRequest(
            number=number,
            url=f"pr/{number}",
            title=new.title,
            body=new.body,
            author=self._me,
            head_branch=new.head_branch,
            base_branch=new.base_branch,
            head_sha=head,
            state=PullState.OPEN,
            labels=tuple(LabelMark(name=name, actor=self._me, head_sha=head) for name in new.labels),
        )
        return self.pulls[number]

    async def add_label(self, number: int, label: str) -> None:
        self._note(f"add_label {label}")
        pull = await self.get_pull_request(number)
        assert pull is not None
        mark = LabelMark(name=label, actor=self._me, head_sha=pull.head_sha)
        kept = tuple(each for each in pull.labels if each.name != label)
        self.pulls[number] = msgspec.structs.replace(self.pulls[number], labels=(*kept, mark))

    async def remove_label(self, number: int, label: str) -> None:
        raise NotImplementedError

    async def comments(self, number: int) -> list[Comment]:
        return []

    async def comment(self, number: int, body: str, *, marker: str = "") -> None:
        raise NotImplementedError

    async def react(self, number: int, comment: int, *, accepted: bool) -> None:
        self._note("react")

    async def review(self, number: int, state: ReviewState, body: str, *, head_sha: str) -> Review:
        self._note(f"review {state.value}")
        pull = await self.get_pull_request(number)
        assert pull is not None
        if pull.head_sha != head_sha:
            raise RefusedError(f"the head is {pull.head_sha} by now")
        if state is not ReviewState.COMMENTED and same_login(pull.author.login, self._login):
            raise RefusedError("nobody reviews their own pull request")
        same = [
            each
            for each in pull.reviews
            if each.state is state and each.head_sha == head_sha and each.actor.login == self._login
        ]
        if same:
            return same[-1]
        made = Review(id=len(pull.reviews) + 1, actor=self._me, state=state, head_sha=head_sha, body=body)
        self.pulls[number] = msgspec.structs.replace(self.pulls[number], reviews=(*pull.reviews, made))
        return made

    async def merge(self, number: int, *, head_sha: str, method: MergeMethod = MergeMethod.MERGE) -> PullRequest:
        raise NotImplementedError

    async def close_pull_request(self, number: int) -> None:
        self.pulls[number] = msgspec.structs.replace(self.pulls[number], state=PullState.CLOSED)

    async def set_checks(self, head_sha: str, checks: Iterable[Check], *, only_open: bool = False) -> None:
        raise NotImplementedError

    async def diff(self, number: int) -> str:
        return ""

    @property
    def _me(self) -> Actor:
        return Actor(login=self._login, can_write=True)

    def _note(self, call: str) -> None:
        self.before(call)
        self.calls.append(call)

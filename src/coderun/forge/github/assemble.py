"""From what GitHub says about a pull request to the pull request as gates look at it. Pure.

Between `reading`, which gathers the parts, and whoever decides. GitHub's label events name no commit: a label is bound to the
head that the branch had when the label was set, as the log of the branch's moves tells. What happened in the same second as a
push is taken for older than the push: then a label is void rather than valid for work nobody has looked at.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from coderun.forge.github import shapes
from coderun.forge.texts import label_key
from coderun.model.pulls import (
    Actor,
    Check,
    Checks,
    CheckState,
    LabelMark,
    Mergeability,
    PullRequest,
    PullState,
    Push,
    Review,
    ReviewState,
)

UNKNOWN_LOGIN: Final = "unknown"
GHOST: Final = "ghost"
_SUMMARY: Final = 4096
_PASSED: Final = frozenset({"success", "neutral", "skipped"})
_RANK: Final = {CheckState.PASSED: 0, CheckState.PENDING: 1, CheckState.FAILED: 2}
_STATUS_STATES: Final = {"success": CheckState.PASSED, "pending": CheckState.PENDING}
_MERGEABILITY: Final = {True: Mergeability.CLEAN, False: Mergeability.CONFLICT, None: Mergeability.UNKNOWN}


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """All that was read for one pull request.

    Attributes:
        activity: Moves of the head branch, newest first; None where GitHub does not tell (a fork, an older server).
        required: Checks that the base branch asks for, and the App each must come from (None: any); None: not known.
    """

    pull: shapes.Pull
    events: Sequence[shapes.IssueEvent] = ()
    reviews: Sequence[shapes.Review] = ()
    activity: Sequence[shapes.Activity] | None = None
    check_runs: Sequence[shapes.CheckRun] = ()
    statuses: Sequence[shapes.Status] = ()
    required: Mapping[str, int | None] | None = None
    markers: tuple[int, ...] = ()

    @property
    def logins(self) -> frozenset[str]:
        """Everybody who has a part in it."""
        return frozenset(
            login_of(user)
            for user in (
                self.pull.user,
                *(event.actor for event in self.events if event.event == "labeled"),
                *(review.user for review in self.reviews),
                *(move.actor for move in self.activity or ()),
            )
        )


def login_of(user: shapes.User | None) -> str:
    """The login of an account; an account that was deleted is `ghost`, as GitHub shows it."""
    return user.login if user is not None and user.login else GHOST


def assemble(parts: Parts, actors: Mapping[str, Actor]) -> PullRequest:
    """The pull request; `actors` has an entry for each of `parts.logins`."""
    pull = parts.pull
    pushes = pushes_of(parts, actors)
    known = parts.activity is not None
    merged_by = login_of(pull.merged_by) if pull.merged_at is not None else ""
    return PullRequest(
        number=pull.number,
        url=pull.html_url,
        title=pull.title,
        body=pull.body or "",
        author=actors[login_of(pull.user)],
        head_branch=head_branch_of(pull),
        base_branch=pull.base.ref,
        head_sha=pull.head.sha,
        state=state_of(pull),
        draft=pull.draft,
        labels=labels_of(pull, parts.events, pushes if known else (), actors),
        reviews=tuple(reviews_of(parts.reviews, actors)),
        pushes=pushes,
        checks=checks_of(parts),
        markers=parts.markers,
        mergeability=_MERGEABILITY[pull.mergeable] if state_of(pull) is PullState.OPEN else Mergeability.UNKNOWN,
        created_at=pull.created_at,
        head_since=max(pull.created_at, pushes[-1].at or pull.created_at) if _leads_to_head(pushes, pull) else None,
        merged_at=pull.merged_at,
        merged_by=merged_by,
        merge_sha=(pull.merge_commit_sha or "") if pull.merged_at is not None else "",
    )


def _leads_to_head(pushes: Sequence[Push], pull: shapes.Pull) -> bool:
    return bool(pushes) and pushes[-1].sha == pull.head.sha and pushes[-1].at is not None


def state_of(pull: shapes.Pull) -> PullState:
    """Where it stands; GitHub calls a merged one closed."""
    if pull.merged_at is not None:
        return PullState.MERGED
    return PullState.OPEN if pull.state.lower() == "open" else PullState.CLOSED


def head_branch_of(pull: shapes.Pull) -> str:
    """The head branch; `owner:branch` where it lives in a fork, so that an outsider's branch is no task's of ours."""
    return f"{login_of(pull.head.user)}:{pull.head.ref}" if pull.is_foreign else pull.head.ref


def pushes_of(parts: Parts, actors: Mapping[str, Actor]) -> tuple[Push, ...]:
    """Moves of the head branch since the pull request was opened, the head it was opened with first.

    Where GitHub does not tell, the one head that is known, by nobody that is.
    """
    pull = parts.pull
    if parts.activity is None:
        return (Push(sha=pull.head.sha, actor=Actor(login=UNKNOWN_LOGIN)),)
    # Oldest first; those of one second stay in GitHub's order, which is by number.
    moves = sorted((move for move in reversed(parts.activity) if not _is_nothing(move.after)), key=_moment)
    before = [move for move in moves if move.timestamp < pull.created_at]
    # GitHub tells no more than the second: what moved in that of the opening may have moved before it, or after.
    since = [move for move in moves if move.timestamp >= pull.created_at]
    is_told = bool(since) and since[0].timestamp == pull.created_at
    told = since if is_told else [*before[-1:], *since]
    return tuple(Push(sha=move.after, actor=actors[login_of(move.actor)], at=move.timestamp) for move in told)


def _is_nothing(sha: str) -> bool:
    return not sha.strip("0")


def _moment(move: shapes.Activity) -> datetime:
    return move.timestamp


def head_at(pushes: Sequence[Push], moment: datetime | None) -> str:
    """The head when something happened; what happened in the second of a push saw the head before it. "" where unknown."""
    if moment is None or not pushes:
        return ""
    head = pushes[0].sha
    for push in pushes[1:]:
        if push.at is None or push.at >= moment:
            break
        head = push.sha
    return head


def labels_of(
    pull: shapes.Pull, events: Iterable[shapes.IssueEvent], pushes: Sequence[Push], actors: Mapping[str, Actor]
) -> tuple[LabelMark, ...]:
    """The labels that are set, each bound by its last `labeled` event; one without such an event to nobody and nothing."""
    last = {label_key(event.label.name): event for event in events if event.event == "labeled" and event.label is not None}
    marks = []
    for label in pull.labels:
        event = last.get(label_key(label.name))
        if event is None:
            marks.append(LabelMark(name=label.name, actor=Actor(login=UNKNOWN_LOGIN), head_sha=""))
            continue
        head = head_at(pushes, event.created_at)
        marks.append(LabelMark(name=label.name, actor=actors[login_of(event.actor)], head_sha=head, at=event.created_at))
    return tuple(marks)


def reviews_of(reviews: Iterable[shapes.Review], actors: Mapping[str, Actor]) -> Iterable[Review]:
    """Submitted reviews in GitHub's order; drafts, and states we do not know, are none."""
    for review in reviews:
        try:
            state = ReviewState(review.state.lower())
        except ValueError:
            continue
        yield Review(
            id=review.id,
            actor=actors[login_of(review.user)],
            state=state,
            head_sha=review.commit_id or "",
            body=review.body or "",
            at=review.submitted_at,
        )


def checks_of(parts: Parts) -> Checks:
    """Check runs and statuses of the head by name; of one name the worst counts. Required ones are expected."""
    required = parts.required or {}
    found: dict[str, Check] = {}
    for run in parts.check_runs:
        only = required.get(run.name)
        is_required = run.name in required and (only is None or (run.app is not None and run.app.id == only))
        _keep_worst(found, Check(name=run.name, state=_run_state(run), required=is_required, summary=_summary(run)))
    for status in parts.statuses:
        state = _STATUS_STATES.get(status.state.lower(), CheckState.FAILED)
        summary = (status.description or "")[-_SUMMARY:]
        _keep_worst(found, Check(name=status.context, state=state, required=status.context in required, summary=summary))
    answered = {name for name, check in found.items() if check.required}
    expected = tuple(sorted(required)) if required else None
    unanswered = [
        msgspec.structs.replace(check, state=CheckState.PENDING, required=True)
        for name, check in found.items()
        if name in required and name not in answered and check.state is not CheckState.FAILED
    ]
    for check in unanswered:
        found[check.name] = check  # of the right name, but not by the App that the protection wants
    return Checks(items=tuple(found[name] for name in sorted(found)), expected=expected)


def _keep_worst(found: dict[str, Check], check: Check) -> None:
    other = found.get(check.name)
    if other is None or (check.required, _RANK[check.state]) > (other.required, _RANK[other.state]):
        found[check.name] = check


def _run_state(run: shapes.CheckRun) -> CheckState:
    if run.status.lower() != "completed":
        return CheckState.PENDING
    return CheckState.PASSED if (run.conclusion or "").lower() in _PASSED else CheckState.FAILED


def _summary(run: shapes.CheckRun) -> str:
    text = "\n".join(part for part in (run.output.title, run.output.summary) if part)
    return text[-_SUMMARY:]


def required_of(branch: shapes.Branch | None, rules: Iterable[shapes.Rule]) -> dict[str, int | None]:
    """Checks that protection and rulesets of a branch ask for, and the App each must come from (None: any)."""
    wanted: dict[str, int | None] = {}
    classic = branch.protection.required_status_checks if branch is not None and branch.protection is not None else None
    if classic is not None and classic.enforcement_level.lower() != "off":
        wanted.update(dict.fromkeys(classic.contexts))
        wanted.update({check.context: _app(check.app_id) for check in classic.checks})
    for rule in rules:
        if rule.type == "required_status_checks" and rule.parameters is not None:
            wanted.update({check.context: _app(check.integration_id) for check in rule.parameters.required_status_checks})
    return wanted


def _app(identity: int | None) -> int | None:
    return identity if identity is not None and identity > 0 else None

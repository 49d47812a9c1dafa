"""What the runner does on the forge for its agent: open the pull request, wait for checks, set the label, post the review.

Which of these a run does follows from the gates its order carries as evidence, never from the stage's name. Everything looks
first, so that a repeated run publishes nothing twice. Agent text is quoted as what it is.
"""

from datetime import timedelta
from typing import Final

from coderun.agent.evidence import checks_in_words
from coderun.agent.patience import Patience
from coderun.agent.result import AgentResult, RunFailedError, clean_text, fenced, one_line
from coderun.forge.protocol import Forge
from coderun.model.coderun import Verdict
from coderun.model.errors import RefusedError
from coderun.model.gates import GateKind
from coderun.model.logins import same_login
from coderun.model.names import run_label, service_label, task_label
from coderun.model.pulls import CheckState, NewPullRequest, PullRequest, PullState, ReviewState
from coderun.plan.order import GITHUB, RunOrder

POLL: Final = 1.0
HEAD_WAIT: Final = 60.0
_TITLE_LIMIT: Final = 200
_TASK_LIMIT: Final = 8 * 1024
_SUMMARY_END: Final = 400


def asks_for(order: RunOrder, *kinds: GateKind) -> bool:
    """Whether the order's evidence has a gate of one of these kinds."""
    return any(gate.kind in kinds for gate in order.evidence)


def judges(order: RunOrder) -> bool:
    """Whether the run passes a judgement on the head commit (label or review)."""
    return asks_for(order, GateKind.LABEL, GateKind.REVIEW)


def check_verdict(order: RunOrder, result: AgentResult | None) -> Verdict:
    """The verdict that steers what is published. A missing one is `done`, but never a judgement.

    Raises:
        RunFailedError: `AgentBlocked` or `NoVerdict`: nothing shall be published.
    """
    verdict = (result.verdict if result else None) or Verdict.DONE
    reviews = asks_for(order, GateKind.REVIEW)
    if verdict is Verdict.BLOCKED or (verdict is Verdict.REQUEST_CHANGES and not reviews):
        said = result.summary if result and result.summary else "it gave no reason"
        raise RunFailedError("AgentBlocked", f"{order.agent.name} ended with the verdict {verdict.value!r}: {said}")
    if reviews and verdict is Verdict.DONE:
        found = "the verdict 'done'" if result and result.verdict else "no verdict"
        raise RunFailedError(
            "NoVerdict",
            f"{order.agent.name} ended with {found}; a review stage needs 'approve' or 'request-changes', no review was posted",
        )
    return verdict


async def find_pull_request(order: RunOrder, forge: Forge, patience: Patience, branch: str) -> PullRequest | None:
    """The pull request of this run: the one the order names, else the newest open one of the task from `branch`."""
    named = order.pull_request
    if named is not None:
        return await patience.ask(lambda: forge.get_pull_request(named.number))
    found = await patience.ask(lambda: forge.find_pull_requests(order.task_id))
    mine = [pull for pull in found if pull.head_branch == branch and pull.state is PullState.OPEN]
    return mine[-1] if mine else None


async def open_pull_request(
    order: RunOrder, forge: Forge, patience: Patience, *, branch: str, result: AgentResult | None
) -> PullRequest:
    """The run's pull request, opened if there is none yet, with the task's label."""
    pull = await find_pull_request(order, forge, patience, branch)
    labels = labels_of(order)
    if pull is None:
        new = NewPullRequest(
            title=pull_request_title(order),
            body=pull_request_body(order, result),
            head_branch=branch,
            base_branch=order.base_branch,
            labels=labels,
        )
        pull = await patience.ask(lambda: forge.open_pull_request(new))
    number = pull.number
    there = {mark.name.lower() for mark in pull.labels}
    for label in labels:
        if label.lower() not in there:
            await patience.ask(lambda label=label: forge.add_label(number, label))  # type: ignore[misc] # bound at once
    return pull


def labels_of(order: RunOrder) -> tuple[str, ...]:
    """The labels of the run's pull request: its task's, and on GitHub also those of its play (where it has one) and service."""
    task = task_label(order.task_id)
    if order.forge.kind != GITHUB:
        return (task,)
    return (task, *((run_label(order.play),) if order.play else ()), service_label(order.service))


def pull_request_title(order: RunOrder) -> str:
    """One line: `task N: <title>`."""
    return one_line(f"task {order.task_id}: {order.task.title}", _TITLE_LIMIT)


def pull_request_body(order: RunOrder, result: AgentResult | None) -> str:
    """What the task is, what the agent says it did (quoted as such), and a mark for programs."""
    parts = [f"Work on task {order.task_id} by {order.agent.name}."]
    task = clean_text(order.task.description or order.task.details, _TASK_LIMIT)
    if task:
        parts.append(f"### Task\n\n{fenced(task)}")
    if result is not None and result.summary:
        parts.append(f"### In the agent's words (unverified)\n\n{fenced(result.summary)}")
    parts.append(f"<!-- coderun: task-{order.task_id} {order.play} {order.coderun} -->")
    return "\n\n".join(parts) + "\n"


async def wait_for_head(
    number: int, forge: Forge, patience: Patience, *, head: str, before: str, poll: float = POLL
) -> PullRequest:
    """The pull request once the forge shows `head`; `before` is the head it showed before our push.

    Raises:
        RunFailedError: `HeadMoved`, where it shows a third commit; `ForgeUnavailable`, where our push does not show.
    """
    deadline = patience.clock.now() + timedelta(seconds=HEAD_WAIT)
    while True:
        pull = await patience.ask(lambda: forge.get_pull_request(number))
        if pull is None:
            raise RunFailedError("EvidenceMissing", f"pull request #{number} is not on the forge any more")
        if pull.head_sha == head:
            return pull
        if pull.head_sha != before or before == head:
            raise head_moved(pull, head)
        if patience.clock.now() >= deadline:
            raise RunFailedError(
                "ForgeUnavailable",
                f"pull request #{number} still shows {before[:12]} a minute after {head[:12]} was pushed to it",
            )
        await patience.wait_for_news(poll)


async def wait_for_checks(number: int, forge: Forge, patience: Patience, order: RunOrder, *, head: str) -> PullRequest:
    """The pull request once the checks of `head` have passed, looked at when there is news, and now and then (`limits.poll`).

    No check at all counts as passed: at once where the forge knows that none will come, else after the order's `checks_grace`.

    Raises:
        RunFailedError: `ChecksFailed`, `ChecksTimedOut`, `HeadMoved`.
    """
    begun = patience.clock.now()
    while True:
        pull = await patience.ask(lambda: forge.get_pull_request(number))
        if pull is None or pull.head_sha != head:
            raise head_moved(pull, head) if pull else RunFailedError("EvidenceMissing", f"pull request #{number} is gone")
        waited = (patience.clock.now() - begun).total_seconds()
        state = pull.checks.state
        if state is CheckState.PASSED or (state is None and waited >= order.limits.checks_grace):
            return pull
        if state is CheckState.FAILED:
            raise RunFailedError("ChecksFailed", failed_checks(pull))
        if waited >= order.limits.checks_wait:
            raise RunFailedError(
                "ChecksTimedOut", f"after {waited:.0f} s the checks of {head[:12]} are: {checks_in_words(pull)}"
            )
        await patience.wait_for_news(order.limits.poll)


def failed_checks(pull: PullRequest) -> str:
    """Which checks of the head failed, each with the end of what it said."""
    failed = [check for check in pull.checks.counted if check.state is CheckState.FAILED]
    names = ", ".join(one_line(check.name, 100) for check in failed)
    ends = [f"{one_line(check.name, 100)}: {clean_text(check.summary[-_SUMMARY_END:], _SUMMARY_END)}" for check in failed]
    return "\n".join((f"checks of {pull.head_sha[:12]} failed: {names}", *(end for end in ends if not end.endswith(": "))))


async def set_labels(pull: PullRequest, order: RunOrder, forge: Forge, patience: Patience) -> None:
    """Set every label the order's gates ask for, unless this agent has set it on this head already."""
    for gate in order.evidence:
        if gate.kind is not GateKind.LABEL:
            continue
        name = gate.label
        there = any(
            mark.name == name and mark.head_sha == pull.head_sha and same_login(mark.actor.login, order.agent.login)
            for mark in pull.labels
        )
        if not there:
            await patience.ask(lambda name=name: forge.add_label(pull.number, name))  # type: ignore[misc] # bound at once


async def post_review(
    pull: PullRequest, forge: Forge, patience: Patience, *, verdict: Verdict, result: AgentResult | None, head: str
) -> None:
    """Post the review the verdict asks for, of exactly `head`. The forge gives back one that says the same already.

    Raises:
        RunFailedError: `HeadMoved`; `OwnPullRequest`, where the agent's own account opened it: then only its words are left
            there, as a comment.
        RefusedError: the forge does not let this agent review this pull request.
    """
    state = ReviewState.APPROVED if verdict is Verdict.APPROVE else ReviewState.CHANGES_REQUESTED
    body = review_body(result)
    if same_login(pull.author.login, forge.login):
        await patience.ask(lambda: forge.review(pull.number, ReviewState.COMMENTED, body, head_sha=head))
        raise RunFailedError(
            "OwnPullRequest",
            f"the verdict is {verdict.value!r}, but {forge.login} opened pull request #{pull.number} itself, and nobody "
            "reviews their own; its words are there as a comment",
        )
    try:
        await patience.ask(lambda: forge.review(pull.number, state, body, head_sha=head))
    except RefusedError:
        now = await patience.ask(lambda: forge.get_pull_request(pull.number))
        if now is not None and now.head_sha != head:
            raise head_moved(now, head) from None
        raise


def review_body(result: AgentResult | None) -> str:
    """The agent's summary and comments, with nothing in it that could pass for a mark of ours."""
    if result is None:
        return ""
    listed = "\n".join(f"- {comment.replace(chr(10), chr(10) + '  ')}" for comment in result.comments if comment)
    return "\n\n".join(filter(None, (result.summary, listed))).replace("<!--", "&lt;!--")


def head_moved(pull: PullRequest, head: str) -> RunFailedError:
    """The failure of a run whose pull request has got another head than the one it worked on."""
    return RunFailedError(
        "HeadMoved",
        f"pull request #{pull.number} has moved to {pull.head_sha[:12]} while this run worked on {head[:12]}; "
        "what it found does not hold for the new head",
    )

"""Is the play over? Merged, aborted, mismatched or closed, and how a finished play is taken up again.

A play never ends while one of its runs is active: they are cancelled first, and the next pass ends it.
"""

from msgspec.structs import replace

from coderun.model.play import PlayPhase
from coderun.model.pulls import PullRequest, PullState
from coderun.pipeline.decision import PostComment
from coderun.pipeline.draft import Draft, pull_ref


def reopen(draft: Draft) -> None:
    """Take a failed or aborted play up again when a person asked for it; without an open pull request it starts anew."""
    if draft.status.phase in {PlayPhase.FAILED, PlayPhase.ABORTED} and draft.retry_asked:
        pull = draft.facts.pull_request
        keep = pull is not None and pull.state is PullState.OPEN
        draft.status = replace(
            draft.status,
            phase=PlayPhase.RUNNING if draft.status.stage else PlayPhase.PENDING,
            finished_at=None,
            message="",
            pull_request=draft.status.pull_request if keep else None,
        )
        if not keep and draft.status.stage:
            draft.enter(draft.facts.pipeline.stages[0], restart=True)


def ended(draft: Draft) -> bool:
    """End the play where it is over; True when nothing else is to be judged in this pass."""
    pull = draft.facts.pull_request
    known = draft.status.pull_request
    if pull is not None and pull.state is PullState.MERGED:
        where = f"pull request #{pull.number} is merged"
        by = f" by {pull.merged_by}" if pull.merged_by else ""
        return _end(draft, PlayPhase.SUCCEEDED, "Merged", where + by, pull)
    if draft.play.spec.abort_requested:
        return _end(draft, PlayPhase.ABORTED, "AbortRequested", "a person aborted the play", pull)
    if draft.facts.mismatch and pull is not None:
        _comment_mismatch(draft, pull)
        text = f"the marks of pull request #{pull.number} disagree: {draft.facts.mismatch}"
        return _end(draft, PlayPhase.FAILED, "AssociationMismatch", text, pull)
    if pull is not None and pull.state is PullState.CLOSED and known is not None and known.number == pull.number:
        text = f"pull request #{pull.number} was closed without merging"
        return _end(draft, PlayPhase.ABORTED, "PullRequestClosed", text, pull)
    return False


def _end(draft: Draft, phase: PlayPhase, reason: str, message: str, pull: PullRequest | None) -> bool:
    if pull is not None:
        draft.status = replace(draft.status, pull_request=pull_ref(pull))
    if draft.cancel_active(message):
        draft.wait("stop", reason, f"{message}; its runs are ending", "happens by itself: running agents save their work first")
        return True
    draft.note(reason, message)
    done = phase is PlayPhase.SUCCEEDED
    draft.status = replace(
        draft.status,
        phase=phase,
        message=message,
        finished_at=draft.now,
        started_at=draft.status.started_at or draft.now,
        stage="" if done else draft.status.stage,
    )
    return True


def _comment_mismatch(draft: Draft, pull: PullRequest) -> None:
    body = (
        f"coderun stopped here: the marks of this pull request name different tasks ({draft.facts.mismatch}), "
        f"so it cannot tell whether it belongs to task {draft.play.spec.task_id}. "
        "Make label, branch and marker file agree, then run `coderun retry " + draft.play.name + "`."
    )
    draft.actions.append(PostComment(number=pull.number, marker="association-mismatch", body=body))

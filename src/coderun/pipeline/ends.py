"""Is the play over? Merged, aborted, closed or mismatched.

A play never ends while one of its runs is active: they are cancelled first, and a later pass ends it.
"""

from msgspec.structs import replace

from coderun.model.play import PlayPhase
from coderun.model.pulls import PullRequest, PullState
from coderun.pipeline.decision import PostComment
from coderun.pipeline.draft import Draft, brief, pull_ref


def ended(draft: Draft) -> bool:
    """End the play where it is over; True when nothing else is to be judged in this pass."""
    pull = draft.facts.pull_request
    if pull is not None and pull.state is PullState.MERGED:
        by = f" by {pull.merged_by}" if pull.merged_by else ""
        return _end(draft, PlayPhase.SUCCEEDED, "Merged", f"pull request #{pull.number} is merged{by}", pull)
    if draft.play.spec.abort_requested:
        return _end(draft, PlayPhase.ABORTED, "AbortRequested", "a person aborted the play", pull)
    if pull is None:
        return False
    if pull.state is PullState.CLOSED:
        return _closed(draft, pull)
    if draft.facts.mismatch:
        _comment_mismatch(draft, pull)
        text = f"the marks of pull request #{pull.number} disagree: {draft.facts.mismatch}"
        return _end(draft, PlayPhase.FAILED, "AssociationMismatch", text, pull)
    return False


def _closed(draft: Draft, pull: PullRequest) -> bool:
    known = draft.status.pull_request
    if known is not None and known.number == pull.number:
        text = f"pull request #{pull.number} was closed without merging"
        return _end(draft, PlayPhase.ABORTED, "PullRequestClosed", text, pull)
    # One that a retry has left behind: from here on it is as if there were none.
    draft.facts = replace(draft.facts, pull_request=None)
    return False


def _end(draft: Draft, phase: PlayPhase, reason: str, message: str, pull: PullRequest | None) -> bool:
    # A head that nobody has followed yet stays unknown: a retry must still see that it moved.
    if pull is not None and (phase is PlayPhase.SUCCEEDED or draft.status.pull_request is None):
        draft.status = replace(draft.status, pull_request=pull_ref(pull))
    if draft.cancel_active(message):
        would_move = "happens by itself: running agents save their work first"
        draft.wait("stop", reason, f"{message}; its runs are ending", would_move)
        return True
    draft.note(reason, message)
    draft.status = replace(
        draft.status,
        phase=phase,
        message=brief(message),
        finished_at=draft.now,
        started_at=draft.status.started_at or draft.now,
        stage="" if phase is PlayPhase.SUCCEEDED else draft.status.stage,
    )
    return True


def _comment_mismatch(draft: Draft, pull: PullRequest) -> None:
    body = (
        f"coderun stopped here: the marks of this pull request name different tasks ({draft.facts.mismatch}), "
        f"so it cannot tell whether it belongs to task {draft.play.spec.task_id}. "
        f"Make label, branch and marker file agree, then run `coderun retry {draft.play.name}`."
    )
    draft.actions.append(PostComment(number=pull.number, marker="association-mismatch", body=body))

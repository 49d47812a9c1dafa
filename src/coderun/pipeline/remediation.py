"""Does something send the play back? A moved head, a review that asks for changes, a conflict, by the rules of the pipeline.

Going back cancels what runs and enters the earlier stage; starting the next run is the stage's own business.
"""

from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from coderun.model.pulls import Mergeability, PullRequest, PullState, Review
from coderun.pipeline.clock import deadline
from coderun.pipeline.decision import RemoveLabel
from coderun.pipeline.definition import Remedy, Stage, Trigger
from coderun.pipeline.draft import Draft, pull_ref
from coderun.pipeline.gates import change_requests, find_label, is_head_told, pushes_after, short

PUSHER_UNKNOWN: Final = "PusherUnknown"
PUSHER_RECHECK_SECONDS: Final = 2.0
PUSHER_PATIENCE_SECONDS: Final = 20.0
"""So long a forge may take to tell who moved a head that it shows already."""


def followed(draft: Draft) -> bool:
    """Adopt the pull request and its head; go back by the `push` rule where somebody else than the stage's agent moved it.

    False where the limit forbids that: the play waits then, and the new head is not adopted before a person has spoken.
    """
    pull, known = draft.facts.pull_request, draft.status.pull_request
    if pull is None:
        return True
    if known is None or known.number != pull.number:
        draft.status = replace(draft.status, pull_request=pull_ref(pull))
        draft.note("PullRequestFound", f"pull request #{pull.number} by {pull.author.login} at {short(pull.head_sha)}")
        return True
    if known.head_sha == pull.head_sha:
        return True
    return _follow_push(draft, pull, known.head_sha)


def _follow_push(draft: Draft, pull: PullRequest, old_head: str) -> bool:
    later = pushes_after(pull, old_head)
    pushers = list(dict.fromkeys(push.actor.login for push in later or ()))
    moved = f"{', '.join(pushers) or 'somebody unknown'} pushed {short(pull.head_sha)}"
    agent = draft.agent_of(draft.stage)
    own = bool(pushers) and agent is not None and all(agent.is_login(login) for login in pushers)
    remedy = draft.facts.pipeline.remedy(Trigger.PUSH)
    stage = draft.facts.pipeline.stage(remedy.restart_at) if remedy is not None else None
    if own or remedy is None or stage is None or draft.at < draft.facts.pipeline.index(stage.name):
        draft.status = replace(draft.status, pull_request=pull_ref(pull))
        draft.note("HeadMoved", moved)
        return True
    if later is None and _may_be_told_yet(draft, pull):
        message = f"{short(pull.head_sha)} was pushed, and the forge does not say yet by whom"
        draft.wait("gate", PUSHER_UNKNOWN, message, "happens by itself", target=pull.head_sha)
        draft.recheck(draft.now + timedelta(seconds=PUSHER_RECHECK_SECONDS))
        return False
    if remedy.is_counted and draft.is_at_limit:
        _wait_limit(draft, moved)
        return False
    if draft.is_at_limit and any(draft.facts.roster.of_login(login) is None for login in pushers):
        _take_as_answer(draft, pull)
    draft.status = replace(draft.status, pull_request=pull_ref(pull))
    _go_back(draft, pull, remedy, stage, f"{moved}; back to {stage.name}", owed=draft.status.resolved_head)
    return True


def _may_be_told_yet(draft: Draft, pull: PullRequest) -> bool:
    """Whether the forge's log of pushes ends before today's head, and not for so long that it will stay so.

    Taken at once for somebody else's, a push of the stage's own agent would end its run and send the play back.
    """
    if is_head_told(pull):
        return False
    waiting = draft.play.status.waiting
    if waiting is None or (waiting.reason, waiting.target) != (PUSHER_UNKNOWN, pull.head_sha):
        return True
    return deadline(waiting.since, PUSHER_PATIENCE_SECONDS, draft.now) is not None


def _take_as_answer(draft: Draft, pull: PullRequest) -> None:
    """A person asked to work on the pull request at the limit has done so: what was asked of earlier heads is answered."""
    asked = [review.id for review in change_requests(pull, draft.facts.roster) if review.head_sha != pull.head_sha]
    draft.status = replace(draft.status, reviewed=max([draft.status.reviewed, *asked]))


def remedied(draft: Draft) -> bool:
    """Go back where a review or a conflict asks for it; False where the limit forbids that: the play waits then."""
    pull = draft.facts.pull_request
    if pull is None or pull.state is not PullState.OPEN:
        return True
    for trigger, message, reviewed in _calls(draft, pull):
        remedy = draft.facts.pipeline.remedy(trigger)
        stage = draft.facts.pipeline.stage(remedy.restart_at) if remedy is not None else None
        if remedy is None or stage is None or not stage.role or draft.at <= draft.facts.pipeline.index(stage.name):
            continue
        if remedy.is_counted and draft.is_at_limit:
            _wait_limit(draft, message)
            return False
        draft.status = replace(draft.status, reviewed=max(draft.status.reviewed, reviewed))
        _go_back(draft, pull, remedy, stage, f"{message}; back to {stage.name}", owed=pull.head_sha)
        return True
    return True


def _calls(draft: Draft, pull: PullRequest) -> list[tuple[Trigger, str, int]]:
    """What asks for a way back: by which rule, for people, and up to which review."""
    calls: list[tuple[Trigger, str, int]] = []
    asked = [review for review in change_requests(pull, draft.facts.roster) if _is_new(draft, review)]
    if asked:
        names = ", ".join(dict.fromkeys(review.actor.login for review in asked))
        message = f"{names} asked for changes on {short(asked[-1].head_sha)}"
        calls.append((Trigger.CHANGES_REQUESTED, message, asked[-1].id))
    if pull.mergeability is Mergeability.CONFLICT:
        calls.append((Trigger.CONFLICT, f"{short(pull.head_sha)} conflicts with {pull.base_branch}", 0))
    return calls


def _is_new(draft: Draft, review: Review) -> bool:
    if review.id <= draft.status.reviewed:
        return False
    # The run that wrote it is about to end by itself: let it.
    agent, run = draft.agent_of(draft.stage), draft.latest_run()
    return not (run is not None and run.is_active and agent is not None and agent.is_login(review.actor.login))


def _wait_limit(draft: Draft, message: str) -> None:
    draft.wait(
        "person",
        "MaxIterations",
        f"{message}, and {draft.status.remediations} restarts have been made already",
        f"`coderun retry {draft.play.name}` allows one more, or work on the pull request yourself",
    )


def _go_back(draft: Draft, pull: PullRequest, remedy: Remedy, stage: Stage, message: str, *, owed: str) -> None:
    draft.cancel_active(message, until_iteration=draft.status.iteration)
    found = (find_label(pull, name) for name in remedy.remove_labels)
    draft.actions.extend(RemoveLabel(number=pull.number, label=mark.name) for mark in found if mark is not None)
    draft.status = replace(draft.status, remediations=draft.status.remediations + int(remedy.is_counted), resolved_head=owed)
    draft.enter(stage, restart=True)
    if not remedy.continue_session:
        draft.status = replace(draft.status, fresh_since=draft.status.iteration)
    draft.note(_camel(remedy.on), message)


def _camel(words: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in words.split("-"))

"""Does something send the play back? A moved head, a review that asks for changes, a conflict, by the rules of the pipeline.

Going back cancels what runs and enters the earlier stage; starting the next run is the stage's own business.
"""

from msgspec.structs import replace

from coderun.model.pulls import Mergeability, PullRequest, PullState, Review, ReviewState
from coderun.pipeline.decision import RemoveLabel
from coderun.pipeline.definition import Remedy, Trigger
from coderun.pipeline.draft import Draft, pull_ref
from coderun.pipeline.gates import find_label, pushes_after, short, verdicts


def follow_head(draft: Draft) -> None:
    """Adopt the pull request and its head; go back by the `push` rule where somebody else than the stage's agent moved it."""
    pull, known = draft.facts.pull_request, draft.status.pull_request
    if pull is None:
        return
    draft.status = replace(draft.status, pull_request=pull_ref(pull))
    if known is None or known.number != pull.number:
        draft.note("PullRequestFound", f"pull request #{pull.number} by {pull.author.login} at {short(pull.head_sha)}")
        return
    if known.head_sha == pull.head_sha:
        return
    remedy = draft.facts.pipeline.remedy(Trigger.PUSH)
    after = pushes_after(pull, known.head_sha)
    by = ", ".join(dict.fromkeys(push.actor.login for push in after)) if after else "unknown"
    moved = f"{by} pushed {short(pull.head_sha)}"
    agent = draft.agent_of(draft.stage)
    own = bool(after) and agent is not None and all(agent.is_login(push.actor.login) for push in after or ())
    if own or remedy is None or draft.at < draft.facts.pipeline.index(remedy.restart_at):
        draft.note("HeadMoved", moved)
        return
    _go_back(draft, remedy, "Push", f"{moved}; back to {remedy.restart_at}", owed="")


def remedied(draft: Draft) -> bool | None:
    """Go back where a review or a conflict asks for it. True: went back; False: nothing to do; None: settled, stop here."""
    pull = draft.facts.pull_request
    if pull is None or pull.state is not PullState.OPEN:
        return False
    for trigger, message, review in _calls(draft, pull):
        remedy = draft.facts.pipeline.remedy(trigger)
        if remedy is None or draft.at <= draft.facts.pipeline.index(remedy.restart_at):
            continue
        if remedy.is_counted and draft.is_at_limit:
            _wait_limit(draft, message)
            return None
        _go_back(draft, remedy, trigger.value, f"{message}; back to {remedy.restart_at}", owed=pull.head_sha)
        if review is not None:
            draft.status = replace(draft.status, reviewed=review.id)
        return True
    return False


def _calls(draft: Draft, pull: PullRequest) -> list[tuple[Trigger, str, Review | None]]:
    calls: list[tuple[Trigger, str, Review | None]] = []
    asked = [review for review in verdicts(pull) if _is_new_request(draft, review)]
    if asked:
        names = ", ".join(dict.fromkeys(review.actor.login for review in asked))
        calls.append((Trigger.CHANGES_REQUESTED, f"{names} asked for changes on {short(asked[-1].head_sha)}", asked[-1]))
    if pull.mergeability is Mergeability.CONFLICT:
        calls.append((Trigger.CONFLICT, f"{short(pull.head_sha)} conflicts with {pull.base_branch}", None))
    return calls


def _is_new_request(draft: Draft, review: Review) -> bool:
    if review.state is not ReviewState.CHANGES_REQUESTED or review.id <= draft.status.reviewed:
        return False
    if not (review.actor.can_write or draft.facts.roster.of_login(review.actor.login) is not None):
        return False
    # The run that wrote it is about to end by itself: let it.
    agent, run = draft.agent_of(draft.stage), draft.latest_run()
    return not (run is not None and run.is_active and agent is not None and agent.is_login(review.actor.login))


def _wait_limit(draft: Draft, message: str) -> None:
    draft.cancel_active(message)
    draft.wait(
        "person",
        "MaxIterations",
        f"{message}, and {draft.status.remediations} restarts have been made already",
        f"`coderun retry {draft.play.name}` allows one more, or work on the pull request yourself",
    )


def _go_back(draft: Draft, remedy: Remedy, reason: str, message: str, *, owed: str) -> None:
    stage = draft.facts.pipeline.stage(remedy.restart_at)
    if stage is None:  # a definition with such a rule is refused when it is read
        return
    draft.cancel_active(message)
    pull = draft.facts.pull_request
    if pull is not None:
        found = (find_label(pull, name) for name in remedy.remove_labels)
        draft.actions.extend(RemoveLabel(number=pull.number, label=mark.name) for mark in found if mark is not None)
    draft.status = replace(draft.status, remediations=draft.status.remediations + int(remedy.is_counted), resolved_head=owed)
    draft.enter(stage, restart=True)
    draft.note(_camel(reason), message)


def _camel(words: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in words.split("-"))

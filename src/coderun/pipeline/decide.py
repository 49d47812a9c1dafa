"""`decide(play, facts, now)`: what should happen to a play next.

It does no I/O and keeps nothing: the same play, facts and time give the same decision, and deciding again after its actions
were taken (or only some of them, before a crash) leads to the same end. Events play no part; they only make somebody look.

The rules are tried in order, each in a module of its own; the first that settles the play ends the pass:

1. a finished play stays as it is, unless somebody asked to retry (`people`);
2. merged, abort, closed, marks that disagree: runs are cancelled, then the play ends (`ends`);
3. a play that has not started waits for its dependencies and for a slot (`start`);
4. the head moved: adopt it, or go back by the `push` rule (`remediation`);
5. a review or a conflict: go back by its rule (`remediation`);
6. the current stage: wait for its run, judge its gates, go on, try again, or ask a person (`stages`, `people`, `runs`).
"""

from datetime import datetime

from coderun.model.play import Play
from coderun.pipeline.decision import Decision
from coderun.pipeline.draft import Draft
from coderun.pipeline.ends import ended
from coderun.pipeline.facts import Facts
from coderun.pipeline.people import retry
from coderun.pipeline.remediation import followed, remedied
from coderun.pipeline.stages import advanced
from coderun.pipeline.start import started


def decide(play: Play, facts: Facts, now: datetime) -> Decision:
    """The next status of `play` and what to do, from what is known now."""
    draft = Draft(play, facts, now)
    _pass_over(draft)
    return Decision(status=draft.finish(), actions=tuple(draft.actions), because=draft.because, recheck_at=draft.recheck_at)


def _pass_over(draft: Draft) -> None:
    retry(draft)
    if draft.status.phase.is_finished:
        draft.cancel_active("the play has ended")
        return
    if ended(draft) or not started(draft) or not followed(draft):
        return
    # It ends: a stage that was passed leads on, and one that was gone back to cannot be passed in the same pass.
    while remedied(draft) and advanced(draft):
        pass

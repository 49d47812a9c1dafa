"""Gates: claims about the forge that must hold before the next stage.

A gate is data. The pipeline evaluates it to decide; the run of a stage carries its gates as the *evidence* it must produce, so
that the runner knows its duties (push, open the pull request, set the label, post the review) without knowing the stage.
"""

from enum import StrEnum

import msgspec


class GateKind(StrEnum):
    """What a gate looks at."""

    PULL_REQUEST = "pull-request"
    LABEL = "label"
    CHECKS = "checks"
    REVIEW = "review"
    MERGED = "merged"
    RUN = "run"

    @property
    def is_head_bound(self) -> bool:
        """Whether it speaks of one head commit, so that a later push takes it back."""
        return self in {GateKind.LABEL, GateKind.CHECKS, GateKind.REVIEW}


class GateActor(StrEnum):
    """Whose doing counts for a gate."""

    STAGE = "stage"
    ANYONE = "anyone"


class Gate(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """One claim.

    Attributes:
        kind: `pull-request`: an open PR of the task whose author is the actor. `label`: `label` was set by the actor, bound
            to the head commit. `checks`: required checks of the head passed. `review`: an approving review by the actor on the
            head commit. `merged`: the PR is merged. `run`: the stage's run succeeded (for stages without a trace on the forge).
        label: Name of the label, for `label`.
        by: Whose doing counts; `stage` is the agent of the stage.
    """

    kind: GateKind
    label: str = ""
    by: GateActor = GateActor.STAGE

    @property
    def name(self) -> str:
        """Short name for people: the kind, with the label where there is one."""
        return f"{self.kind.value} {self.label}" if self.label else self.kind.value

"""Where the pull requests of a system are, as the assembly needs it: one hosting for each `forge.type` of `coderun.yaml`."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from coderun.app.controller import CheckRunner, EventSource, Lookout, Repair, TaskList, nothing_moved
from coderun.forge.protocol import Forge, Forges
from coderun.model.pulls import PullState
from coderun.model.roster import Roster
from coderun.plan.order import ForgeRef
from coderun.reconcile.coderun import Tokens
from coderun.reconcile.view import View
from coderun.store.protocol import Store


class ForgeParts(msgspec.Struct, frozen=True, kw_only=True):
    """What a controller is given of a forge.

    Attributes:
        ref: Where runs find it.
        roster: The agents, with their logins there.
        poll: Seconds between two looks of a run at a forge that tells of no news.
        checks: Who runs the checks, None where the forge does.
        tasks: Who writes back what is done, None where nobody does.
        lookout: Who looks at the forge unasked, None where its events cannot be lost.
        tells: Whether people look at the pull requests there, so that it is worth telling on them how plays go.
        moved: Called when repositories or installations may be others than before, so that they are found anew.
        repair: Who finds deliveries that were lost on the way, None where none can be.
    """

    ref: ForgeRef
    roster: Roster
    poll: float = 1.0
    forges: Forges
    tokens: Tokens
    source: EventSource
    checks: CheckRunner | None = None
    tasks: TaskList | None = None
    lookout: Lookout | None = None
    repair: Repair | None = None
    moved: Callable[[], None] = nothing_moved
    tells: bool = False


class Hosting(Protocol):
    """The forge of a system."""

    @property
    def person(self) -> str:
        """What whoever gives commands here is called."""
        ...

    @property
    def place(self) -> str:
        """Where people find it: a folder that git can clone, or a URL."""
        ...

    @property
    def repository(self) -> str:
        """What plays name their repository: a path or a URL."""
        ...

    async def open(self) -> Forge:
        """The repository's forge, as the person or App that commands act as."""
        ...

    async def counts(self) -> dict[PullState, int]:
        """How many pull requests there are in each state."""
        ...

    async def merged_tasks(self, base_branch: str) -> frozenset[int]:
        """Tasks that a pull request merged into this branch has done."""
        ...

    async def parts(self, store: Store, roster: Roster, view: View) -> ForgeParts:
        """The parts for one controller over this store; what it sees of plays is in the view."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...

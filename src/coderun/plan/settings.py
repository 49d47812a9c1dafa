"""What the configuration says about runs, as plain values."""

import msgspec

from coderun.plan.order import ForgeRef, Limits


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `plan` needs beside the CodeRun and the roster.

    Attributes:
        forge: Where the forge of this repository is.
        limits: Default time limits; a CodeRun's own `timeout` goes before.
        keep_finished_days: How long what is left of a finished run is kept.
        parallel_runs: How many runs may be at work at once.
    """

    forge: ForgeRef
    limits: Limits = Limits()
    keep_finished_days: float = 14.0
    parallel_runs: int = 4

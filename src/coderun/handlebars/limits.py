"""How much a template may ask for. Every limit ends in a `TemplateError` that names it; none ends the process."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The bounds of reading and rendering one template. The defaults suit templates that a stranger wrote.

    `source_bytes` counts UTF-8. `nesting` counts open blocks, links of an else chain and parentheses. `output_chars` bounds
    what one rendering returns;
    `steps` counts turns of loops and calls of partials, so that a rendering that prints nothing ends as
    well. `deadline_seconds` is checked between steps against `clock`; None sets no deadline.
    """

    source_bytes: int = 1 << 20
    tags: int = 20_000
    nesting: int = 200
    partial_depth: int = 100
    output_chars: int = 16 << 20
    steps: int = 2_000_000
    deadline_seconds: float | None = None
    clock: Callable[[], float] = time.monotonic

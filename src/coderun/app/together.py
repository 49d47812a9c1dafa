"""Tasks that belong together: a task group whose failure is the error itself, not a group around it.

What is raised here reaches the command line, which knows one error and one exit code.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator


@contextlib.asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """An `asyncio.TaskGroup`; of several errors the first one is raised, with the others as its context."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise next(_leaves(errors)) from None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error

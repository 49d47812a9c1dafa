"""Adapters: how one kind of agent CLI is called, and how what it says is understood.

An adapter gets a commission, runs the program and tells how it ended; it judges nothing and touches neither git nor the forge.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from coderun.agent.adapters.command import run_command
from coderun.agent.adapters.commission import AgentEnd, Commission
from coderun.agent.result import RunFailedError, one_line
from coderun.model.coderun import CliType

__all__ = ["ADAPTERS", "AgentEnd", "Commission", "adapter_for"]

Adapter = Callable[[Commission], Awaitable[AgentEnd]]


async def _run_claude(commission: Commission) -> AgentEnd:
    from coderun.agent.adapters.claude import run_claude  # noqa: PLC0415 - large, and a run needs one adapter only

    return await run_claude(commission)


ADAPTERS: Final[Mapping[str, Adapter]] = {CliType.CLAUDE.value: _run_claude, CliType.COMMAND.value: run_command}


def adapter_for(cli_type: str) -> Adapter:
    """The adapter of a kind of CLI. Raises `RunFailedError` (`NoAdapter`), naming those there are."""
    found = ADAPTERS.get(cli_type)
    if found is None:
        known = ", ".join(sorted(ADAPTERS))
        raise RunFailedError("NoAdapter", f"there is no adapter for cliType '{one_line(cli_type, 100)}' (known: {known})")
    return found

"""Are the programs there that the agents run as? Asked before anything is created, so that nothing fails an hour later."""

import shutil
from collections.abc import Iterable, Mapping

from coderun.model.adapters import program_of
from coderun.model.coderun import CliType
from coderun.model.errors import ConfigError
from coderun.model.roster import Agent

INSTALL: Mapping[str, str] = {
    CliType.CLAUDE.value: "npm install -g @anthropic-ai/claude-code, then run `claude` once to log in",
    CliType.CODEX.value: "npm install -g @openai/codex, then run `codex login`",
    CliType.OPENCODE.value: "npm install -g opencode-ai, then run `opencode auth login`",
}
PLAYABLE = {CliType.CLAUDE.value, CliType.COMMAND.value}


def check_agents(agents: Iterable[Agent], *, path: str) -> None:
    """Refuse to start when one of these agents has no program on this machine; `path` is where programs are looked for.

    Raises:
        ConfigError: says what was looked for, how to install it, and how to name any other program.
    """
    for agent in agents:
        kind = agent.cli.cli_type
        if kind not in PLAYABLE:
            raise ConfigError(
                f"agent {agent.name} runs as {kind!r}, which this version cannot drive yet "
                f"(it can: {', '.join(sorted(PLAYABLE))}); "
                "set its `cli` in coderun.yaml, or name any program with --agent-command"
            )
        program = program_of(agent.cli)
        if shutil.which(program, path=path) is None:
            how = INSTALL.get(kind)
            hint = f" Install it ({how})," if how else ""
            raise ConfigError(
                f"agent {agent.name} runs as {program!r}, which is not on the PATH.{hint} "
                "or name any program with --agent-command 'PROGRAM ARGUMENTS' (see docs/agents.md); "
                "`coderun doctor` shows all of them, `coderun demo` needs none"
            )

"""The roster: which agents there are, in which role, with which App, CLI, model and prompts.

Agents are data. No code asks for one by name; templates and stages ask for roles and capabilities.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from coderun.model.coderun import CliConfig, Shape
from coderun.model.errors import ConfigError, InvalidCodeRunError
from coderun.model.logins import normalise_login
from coderun.model.names import is_dns_label

_WRITING: Final = frozenset({"write-code", "write-docs", "write-tests", "commit"})


class AgentTools(Shape, frozen=True, kw_only=True):
    """MCP tools of an agent: remote ones by name, local servers by name."""

    remote: tuple[str, ...] = ()
    local_servers: dict[str, dict[str, object]] = {}


class Agent(Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agent.

    Attributes:
        name: Its short name, a DNS label: part of workspace names and of its login on the local forge, `{name}[bot]`.
        role: The pipeline role it can take (`implementation`, `quality`, `testing`, …).
        github_app: Name of its GitHub App, `""` where it has none.
        forge_login: Its login on the forge, where the forge has told it: then no other login is its.
        forge_email: Its address in commits, where the forge has told it.
        cli: How it runs; a plain string in YAML means that `cliType` with everything else at its default.
        system_prompt: Text added to what the CLI is told; not a path.
        capabilities: Words that templates may branch on.
    """

    name: str
    role: str = ""
    description: str = ""
    github_app: str = ""
    app_id: str = ""
    client_id: str = ""
    model: str = ""
    cli: CliConfig = CliConfig()
    system_prompt: str = ""
    tools: AgentTools = AgentTools()
    capabilities: tuple[str, ...] = ()
    service_account: str = ""
    forge_login: str = ""
    forge_email: str = ""

    @property
    def may_write(self) -> bool:
        """Whether it may change files: not where all it may do is review."""
        words = set(self.capabilities)
        return "review" not in words or bool(words & _WRITING)

    @property
    def login(self) -> str:
        """Its login on the forge; on the local one that is its name."""
        return self.forge_login or f"{self.name}[bot]"

    @property
    def email(self) -> str:
        """Its address in commits."""
        return self.forge_email or f"{self.name}@coderun.invalid"

    def is_login(self, login: str) -> bool:
        """Whether `login` is this agent's, whatever the case and `[bot]`.

        Where the forge has told its login, that one alone: a person there may well be called like an agent.
        """
        plain = normalise_login(login)
        own = {normalise_login(self.forge_login)} if self.forge_login else {self.name, normalise_login(self.github_app)}
        return plain in own and plain != ""

    def is_called(self, name: str) -> bool:
        """Whether `name`, in a manifest or on a command line, means this agent: its own name, its App's or its login."""
        plain = normalise_login(name)
        return plain in {self.name, normalise_login(self.github_app), normalise_login(self.forge_login)} and plain != ""


class Roster(msgspec.Struct, frozen=True):
    """All agents, by name."""

    agents: dict[str, Agent]

    def in_role(self, role: str) -> Agent | None:
        """The first agent of that role, in the order the roster was written."""
        return next((agent for agent in self.agents.values() if agent.role == role), None)

    def of_login(self, login: str) -> Agent | None:
        """The agent behind a login, None for people and foreign bots."""
        return next((agent for agent in self.agents.values() if agent.is_login(login)), None)

    def named(self, name: str) -> Agent | None:
        """The agent of that name: its own, else its App's or its login."""
        called = (agent for agent in self.agents.values() if agent.is_called(name))
        return self.agents.get(name) or next(called, None)

    def of_app(self, github_app: str, *, wanted_by: str) -> Agent:
        """The agent that a CodeRun's `githubApp` names: an App (`5DLabs-Rex`, `5dlabs-rex[bot]`) or an agent's short name.

        Raises:
            InvalidCodeRunError: it is missing or not in the roster; `wanted_by` is the CodeRun that named it.
        """
        known = ", ".join(sorted(agent.github_app or agent.name for agent in self.agents.values())) or "none"
        if not github_app.strip():
            raise InvalidCodeRunError(f"CodeRun {wanted_by!r} names no GitHub App; set spec.githubApp (known: {known})")
        agent = self.named(github_app)
        if agent is None:
            raise InvalidCodeRunError(
                f"CodeRun {wanted_by!r} names GitHub App {github_app!r}, which is not in the roster (known: {known})"
            )
        return agent


def make_roster(agents: Mapping[str, Agent]) -> Roster:
    """A roster, checked.

    Raises:
        ConfigError: a name is no DNS label, or two agents share a login.
    """
    owners: dict[str, str] = {}
    for agent in agents.values():
        if not is_dns_label(agent.name):
            raise ConfigError(f"agent name {agent.name!r} is not usable: lower-case letters, digits and '-', at most 63")
        for login in filter(None, (agent.name, normalise_login(agent.github_app))):
            other = owners.setdefault(login, agent.name)
            if other != agent.name:
                raise ConfigError(f"agents {other!r} and {agent.name!r} share the login {login!r}; give each its own App")
    return Roster(dict(agents))

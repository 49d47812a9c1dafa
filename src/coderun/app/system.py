"""What commands for people need of the place where plays are: one machine, or a namespace of a cluster. A protocol."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from coderun.app.configuration import Configuration
from coderun.app.hosting import Hosting
from coderun.model.roster import Agent
from coderun.pipeline.definition import Pipeline
from coderun.store.protocol import Store


class System(Protocol):
    """Where plays are, and who looks after them.

    Attributes:
        clock: Gives the time.
        runs_here: Whether agents run on this machine, as this user.
        carrier: What carries plays on, as a command for people.
    """

    runs_here: bool
    carrier: str

    @property
    def store(self) -> Store:
        """Plays, runs and events."""
        ...

    @property
    def clock(self) -> Callable[[], datetime]:
        """Gives the time."""
        ...

    @property
    def pipelines(self) -> Mapping[str, Pipeline]:
        """Definitions by name, as far as they are known here."""
        ...

    @property
    def person(self) -> str:
        """What whoever gives commands here is called."""
        ...

    @property
    def where(self) -> str:
        """Where is looked, as the end of a sentence (" in namespace 'team'"); "" where there is one place alone."""
        ...

    @property
    def advice(self) -> str:
        """What to do, for people, where no controller runs."""
        ...

    async def controller(self) -> str:
        """Who looks after the plays, for people; "" where nobody does."""
        ...

    def logs(self, job: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """A job's output so far, and with `follow` what comes until it ends."""
        ...


class Workplace(System, Protocol):
    """A system together with the repository a person stands in: what is needed to ask for plays.

    Its properties raise `ConfigError` where there is no repository, or its configuration is wrong.
    """

    @property
    def cwd(self) -> Path:
        """Where the person stands."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """The person's environment."""
        ...

    @property
    def repository(self) -> Path:
        """The person's repository."""
        ...

    @property
    def configuration(self) -> Configuration:
        """What the repository says."""
        ...

    @property
    def base_branch(self) -> str:
        """Where pull requests go."""
        ...

    @property
    def service(self) -> str:
        """The service of this repository's plays."""
        ...

    @property
    def hosting(self) -> Hosting:
        """The repository's forge."""
        ...

    def check_agents(self, *, only: Agent | None = None) -> None:
        """Refuse to start where an agent's program is needed here and missing. Raises `ConfigError`."""
        ...

"""A forge for controllers of a cluster in tests: a local forge that stands in for GitHub, or none at all."""

from collections.abc import Callable
from pathlib import Path

from coderun.app.cluster import ClusterHosting
from coderun.app.hosting import ForgeParts
from coderun.app.local_hosting import LocalForges, LocalTokens
from coderun.forge.local.forge import LocalForge
from coderun.forge.protocol import Forge
from coderun.model.coderun import CodeRun
from coderun.model.errors import ConfigError, RefusedError
from coderun.model.roster import Agent, Roster
from coderun.plan.order import ForgeRef
from coderun.reconcile.view import View
from coderun.store.protocol import Store


class Nothing:
    """A source of events without any."""

    async def take_in(self) -> bool:
        return False


class MadeUpTokens:
    """Tokens that nobody checks; what was given and taken back is remembered."""

    def __init__(self) -> None:
        self.given: dict[str, str] = {}
        self.revoked: list[str] = []
        self.inherited: dict[str, str] = {}
        self.refused: set[str] = set()

    async def issue(self, run: CodeRun, agent: Agent) -> str:
        if run.spec.repository_url in self.refused:
            raise RefusedError(f"App {agent.name} is not installed on {run.spec.repository_url}")
        return self.given.setdefault(run.name, f"token-of-{agent.name}-for-{run.name}")

    def knows(self, run: str) -> bool:
        return run in self.given

    def inherit(self, run: CodeRun, agent: Agent, token: str) -> None:
        self.inherited[run.name] = token

    async def revoke(self, run: str) -> None:
        self.revoked.append(run)


class NoForges:
    def __init__(self) -> None:
        self.asked = 0

    async def of(self, repository_url: str) -> Forge:
        self.asked += 1
        raise RefusedError(f"there is no forge here for {repository_url}")


class TestHostings:
    """Makes one hosting after the other; `version` is what changes when keys are replaced."""

    __test__ = False

    def __init__(self, forge: LocalForge | None = None, folder: Path | None = None) -> None:
        self._forge = forge
        self._folder = folder
        self.version = 1
        self.made = 0
        self.closed = 0
        self.trouble = ""
        self.tokens = MadeUpTokens()
        self.forges = NoForges()

    def make(self, permit: Callable[[], None]) -> ClusterHosting:
        if self.trouble:
            raise ConfigError(self.trouble)
        self.made += 1
        return _Hosting(self)

    def fingerprint(self) -> object:
        return self.version

    def parts_of(self, roster: Roster) -> ForgeParts:
        if self._forge is None:
            ref = ForgeRef(kind="github", location="https://forge.example/api", repository="", web="https://forge.example")
            return ForgeParts(ref=ref, roster=roster, forges=self.forges, tokens=self.tokens, source=Nothing())
        ref = ForgeRef(kind="local", location=str(self._forge.folder), repository=str(self._forge.repository))
        return ForgeParts(
            ref=ref, roster=roster, forges=LocalForges(self._forge), tokens=LocalTokens(self._forge), source=Nothing()
        )


class _Hosting:
    def __init__(self, hostings: TestHostings) -> None:
        self._hostings = hostings

    async def parts(self, store: Store, roster: Roster, view: View) -> ForgeParts:
        return self._hostings.parts_of(roster)

    async def close(self) -> None:
        self._hostings.closed += 1

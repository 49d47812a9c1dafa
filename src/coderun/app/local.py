"""The local system: one repository, its state folder, and everything that works on it, assembled.

Nothing here decides. Clocks, the environment and randomness are read here and handed on.
"""

import contextlib
import getpass
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from coderun.agent.environment import LOGIN_VARIABLES, NETWORK_VARIABLES
from coderun.app.assembly import assemble, pipelines_of, roster_of
from coderun.app.commands import check_agents
from coderun.app.configuration import Configuration, read_configuration, read_what_stands
from coderun.app.controller import Controller
from coderun.app.github_keys import read_credentials
from coderun.app.hosting import Hosting
from coderun.app.local_hosting import LocalHosting
from coderun.app.logs import log_to
from coderun.app.places import ask_git, find_base_branch, find_github_repository, find_repository, find_state_folder
from coderun.forge.local.forge import LocalForge
from coderun.forge.local.records import BaseState, ForgeSettings
from coderun.forge.protocol import Forge
from coderun.model.coderun import CodeRun
from coderun.model.config import ForgeType
from coderun.model.errors import ConfigError, NotFoundError
from coderun.model.gates import GateActor, GateKind
from coderun.model.github import github_host
from coderun.model.names import dns_label
from coderun.model.repository import parse_repository
from coderun.model.roster import Agent, Roster
from coderun.model.text import storable
from coderun.pipeline.definition import Pipeline
from coderun.plan.order import GITHUB, RunOrder
from coderun.reconcile.view import View
from coderun.runtime.process import ProcessRuntime
from coderun.store import wake
from coderun.store.listener import Listener
from coderun.store.lock import ControllerLock, Holder
from coderun.store.sqlite import SqliteStore

PASSED_ON = (
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TERM",
    "TZ",
    "HOME",
    "USER",
    "LOGNAME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)


def now() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What is read from outside: where we stand, as whom, with which environment, and what time it is."""

    cwd: Path
    home: Path
    environment: Mapping[str, str]
    command: str = "coderun"
    clock: Callable[[], datetime] = now


def _nobody(_text: str) -> None:
    """Who is told of trouble where nobody wants to know."""


class LocalSystem:
    """Everything of one repository. Made by `open_local`. Whoever sets `tell` hears of what goes wrong and is tried again."""

    runs_here = True
    carrier = "`coderun up`"
    advice = f"{carrier} carries it out"

    def __init__(
        self,
        *,
        around: Surroundings,
        repository: Path,
        state: Path,
        configuration: Configuration,
        base_branch: str,
        store: SqliteStore,
        hosting: Hosting,
        listener: Listener,
    ) -> None:
        self.cwd = around.cwd
        self.home = around.home
        self.environment = around.environment
        self.clock = around.clock
        self.tell: Callable[[str], None] = _nobody
        self.repository = repository
        self.state = state
        self.configuration = configuration
        self.base_branch = base_branch
        self.store = store
        self.hosting = hosting
        self.parallel = configuration.config.play.parallel
        self.lock = ControllerLock(state / "controller.lock")
        self._command = around.command
        self._listener = listener
        argv = [sys.executable, "-m", "coderun.agent"]
        self.runtime = ProcessRuntime(
            state, argv=argv, environment=_supervisor_environment(around.environment), hints=self._wakes
        )

    @property
    def where(self) -> str:
        """See `Workplace`: there is one place alone."""
        return ""

    @property
    def person(self) -> str:
        """Login of whoever acts here without a token."""
        return self.hosting.person

    @property
    def service(self) -> str:
        """The service of this repository's plays."""
        name = parse_repository(self.hosting.repository).name
        return self.configuration.config.service or dns_label(name.rstrip("/").rpartition("/")[2])

    @property
    def pipelines(self) -> dict[str, Pipeline]:
        """Definitions by name."""
        return pipelines_of(self.configuration)

    def roster(self) -> Roster:
        """The agents, those that `roles` names first."""
        return roster_of(self.configuration)

    def pipeline_agents(self) -> list[Agent]:
        """The agents that the pipeline's stages need, each once."""
        roles = [stage.role for stage in self.configuration.pipeline.stages if stage.role]
        found = (self.configuration.config.agent_in_role(role, self.configuration.roster) for role in dict.fromkeys(roles))
        return list({agent.name: agent for agent in found if agent is not None}.values())

    async def controller(self) -> str:
        """Who looks after the plays, "" where nobody does."""
        holder = self.lock.holder()
        return "" if holder is None else str(holder)

    def logs(self, job: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """A job's output so far, and with `follow` what comes until it ends."""
        return self.runtime.logs(job, follow=follow)

    def check_agents(self, *, only: Agent | None = None) -> None:
        """Refuse to start where a program of the pipeline's agents, or of one of them, is missing. Raises `ConfigError`."""
        check_agents([only] if only is not None else self.pipeline_agents(), path=self.environment.get("PATH", ""))

    async def end_unattended(self, run: CodeRun, reason: str) -> bool:
        """Tell the agent of a run to end, where no controller would; whether that was so."""
        if self.lock.holder() is not None or not run.status.job_name or run.status.phase.is_finished:
            return False
        await self.runtime.stop(run.status.job_name, reason=reason)
        return True

    def take_control(self) -> bool:
        """Become the controller of this state folder; False where somebody else is."""
        taken = self.lock.acquire(Holder(pid=os.getpid(), command=self._command, started_at=self.clock()))
        if taken:
            log_to(self.state / "logs" / "controller.log")
        return taken

    async def make_controller(self) -> Controller:
        """A controller over this system; the lock is the caller's to hold."""
        view = View()
        parts = await self.hosting.parts(self.store, self.roster(), view)
        return assemble(
            self.configuration,
            parts,
            store=self.store,
            runtime=self.runtime,
            view=view,
            parallel=self.parallel,
            wakes=self._ticks,
            clock=self.clock,
            tell=self.tell,
        )

    async def _ticks(self, seconds: float) -> AsyncIterator[None]:
        """At once, then at every wake, and at the latest every `seconds`."""
        ear = self._listener.ear()
        try:
            while ear.is_open:
                yield
                await ear.wait(seconds)
        finally:
            ear.close()

    async def _wakes(self) -> AsyncIterator[object]:
        ear = self._listener.ear()
        try:
            while ear.is_open:
                if await ear.wait(None):
                    yield None
        finally:
            ear.close()


@contextlib.asynccontextmanager
async def open_local(
    folder: Path, *, create: bool = False, around: Surroundings | None = None, tell: Callable[[str], None] = _nobody
) -> AsyncIterator[LocalSystem]:
    """The local system of the repository around `folder`, closed afterwards.

    With `create` its state folder and forge are made, and the forge's base branch is brought up to the user's. Without it, what
    was played here is to be looked at or ended: that goes on without a configuration that is broken just now, and without a
    branch that is checked out. `tell` hears of it.

    Raises:
        ConfigError: no usable repository, or, with `create`, no usable configuration.
        NotFoundError: nothing was ever played here, and `create` is not set.
    """
    around = around or surroundings(folder)
    repository = find_repository(folder, environ=around.environment)
    state = find_state_folder(repository, environ=around.environment, home=around.home)
    if not create and not (state / "state.db").exists():
        raise NotFoundError(f"nothing was played in {repository} yet; `coderun play --task N` starts")
    configuration = read_configuration(repository) if create else _what_stands(repository, state, tell)
    base = _base_branch(repository, state, configuration, around, needed=create)
    if create:
        await _make(state, repository, configuration, base, around)
    async with contextlib.AsyncExitStack() as stack:
        listener = Listener(state / "wake")
        stack.callback(listener.close)
        store = SqliteStore.open(state / "state.db", clock=around.clock, listener=listener)
        stack.push_async_callback(store.close)
        hosting = _open_hosting(repository, state, configuration, base, around)
        stack.push_async_callback(hosting.close)
        yield LocalSystem(
            around=around,
            repository=repository,
            state=state,
            configuration=configuration,
            base_branch=base,
            store=store,
            hosting=hosting,
            listener=listener,
        )


def _what_stands(repository: Path, state: Path, tell: Callable[[str], None]) -> Configuration:
    """What can be read of the configuration; which kind of forge was in use is seen from the state folder where need be."""
    trouble: list[str] = []
    configuration = read_what_stands(repository, trouble.append)
    for text in trouble:
        tell(text)
    config = configuration.config
    if not trouble or configuration.is_written or (state / "forge").exists():
        return configuration
    return replace(configuration, config=replace(config, forge=replace(config.forge, type=ForgeType.GITHUB)))


def _base_branch(repository: Path, state: Path, configuration: Configuration, around: Surroundings, *, needed: bool) -> str:
    configured = configuration.config.base_branch
    try:
        return find_base_branch(repository, configured=configured, environ=around.environment).name
    except ConfigError:
        if needed:
            raise
    # A rebase or a bisection under way leaves no branch checked out.
    if not (state / "forge").exists():
        return configured
    with contextlib.closing(open_forge_in(state, around.environment)) as forge:
        return forge.settings.base_branch


def _open_hosting(repository: Path, state: Path, configuration: Configuration, base: str, around: Surroundings) -> Hosting:
    if configuration.config.forge.type is ForgeType.GITHUB:
        return _open_github(repository, state, configuration, around)
    return LocalHosting(
        forge=open_forge_in(state, around.environment, clock=around.clock),
        repository=repository,
        state=state,
        configuration=configuration,
        base_branch=base,
        environment=around.environment,
        check_environment={name: around.environment[name] for name in PASSED_ON if name in around.environment},
        clock=around.clock,
    )


def _open_github(repository: Path, state: Path, configuration: Configuration, around: Surroundings) -> Hosting:
    from coderun.app.github_hosting import GitHubHosting  # noqa: PLC0415 - heavy: HTTP and cryptography, only for GitHub

    settings = configuration.config.forge
    host = github_host(settings.url)
    token_file = (repository / settings.token_file) if settings.token_file else None
    return GitHubHosting(
        repository=find_github_repository(repository, settings.repository, host, environ=around.environment),
        configuration=configuration,
        credentials=read_credentials(host, environ=around.environment, home=around.home, token_file=token_file),
        person=_person(around, configuration.roster),
        cache=state / "github.json",
        environment=around.environment,
        clock=around.clock,
    )


def local_forge(system: LocalSystem) -> LocalForge:
    """The local forge of a system. Raises `ConfigError` where its pull requests are elsewhere."""
    if not isinstance(system.hosting, LocalHosting):
        raise ConfigError(f"the pull requests of {system.repository} are at {system.hosting.place}, not on this machine")
    return system.hosting.forge


def surroundings(folder: Path) -> Surroundings:
    """What is around this process."""
    command = storable(" ".join(["coderun", *sys.argv[1:]]))[:200]
    return Surroundings(cwd=folder, home=Path.home(), environment=dict(os.environ), command=command)


@contextlib.asynccontextmanager
async def open_forge(folder: Path) -> AsyncIterator[Forge]:
    """The forge of the run this process belongs to, else of the repository around `folder`; as the token's agent or the person.

    Raises:
        ConfigError: the run's order cannot be read, or `folder` is in no repository.
        NotFoundError: nothing was ever played here.
    """
    around = surroundings(folder)
    named = around.environment.get("CODERUN_ORDER")
    order = _read_order(named) if named else None
    async with contextlib.AsyncExitStack() as stack:
        if order is not None and order.forge.kind == GITHUB:
            from coderun.agent.on_github import open_as_agent  # noqa: PLC0415 - heavy: HTTP, only for GitHub

            yield await stack.enter_async_context(open_as_agent(order, _token_file(around), around.environment))
            return
        if order is not None:
            state = Path(order.forge.location).parent
        else:
            repository = find_repository(folder, environ=around.environment)
            state = find_state_folder(repository, environ=around.environment, home=around.home)
            configuration = _what_stands(repository, state, _nobody)
            if configuration.config.forge.type is ForgeType.GITHUB:
                hosting = _open_github(repository, state, configuration, around)
                stack.push_async_callback(hosting.close)
                yield await hosting.open()
                return
        forge = open_forge_in(state, around.environment)
        stack.callback(forge.close)
        yield forge


def _read_order(named: str) -> RunOrder:
    try:
        return msgspec.json.decode(Path(named).read_bytes(), type=RunOrder)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"CODERUN_ORDER names {named!r}, which cannot be read: {error}; unset it") from error


def _token_file(around: Surroundings) -> Path:
    named = around.environment.get("CODERUN_FORGE_TOKEN_FILE")
    if not named:
        raise ConfigError("CODERUN_ORDER is set and CODERUN_FORGE_TOKEN_FILE is not; unset the one, or set the other")
    return Path(named)


def open_forge_in(state: Path, environment: Mapping[str, str], *, clock: Callable[[], datetime] = now) -> LocalForge:
    """The forge of a state folder, as the agent whose token file the environment names, else as the person."""
    named = environment.get("CODERUN_FORGE_TOKEN_FILE")
    token = None
    if named:
        try:
            token = Path(named).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"CODERUN_FORGE_TOKEN_FILE names {named!r}, which cannot be read: {error.strerror}") from error
    waker = wake.Waker(state / "wake")
    return LocalForge.open(state / "forge", token=token, clock=clock, on_change=lambda: _wake(waker), environment=environment)


def _wake(waker: wake.Waker) -> None:
    waker.wake()


async def _make(state: Path, repository: Path, configuration: Configuration, base: str, around: Surroundings) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        (state / "wake").mkdir(mode=0o700, exist_ok=True)
        (state / "repository").write_text(f"{repository}\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the state folder {state} cannot be written: {error.strerror}; "
            "make it writable, or set CODERUN_STATE to another place"
        ) from error
    if configuration.config.forge.type is not ForgeType.LOCAL:
        return
    sync = await LocalForge.init(
        state / "forge",
        source_repository=repository,
        base_branch=base,
        hook_python=Path(sys.executable),
        wake_script=Path(wake.__file__),
        wake_dir=state / "wake",
        settings=_forge_settings(configuration, base, repository, around),
        clock=around.clock,
        environment=around.environment,
    )
    if sync.state is BaseState.DIVERGED:
        raise ConfigError(
            f"branch {base} here and on the local forge have gone different ways; bring them together first: "
            f"git pull {state / 'forge' / 'repo.git'} {base}"
        )
    if sync.state is BaseState.MISSING:
        raise ConfigError(f"branch {base} does not exist in {repository}, or has no commit; commit first")


def _forge_settings(configuration: Configuration, base: str, repository: Path, around: Surroundings) -> ForgeSettings:
    config, pipeline = configuration.config, configuration.pipeline
    approvers: list[str] = []
    reviewed = False
    for stage in pipeline.stages:
        for gate in stage.asked:
            if gate.kind is not GateKind.REVIEW:
                continue
            reviewed = True
            agent = config.agent_in_role(stage.role, configuration.roster) if stage.role else None
            if agent is not None and gate.by is GateActor.STAGE:
                approvers.append(agent.login)
    name, email = (_git_config(repository, key, around) for key in ("user.name", "user.email"))
    return ForgeSettings(
        base_branch=base,
        person=_person(around, configuration.roster),
        person_name=name,
        person_email=email,
        require_approval=reviewed,
        approvers=tuple(approvers),
        checks=tuple(check.name for check in config.checks),
    )


def _person(around: Surroundings, roster: Roster) -> str:
    """Login of the person: the user's name, kept apart from every agent's, as `x` and `x[bot]` compare as one."""
    names = [around.environment.get(name, "") for name in ("LOGNAME", "USER")]
    with contextlib.suppress(OSError, KeyError):
        names.append(getpass.getuser())
    login = next((dns_label(name) for name in names if name), "person")
    return login if roster.of_login(login) is None else f"{login}-person"


def _git_config(repository: Path, key: str, around: Surroundings) -> str:
    answer = ask_git(repository, "config", "--get", key, environ=around.environment)
    return answer.out.strip() if answer.code == 0 else ""


def _supervisor_environment(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {name: environment[name] for name in (*PASSED_ON, *LOGIN_VARIABLES, *NETWORK_VARIABLES) if name in environment}
    # The second is where a user may have moved their Claude login to; it is read by the runner, not handed on.
    kept.update({name: environment[name] for name in ("PYTHONPATH", "CLAUDE_CONFIG_DIR") if name in environment})
    return kept

"""The controller of a cluster: an election, and while it leads a world for each namespace; deliveries are taken in by all.

Every replica keeps a list of the repositories that plays name, so that any of them can take a delivery in; only the leader
acts. Everything the leader writes, to the cluster and to the forge, goes through the election's gate. When keys on disk are
replaced the worlds begin anew with the new ones. Nothing here decides.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import msgspec
import structlog

from coderun.app.assembly import forge_host
from coderun.app.configuration import Configuration
from coderun.app.hosting import ForgeParts
from coderun.app.metrics import Metrics
from coderun.app.mounted_keys import mounted_credentials
from coderun.app.together import together
from coderun.app.webhook import DoorSettings, Secrets, read_secret
from coderun.app.world import WORKERS, World
from coderun.kube.api import MANAGER, Api
from coderun.kube.informer import Informer, Timings
from coderun.kube.lease import Election, LeaseTimings
from coderun.kube.manifests import JobSettings
from coderun.kube.objects import KubeMeta, Shape
from coderun.kube.resources import PLAYS
from coderun.model.cluster import ClusterConfig
from coderun.model.config import ForgeType
from coderun.model.deliveries import Delivery
from coderun.model.errors import ClusterUnavailableError, ConfigError
from coderun.model.github import github_host
from coderun.model.repository import DEFAULT_HOST, canonical
from coderun.model.roster import Roster
from coderun.reconcile.view import View
from coderun.store.kubernetes import KubernetesStore
from coderun.store.protocol import Store

_log = structlog.get_logger(__name__)
LOOK_SECONDS: Final = 10.0
"""How often files with keys are looked at."""

_BY_REPOSITORY: Final = "repository"


class ClusterHosting(Protocol):
    """The forge of all repositories, for the worlds of one leader."""

    async def parts(self, store: Store, roster: Roster, view: View) -> ForgeParts:
        """The parts for one world."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


class Hostings(Protocol):
    """Makes hostings from keys as they are now."""

    def make(self, permit: Callable[[], None]) -> ClusterHosting:
        """A hosting that asks `permit` before it changes anything on the forge. Raises `ConfigError` without keys."""
        ...

    def fingerprint(self) -> object:
        """Something that changes when the keys do."""
        ...


class _PlaySpec(Shape, frozen=True, kw_only=True):
    repository_url: str = ""


class _PlayedBy(Shape, frozen=True, kw_only=True):
    """Of a Play, whose repository it plays."""

    metadata: KubeMeta
    spec: _PlaySpec = _PlaySpec()


class ClusterInbox:
    """Takes deliveries in: one `Delivery` object in each namespace that plays their repository; others are counted only."""

    def __init__(
        self,
        api: Api,
        namespaces: Iterable[str],
        *,
        counted: Callable[[str], None],
        host: str = DEFAULT_HOST,
        timings: Timings = Timings(),  # noqa: B008
    ) -> None:
        self._counted = counted
        self._stores = {namespace: KubernetesStore(api, namespace) for namespace in namespaces}
        self._played: dict[str, Informer[_PlayedBy]] = {
            namespace: Informer(
                api,
                PLAYS,
                msgspec.json.Decoder(_PlayedBy).decode,
                namespace=namespace,
                indexes={_BY_REPOSITORY: lambda play: [canonical(play.spec.repository_url, host)]},
                timings=timings,
            )
            for namespace in self._stores
        }

    @property
    def is_ready(self) -> bool:
        """Whether the repositories of all namespaces are known."""
        return all(cache.synced.is_set() for cache in self._played.values())

    async def run(self) -> None:
        """Keep the lists of repositories until cancelled."""
        async with together() as group:
            for cache in self._played.values():
                group.create_task(cache.run())

    async def put_deliveries(self, deliveries: Iterable[Delivery]) -> int:
        """See `store.protocol.Slot`. Raises `ClusterUnavailableError` where it is not known yet what is played."""
        if not self.is_ready:
            raise ClusterUnavailableError("it is not known yet which repositories are played; send it again")
        wanted = list(deliveries)
        stored = 0
        for namespace, store in self._stores.items():
            mine = [one for one in wanted if self._played[namespace].by(_BY_REPOSITORY, one.repository)]
            stored += await store.put_deliveries(mine)
        for one in wanted:
            if not any(cache.by(_BY_REPOSITORY, one.repository) for cache in self._played.values()):
                self._counted("unplayed")
        return stored


class ClusterController:
    """One replica. `run` works until cancelled, and gives the Lease back then."""

    def __init__(
        self,
        api: Api,
        *,
        configuration: Configuration,
        hostings: Hostings,
        namespaces: tuple[str, ...],
        lease_namespace: str,
        identity: str,
        clock: Callable[[], datetime],
        metrics: Metrics,
        lease: LeaseTimings = LeaseTimings(),  # noqa: B008 - immutable
        timings: Timings = Timings(),  # noqa: B008 - the same
        workers: int = WORKERS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._configuration = configuration
        self._jobs = job_settings(configuration)
        self._hostings = hostings
        self._namespaces = namespaces
        self._identity = identity
        self._clock = clock
        self._metrics = metrics
        self._timings = timings
        self._workers = workers
        self._look_seconds = look_seconds
        self._worlds: list[World] = []
        self._is_keyless = False
        self.election = Election(
            api, namespace=lease_namespace, name=MANAGER, identity=identity, timings=lease, clock=clock, monotonic=boot_time
        )
        self._fenced = api.fenced(self.election.gate)
        metrics.lead(MANAGER, leading=False)
        self.inbox = ClusterInbox(
            api, namespaces, counted=metrics.world("").delivery, host=forge_host(configuration), timings=timings
        )

    @property
    def is_ready(self) -> bool:
        """Whether this replica can do its part: take deliveries in, and work where it leads."""
        return self.inbox.is_ready and not self._is_keyless and all(world.is_working for world in self._worlds)

    @property
    def worlds(self) -> tuple[World, ...]:
        """The namespaces that are worked here now; none where another process leads."""
        return tuple(self._worlds)

    async def run(self) -> None:
        """Stand by, lead, stand by. What was not planned for is raised."""
        async with together() as group:
            group.create_task(self.inbox.run(), name="inbox")
            group.create_task(self.election.run(self._lead), name="election")

    async def _lead(self) -> None:
        self._metrics.lead(MANAGER, leading=True)
        try:
            while True:
                async with self._hosting() as hosting:
                    if hosting is not None:
                        await self._work(hosting)
        finally:
            self._worlds, self._is_keyless = [], False
            self._metrics.lead(MANAGER, leading=False)

    async def _work(self, hosting: ClusterHosting) -> None:
        """Work all namespaces until the keys change."""
        seen = self._hostings.fingerprint()
        self._worlds = [self._world(namespace, hosting) for namespace in self._namespaces]
        async with together() as group:
            tasks = [group.create_task(world.run(), name=f"world {world.namespace}") for world in self._worlds]
            while self._hostings.fingerprint() == seen:  # noqa: ASYNC110 - files change without a word
                await asyncio.sleep(self._look_seconds)
            _log.info("keys have changed; all namespaces begin anew")
            for task in tasks:
                task.cancel()

    def _world(self, namespace: str, hosting: ClusterHosting) -> World:
        return World(
            self._fenced,
            namespace,
            configuration=self._configuration,
            jobs=self._jobs,
            parts=hosting.parts,
            identity=self._identity,
            clock=self._clock,
            metrics=self._metrics,
            workers=self._workers,
            timings=self._timings,
        )

    @contextlib.asynccontextmanager
    async def _hosting(self) -> AsyncIterator[ClusterHosting | None]:
        """The forge with the keys of now; None after a pause where they cannot be used."""
        try:
            hosting = self._hostings.make(self.election.gate.check)
        except ConfigError as error:
            self._is_keyless = True
            _log.error("keys cannot be used", error=str(error))
            await asyncio.sleep(self._look_seconds)
            yield None
            return
        self._is_keyless = False
        try:
            yield hosting
        finally:
            await hosting.close()


class GitHubHostings:
    """GitHub with the Apps whose Secrets are mounted at `folder`."""

    def __init__(
        self,
        configuration: Configuration,
        folder: Path,
        *,
        environment: Mapping[str, str],
        clock: Callable[[], datetime],
        metrics: Metrics,
    ) -> None:
        self._configuration = configuration
        self._folder = folder
        self._environment = environment
        self._clock = clock
        self._metrics = metrics

    def make(self, permit: Callable[[], None]) -> ClusterHosting:
        """See `Hostings`."""
        from coderun.app.github_hosting import GitHubHosting  # noqa: PLC0415 - cryptography is loaded where GitHub is used

        settings = self._configuration.config.forge
        return GitHubHosting(
            repository=settings.repository,
            configuration=self._configuration,
            credentials=mounted_credentials(github_host(settings.url), self._folder),
            person="",
            cache=None,
            environment=self._environment,
            clock=self._clock,
            metrics=self._metrics,
            permit=permit,
        )

    def fingerprint(self) -> object:
        """See `Hostings`."""
        found: list[tuple[str, str, int]] = []
        for path in key_files(self._folder):
            with contextlib.suppress(OSError):
                found.append((str(path), str(path.resolve()), path.stat().st_mtime_ns))
        return tuple(found)


def key_files(folder: Path) -> list[Path]:
    """The files of mounted Secrets: one that is replaced is another file, or has another time."""
    return sorted(folder.glob("*/[a-z]*"))


def job_settings(configuration: Configuration) -> JobSettings:
    """How runs look in this cluster. Raises `ConfigError` where the configuration is no cluster's."""
    config = configuration.config
    if not isinstance(config, ClusterConfig):
        raise ConfigError(
            "the controller of a cluster needs `cluster: {image: …}` in its configuration; name one with --config"
        )
    return JobSettings.of(config.cluster, config.workspaces)


def boot_time() -> float:
    """Seconds that go on while the machine is suspended, where the system has such a clock."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class _NoHostings:
    """Where the configuration names no forge that a cluster can use."""

    def __init__(self, found: str) -> None:
        self._found = found

    def make(self, permit: Callable[[], None]) -> ClusterHosting:
        """See `Hostings`."""
        _ = permit
        raise ConfigError(
            f"the configuration says `forge.type: {self._found}`, which lives on one machine; "
            "a cluster needs `forge: {type: github}`"
        )

    def fingerprint(self) -> object:
        """See `Hostings`."""
        return None


def hostings_of(
    configuration: Configuration,
    keys: Path,
    *,
    environment: Mapping[str, str],
    clock: Callable[[], datetime],
    metrics: Metrics,
) -> Hostings:
    """What makes the forge that the configuration names, with the keys mounted at `keys`."""
    kind = configuration.config.forge.type
    if kind is not ForgeType.GITHUB:
        return _NoHostings(kind.value)
    return GitHubHostings(configuration, keys, environment=environment, clock=clock, metrics=metrics)


def door_of(configuration: Configuration, keys: Path, *, host: str, port: int | None) -> DoorSettings | None:
    """Where the webhook door is to be, None where none is asked for or no secret is there; what is given goes before.

    The secrets are those of the files that the configuration names, and those of the Apps.
    """
    said = configuration.config.webhook
    wanted = said.port if port is None else port
    if port is None and not said.port:
        return None
    files = tuple(Path(name) for name in said.secret_files)

    def read() -> list[str]:
        of_apps = mounted_credentials(github_host(configuration.config.forge.url), keys).webhook_secrets
        return list(dict.fromkeys([*(read_secret(path) for path in files), *of_apps]))

    def watched() -> list[Path]:
        return [*files, *key_files(keys)]

    try:
        secrets = Secrets(read, watched)
    except ConfigError as error:
        _log.warning(
            "no webhooks are taken in",
            error=str(error),
            hint="with the chart: name a Secret in webhook.secretName, or give an App's Secret the key webhook-secret; "
            "without webhooks everything works too, up to a poll later",
        )
        return None
    return DoorSettings(host=host or said.host, port=wanted, secrets=secrets)

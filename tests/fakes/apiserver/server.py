"""The fake API server as a test sees it."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from aiohttp import web
from tests.fakes.apiserver.access import Audit, Rule, Users
from tests.fakes.apiserver.catalog import Catalog
from tests.fakes.apiserver.deleting import Collector, Deleter
from tests.fakes.apiserver.faults import Faults
from tests.fakes.apiserver.http import MAX_BODY, Api
from tests.fakes.apiserver.logs import PodLogs
from tests.fakes.apiserver.objects import Objects
from tests.fakes.apiserver.reading import Reader
from tests.fakes.apiserver.resources import NAMESPACES, PODS, Resource
from tests.fakes.apiserver.storage import Storage, Stored
from tests.fakes.apiserver.writing import Options, Place, Writer

FIRST_NAMESPACES = ("default", "kube-system")


class FakeApiServer:
    """An API server for the length of an `async with`; everything is gone afterwards.

    Attributes:
        objects: Look at and change objects without HTTP.
        faults: Trouble for the requests to come.
        audit: The requests that were answered.
        logs: What containers said.
        admin_token: A bearer token that may do everything.
    """

    def __init__(self, *, port: int = 0) -> None:
        self._port = port
        self._storage = Storage()
        self._catalog = Catalog()
        self._users = Users()
        self._writer = Writer(self._storage, self._catalog, _now, self._removed)
        self._deleter = Deleter(self._storage, self._catalog, self._writer)
        self._collector = Collector(self._storage, self._catalog, self._writer, self._deleter)
        self._reader = Reader(self._storage)
        self.logs = PodLogs()
        self._api = Api(
            storage=self._storage,
            catalog=self._catalog,
            writer=self._writer,
            deleter=self._deleter,
            reader=self._reader,
            users=self._users,
            logs=self.logs,
            touched=self._touched,
        )
        self.objects = Objects(self._storage, self._catalog, self._writer, self._deleter, self._touched)
        self._runner: web.ServerRunner | None = None
        self._collecting: asyncio.Task[None] | None = None
        self.url = ""

    @property
    def faults(self) -> Faults:
        """Trouble for the requests to come."""
        return self._api.faults

    @property
    def audit(self) -> Audit:
        """The requests that were answered."""
        return self._api.audit

    @property
    def admin_token(self) -> str:
        """A bearer token that may do everything."""
        return self._users.admin_token

    @property
    def revision(self) -> int:
        """The newest resourceVersion."""
        return self._storage.revision

    async def __aenter__(self) -> Self:
        for name in FIRST_NAMESPACES:
            self._first_namespace(name)
        server = web.Server(self._api.handle, request_factory=_request, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._port = port
        self._collecting = asyncio.create_task(self._collector.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop answering; what is stored stays. `async with` again, or `start()`, goes on at the same port."""
        if self._collecting is not None:
            self._collecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._collecting
            self._collecting = None
        self.faults.clear()
        self.cut_streams()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def start(self) -> None:
        """Answer again after `stop()`."""
        await self.__aenter__()

    # --- who asks -------------------------------------------------------------------------------------------------------------

    def token(self, name: str, *rules: Rule) -> str:
        """A bearer token of a user, e.g. `system:serviceaccount:default:controller`, that may do what the rules say."""
        return self._users.add(name, rules)

    def revoke(self, token: str) -> None:
        """The token is answered with 401 from now on."""
        self._users.revoke(token)

    def kubeconfig(self, path: Path, *, token: str = "", namespace: str = "default") -> Path:
        """Write a kubeconfig for a token, the administrator's where none is given."""
        user = {"name": "user", "user": {"token": token or self.admin_token}}
        context = {"cluster": "fake", "user": "user", "namespace": namespace}
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [user],
            "contexts": [{"name": "fake", "context": context}],
            "current-context": "fake",
        }
        path.write_text(json.dumps(config), encoding="utf-8")
        path.chmod(0o600)
        return path

    # --- what happens to servers ----------------------------------------------------------------------------------------------

    def install(self, manifests: str | Path) -> None:
        """Create everything in YAML text or in a YAML file: CRDs, namespaces, objects."""
        text = manifests.read_text(encoding="utf-8") if isinstance(manifests, Path) else manifests
        for manifest in yaml.safe_load_all(text):
            if manifest:
                self.objects.create(manifest)

    def compact(self) -> None:
        """Forget the past: watches and lists that would go on from before now get 410."""
        self._storage.compact()

    def cut_streams(self) -> None:
        """Close the connections of all watches and followed logs."""
        for transport in list(self._api.streams):
            transport.abort()

    @property
    def streams(self) -> int:
        """How many watches and followed logs are open."""
        return len(self._api.streams)

    def silence_watches(self, *, silent: bool = True) -> None:
        """Let watches stay open and say nothing, as behind a firewall that forgot them; with False they catch up."""
        self._reader.is_silent = silent
        for shelf in self._storage.shelves.values():
            for listener in shelf.listeners:
                listener.set()

    def bookmark_every(self, seconds: float) -> None:
        """How often watches begun from now on send bookmarks (60 s at first)."""
        self._reader.bookmark_seconds = seconds

    def collect_garbage(self, *, on: bool) -> None:
        """Switch the garbage collector off and on: off, nothing follows an owner reference."""
        self._collector.is_on = on
        if on:
            for table, stored in self._storage.everything():
                self._collector.look_at(table, stored.key)

    # --- inside ---------------------------------------------------------------------------------------------------------------

    def _first_namespace(self, name: str) -> None:
        if self._storage.get(NAMESPACES.table, ("", name)) is None:
            resource = self._catalog.find("", "v1", "namespaces")
            assert resource is not None
            place = Place(resource=resource)
            done = self._writer.create(place, {"metadata": {"name": name}}, Options(manager="kube-apiserver"))
            self._touched(resource, done.stored)

    def _touched(self, resource: Resource, stored: Stored) -> None:
        """After a write: what the controllers of a cluster would do next."""
        if stored.meta.get("ownerReferences") or stored.meta.get("deletionTimestamp"):
            self._collector.look_at(resource.table, stored.key)
        if resource.table == NAMESPACES.table and not stored.meta.get("deletionTimestamp"):
            self._first_account(stored.meta["name"])

    def _first_account(self, namespace: str) -> None:
        resource = self._catalog.find("", "v1", "serviceaccounts")
        assert resource is not None
        if self._storage.get(resource.table, (namespace, "default")) is None:
            place = Place(resource=resource, namespace=namespace)
            self._writer.create(place, {"metadata": {"name": "default"}}, Options(manager="kube-controller-manager"))

    def _removed(self, resource: Resource, last: Stored) -> None:
        if resource.table == PODS.table:
            self.logs.forget(last.meta["namespace"], last.meta["name"])
        self._collector.removed(resource, last)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=MAX_BODY)

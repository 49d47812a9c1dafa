"""The connection to an API server: configuration, TLS, credentials and transport of the official client, bytes in and out.

The only module that imports `kubernetes.aio`, and only when a connection is opened: the import takes more than half a second.
Requests go straight through the session that the official client makes, because its generated methods cost several times the
work of the request itself. What an answer means is `kube.errors`; typed calls are `kube.api`.
"""

import asyncio
import contextlib
import functools
import os
import shutil
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
import structlog
from yarl import URL

from coderun.kube.errors import read_status, translate
from coderun.kube.gate import Gate
from coderun.model.errors import ClusterUnavailableError, ConfigError
from coderun.model.text import listed

_log = structlog.get_logger(__name__)
REFRESH_SECONDS: Final = 60.0
"""How often credentials of a kubeconfig are looked at again; those of a pod, the official client reads again by itself."""

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_IN_CLUSTER: Final = "KUBERNETES_SERVICE_HOST"
_CONNECTIONS: Final = 100
_FIRST_BYTES: Final = 30.0
_UNAUTHORIZED: Final = 401
_REFUSED: Final = 400
_READ_BUFFER: Final = 2**18


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Which cluster. With neither given: the one this pod runs in, else the current context of the user's kubeconfig.

    Attributes:
        kubeconfig: Path; "" takes `$KUBECONFIG`, else `~/.kube/config`.
        context: "" is the file's current one.
    """

    kubeconfig: str = ""
    context: str = ""


class Observer:
    """Hears of each request that was answered; this one does not care."""

    def request(self, *, method: str, resource: str, status: int, seconds: float) -> None:
        """One exchange has ended; `status` is 0 where no answer came."""


class KubeClient:
    """An open connection. Made by `connect`; `close` it.

    Attributes:
        server: URL of the API server.
        namespace: The namespace of the context or of this pod; "default" where neither names one.
    """

    def __init__(
        self,
        configuration: Any,
        session: aiohttp.ClientSession,
        *,
        namespace: str,
        reload: Callable[[], Awaitable[None]] | None,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configuration = configuration
        self._session = session
        self._reload = reload
        self._clock = clock
        self._fresh_until = clock() + REFRESH_SECONDS
        self._refreshing = asyncio.Lock()
        self.observer = observer
        self.server: str = configuration.host
        self.namespace = namespace

    @classmethod
    async def connect(cls, target: Target, *, environ: Mapping[str, str], observer: Observer | None = None) -> Self:
        """Read the configuration and make ready; the server is not asked yet.

        Raises:
            ConfigError: there is no usable configuration, or its files cannot be read.
        """
        configuration, namespace, reload = await _configure(target, environ)
        try:
            session = _open_session(configuration)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot use the certificates of the kubeconfig for {configuration.host}: {error}") from error
        return cls(configuration, session, namespace=namespace, reload=reload, observer=observer or Observer())

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        attempted: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "",
        gate: Gate | None = None,
        patience: float = _FIRST_BYTES,
        resource: str = "",
    ) -> bytes:
        """Send one request and read its answer.

        `attempted` says in words what it is for ("create Job 'x' in namespace 'y'"); a write of a leader passes its `gate`.

        Raises:
            CoderunError: as `kube.errors.translate` says; `ClusterUnavailableError` where no answer came.
        """
        limits = aiohttp.ClientTimeout(total=patience)
        headers = {"Content-Type": content_type} if body is not None else {}
        if accept:
            headers["Accept"] = accept
        for is_last in (False, True):
            start = self._clock()
            status = 0
            try:
                async with await self._open(method, path, query, headers, body, gate, limits) as answer:
                    data = await answer.read()
                    status = answer.status
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise _unreachable(attempted, self.server, error) from error
            finally:
                self.observer.request(method=method, resource=resource, status=status, seconds=self._clock() - start)
            if status == _UNAUTHORIZED and not is_last and await self._refresh(forced=True):
                continue
            if status >= _REFUSED:
                raise translate(attempted, status, read_status(data), answer.headers)
            return data
        raise AssertionError("unreachable")

    @contextlib.asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        attempted: str,
        query: Mapping[str, str] | None = None,
        silence: float | None = None,
        resource: str = "",
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an answer that goes on; gives its chunks as they come. `silence` seconds without any end it with an error.

        Raises:
            CoderunError: as `request`, at the start or while it is read.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_FIRST_BYTES, sock_read=silence)
        status = 0
        start = self._clock()
        try:
            async with await self._open("GET", path, query, {}, None, None, limits) as answer:
                status = answer.status
                if status >= _REFUSED:
                    if status == _UNAUTHORIZED:
                        await self._refresh(forced=True)
                    raise translate(attempted, status, read_status(await answer.read()), answer.headers)
                self.observer.request(method="WATCH", resource=resource, status=status, seconds=self._clock() - start)
                try:
                    yield answer.content.iter_any()
                finally:
                    _break_off(answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unreachable(attempted, self.server, error) from error

    async def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        body: bytes | None,
        gate: Gate | None,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        await self._refresh()
        try:
            token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        except (
            Exception
        ) as error:  # a pod's token file that is being replaced: the official client raises what it stumbles over
            raise ClusterUnavailableError(f"the credentials for {self.server} cannot be read now: {error}") from error
        url = f"{self.server}{path}?{_query(tuple(query.items()))}" if query else f"{self.server}{path}"
        asked = _gate.set(gate)
        try:
            return await self._session.request(
                method,
                URL(url, encoded=True),
                headers={**headers, "Authorization": token} if token else headers,
                data=body,
                timeout=limits,
                allow_redirects=False,
                proxy=self._configuration.proxy or None,
                server_hostname=self._configuration.tls_server_name or None,
            )
        finally:
            _gate.reset(asked)

    async def _refresh(self, *, forced: bool = False) -> bool:
        """Read credentials again where it is time to; whether that was done."""
        if self._reload is None or (not forced and self._clock() < self._fresh_until):
            return False
        async with self._refreshing:
            if not forced and self._clock() < self._fresh_until:
                return False
            self._fresh_until = self._clock() + REFRESH_SECONDS
            await self._reload()
        return True


@functools.lru_cache(maxsize=256)
def _query(asked: tuple[tuple[str, str], ...]) -> str:
    """As it stands in a URL: most requests ask for one of a few things."""
    return urlencode(asked)


def _break_off(answer: aiohttp.ClientResponse) -> None:
    """Let go of a stream that has not come to its end at once: a polite farewell over TLS would outlive the loop."""
    transport = answer.connection.transport if answer.connection is not None else None
    if transport is not None:
        transport.abort()


def _unreachable(attempted: str, server: str, error: Exception) -> ClusterUnavailableError:
    if isinstance(error, TimeoutError):
        return ClusterUnavailableError(f"cannot {attempted}: {server} does not answer in time")
    if isinstance(error, aiohttp.ClientPayloadError):
        return ClusterUnavailableError(f"cannot {attempted}: {server} broke its answer off")
    return ClusterUnavailableError(f"cannot {attempted}: {server} is out of reach ({str(error) or type(error).__name__})")


def _open_session(configuration: Any) -> aiohttp.ClientSession:
    from kubernetes.aio.client.rest import RESTClientObject  # noqa: PLC0415 - loaded when a connection is opened

    class Transport(RESTClientObject):
        def _create_connector(self) -> aiohttp.TCPConnector:
            return _GatedConnector(limit=self.maxsize, ssl=self.ssl_context)

        def open(self) -> aiohttp.ClientSession:
            session: aiohttp.ClientSession = self._create_pool_manager()
            return session

    configuration.connection_pool_maxsize = _CONNECTIONS
    # The session would ask the environment for a proxy in a thread at every request; it is asked once, in `_configure`.
    configuration.client_session_kwargs = {
        "trust_env": False,
        "read_bufsize": _READ_BUFFER,
        "cookie_jar": aiohttp.DummyCookieJar(),
        "auto_decompress": True,
    }
    return Transport(configuration).open()


_gate: Final[ContextVar[Gate | None]] = ContextVar("gate", default=None)
"""The gate that the request of this task goes through. (A trace of the session would cost a quarter of the whole request.)"""


class _GatedConnector(aiohttp.TCPConnector):
    """Asks the gate of a request once more when it has its connection: nothing is sent before that."""

    async def connect(self, req: aiohttp.ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout) -> Any:  # noqa: ASYNC109 - its parent's
        connection = await super().connect(req, traces, timeout)
        gate = _gate.get()
        if gate is not None and not gate.is_open:
            connection.release()
            gate.check()
        return connection


def _contexts(config: Any, path: str) -> frozenset[str]:
    """Names of the contexts of a kubeconfig, none where it cannot be read."""
    try:
        contexts, _ = config.list_kube_config_contexts(config_file=path)
        return frozenset(str(context["name"]) for context in contexts)
    except Exception:  # noqa: BLE001 - the loader raises whatever its files make it stumble over
        return frozenset()


async def _configure(target: Target, environ: Mapping[str, str]) -> tuple[Any, str, Callable[[], Awaitable[None]] | None]:
    """Configuration, namespace, and how to read credentials again (None: they refresh themselves)."""
    from kubernetes.aio import config as untyped  # noqa: PLC0415 - loaded when a connection is opened
    from kubernetes.aio.client import Configuration  # noqa: PLC0415 - the same

    config: Any = untyped
    configuration = Configuration()
    chosen = target.kubeconfig or target.context or environ.get("KUBECONFIG")
    if not chosen and environ.get(_IN_CLUSTER) and (_ACCOUNT / "token").is_file():
        try:
            config.load_incluster_config(client_configuration=configuration)
        except (config.ConfigException, OSError) as error:
            raise ConfigError(f"cannot use the service account of this pod: {error}") from error
        return configuration, _own_namespace(), None
    path = target.kubeconfig or environ.get("KUBECONFIG") or str(Path(environ.get("HOME", "/")) / ".kube" / "config")
    if not any(Path(one).expanduser().is_file() for one in path.split(os.pathsep) if one):
        raise ConfigError(f"there is no kubeconfig at {path}; name one with --kubeconfig or $KUBECONFIG")
    try:
        loader = await config.load_kube_config(
            config_file=path, context=target.context or None, client_configuration=configuration, persist_config=False
        )
        context = loader.current_context
    except Exception as error:  # the loader raises whatever its files and plugins make it stumble over
        wanted = f"context {target.context!r} of " if target.context else ""
        known = _contexts(config, path)
        if target.context and known and target.context not in known:
            raise ConfigError(
                f"the kubeconfig {path} has no context {target.context!r}; it has: {listed(sorted(known))}"
            ) from error
        why = _why_unusable(path, error)
        raise ConfigError(f"cannot use {wanted}the kubeconfig {path}: {why}") from error
    _check_plugin(loader, configuration, path)

    async def reload() -> None:
        try:
            await loader.load_and_set(configuration)
        except Exception as error:  # noqa: BLE001 - as above; the credentials at hand may still do
            _log.warning("credentials could not be read again", kubeconfig=path, error=type(error).__name__)

    configuration.proxy = configuration.proxy or _proxy_for(configuration.host)
    return configuration, (context.get("context") or {}).get("namespace") or "default", reload


def _why_unusable(path: str, error: Exception) -> str:
    if _is_empty(path):
        return "it is empty"
    if isinstance(error, TypeError | AttributeError | LookupError):  # a stumble, which says nothing to people
        return "the cluster or the user that the context names is not in it, or not whole"
    return str(error)


def _is_empty(path: str) -> bool:
    files = [Path(one).expanduser() for one in path.split(os.pathsep) if one]
    return not any(file.read_bytes().strip() for file in files if file.is_file())


def _check_plugin(loader: Any, configuration: Any, path: str) -> None:
    """Whether a program that gives credentials gave some: without any, everything would be refused to "system:anonymous"."""
    plugin = ((loader._user.value if loader._user else None) or {}).get("exec")  # noqa: SLF001 - nothing public tells
    if plugin is None or configuration.api_key or configuration.cert_file or configuration.username:
        return
    command = str(plugin.get("command", ""))
    is_there = shutil.which(command) is not None
    why = "which gave none; log in again, or run it yourself to see why" if is_there else "which is not on PATH; install it"
    raise ConfigError(f"the kubeconfig {path} gets its credentials from the program {command!r}, {why}")


def _proxy_for(host: str) -> str | None:
    parts = urlsplit(host)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _own_namespace() -> str:
    try:
        return (_ACCOUNT / "namespace").read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"

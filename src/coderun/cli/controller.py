"""`coderun controller`: the controller of a cluster, until it is stopped."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coderun.cli.terminal import run_async

if TYPE_CHECKING:
    from coderun.app.cluster import ClusterController
    from coderun.app.configuration import Configuration
    from coderun.app.metrics import Metrics
    from coderun.kube.api import Api


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def command(
    config: Annotated[Path, typer.Option("--config", help="Configuration of the cluster's controller.", metavar="FILE")],
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", "-n", help="Namespace to work; may be given again. Default: the own one.")
    ] = None,
    lease_namespace: Annotated[
        str, typer.Option("--lease-namespace", help="Where the election is held. Default: the own one.")
    ] = "",
    kubeconfig: Annotated[str, typer.Option("--kubeconfig", help="Outside a cluster: how to get there.", metavar="FILE")] = "",
    context: Annotated[str, typer.Option("--context", help="Context of the kubeconfig.")] = "",
    templates: Annotated[Path | None, typer.Option("--templates", help="Folder with own templates.", metavar="DIR")] = None,
    github_keys: Annotated[
        Path, typer.Option("--github-keys", help="Folder with the Apps' Secrets, one folder an agent.", metavar="DIR")
    ] = Path("/etc/coderun/github"),
    webhook_host: Annotated[str, typer.Option("--webhook-host", help="Address of the webhook door.")] = "",
    webhook_port: Annotated[
        int | None, typer.Option("--webhook-port", min=0, max=65535, help="Port of the webhook door; 0 is any free one.")
    ] = None,
    health_host: Annotated[str, typer.Option("--health-host", help="Address of /healthz, /readyz and /metrics.")] = "0.0.0.0",  # noqa: S104 - a pod's probes come from outside it
    health_port: Annotated[int, typer.Option("--health-port", min=0, max=65535, help="Their port; 0 is any free one.")] = 8081,
    log_level: Annotated[Level, typer.Option("--log-level", help="Least level that is logged.")] = Level.INFO,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done now, write nothing, and end.")] = False,
) -> None:
    """Work the Plays and CodeRuns of a cluster's namespaces. Several replicas elect one that works; all take webhooks in.

    Logs are JSON lines on standard output. SIGTERM ends it: passes are given up, the Lease is given back, agents go on.

    Examples:
        coderun controller --config coderun.yaml
        coderun controller --config coderun.yaml --namespace team-a --namespace team-b
        coderun controller --config coderun.yaml --kubeconfig ~/.kube/config --dry-run
    """

    async def work() -> None:
        import os

        from coderun.app.configuration import read_cluster_configuration
        from coderun.app.metrics import Metrics
        from coderun.kube.api import Api
        from coderun.kube.client import KubeClient, Target

        configuration = read_cluster_configuration(config, templates)
        metrics = Metrics()
        target = Target(kubeconfig=kubeconfig, context=context)
        client = await KubeClient.connect(target, environ=os.environ, observer=metrics.api)
        try:
            namespaces = tuple(dict.fromkeys(namespace or [client.namespace]))
            if dry_run:
                await _rehearse(Api(client, dry_run=True), configuration, namespaces, github_keys)
                return
            controller = _make(
                Api(client), configuration, metrics, namespaces, lease_namespace or client.namespace, github_keys
            )
            async with (
                _serve_health(controller, metrics, health_host, health_port),
                _door(controller, configuration, github_keys, webhook_host, webhook_port),
            ):
                await _until_stopped(controller)
        finally:
            await client.close()

    if not dry_run:
        from coderun.app.logs import log_to_stdout

        log_to_stdout(log_level.value)
    from coderun.app.gathering import gathering_loop

    run_async(work(), loop=gathering_loop)


def _now() -> datetime:
    from coderun.app.local import now

    return now()


def _make(
    api: "Api",
    configuration: "Configuration",
    metrics: "Metrics",
    namespaces: tuple[str, ...],
    lease_namespace: str,
    keys: Path,
) -> "ClusterController":
    import os
    import secrets
    import socket

    from coderun.app.cluster import ClusterController, hostings_of

    name = os.environ.get("POD_NAME") or socket.gethostname()
    return ClusterController(
        api,
        configuration=configuration,
        hostings=hostings_of(configuration, keys, environment=os.environ, clock=_now, metrics=metrics),
        namespaces=namespaces,
        lease_namespace=lease_namespace,
        identity=f"{name}_{secrets.token_hex(4)}",
        clock=_now,
        metrics=metrics,
    )


@contextlib.asynccontextmanager
async def _serve_health(controller: "ClusterController", metrics: "Metrics", host: str, port: int) -> AsyncIterator[None]:
    import structlog

    from coderun.web.health import serve_health

    async with serve_health(host, port, is_ready=lambda: controller.is_ready, metrics=metrics.render) as url:
        structlog.get_logger(__name__).info("health is served", url=url)
        yield


@contextlib.asynccontextmanager
async def _door(
    controller: "ClusterController", configuration: "Configuration", keys: Path, host: str, port: int | None
) -> AsyncIterator[None]:
    """The webhook door, where one is asked for."""
    import structlog

    from coderun.app.cluster import door_of

    settings = door_of(configuration, keys, host=host, port=port)
    if settings is None:
        yield
        return
    from coderun.web.serve import open_door

    async with open_door(controller.inbox, host=settings.host, port=settings.port, secrets=settings.secrets, clock=_now) as url:
        structlog.get_logger(__name__).info("webhooks are taken", url=url)
        yield


async def _until_stopped(controller: "ClusterController") -> None:
    """Run it until SIGTERM or SIGINT, then let it end in order."""
    import asyncio
    import signal

    import structlog

    working = asyncio.ensure_future(controller.run())
    stop: Callable[[], object] = working.cancel
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop)
    try:
        await working
    except asyncio.CancelledError:
        structlog.get_logger(__name__).info("stopped; agents at work go on")
    finally:
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(sign)


async def _rehearse(api: "Api", configuration: "Configuration", namespaces: tuple[str, ...], keys: Path) -> None:
    import os

    from coderun.app.cluster import hostings_of
    from coderun.app.metrics import Metrics
    from coderun.app.rehearsal import rehearse
    from coderun.cli.terminal import safe, say

    hosting = hostings_of(configuration, keys, environment=os.environ, clock=_now, metrics=Metrics()).make(lambda: None)
    try:
        for namespace in namespaces:
            lines = await rehearse(api, namespace, configuration=configuration, hosting=hosting, clock=_now)
            say(f"namespace {safe(namespace)}: " + ("nothing would be done now" if not lines else f"{len(lines)} things to do"))
            for line in lines:
                say(f"  {safe(line)}")
    finally:
        await hosting.close()

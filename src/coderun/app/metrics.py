"""Metrics in the form Prometheus reads, under the names that dashboards for Kubernetes controllers know.

Implements the protocols of `model.metrics`; counts and never decides. Labels are words of ours, never text from outside.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from coderun.kube.client import Observer
from coderun.model.metrics import QueueMetrics
from coderun.reconcile.view import View

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_WAITS: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_WORKS: Final = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """All metrics of a controller process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        on = self.registry
        self.depth = Gauge("workqueue_depth", "Keys that wait in the work queue.", ["namespace", "name"], registry=on)
        self.adds = Counter("workqueue_adds", "Keys put into the work queue.", ["namespace", "name"], registry=on)
        self.waited = Histogram(
            "workqueue_queue_duration_seconds",
            "How long a key waits before work on it begins.",
            ["namespace", "name"],
            buckets=_WAITS,
            registry=on,
        )
        self.worked = Histogram(
            "workqueue_work_duration_seconds",
            "How long work on a key takes.",
            ["namespace", "name"],
            buckets=_WORKS,
            registry=on,
        )
        self.retries = Counter("workqueue_retries", "Keys tried again because they failed.", ["namespace", "name"], registry=on)
        self.passes = Counter(
            "controller_runtime_reconcile",
            "Passes by kind and result: success, requeue_after, requeue, error.",
            ["namespace", "controller", "result"],
            registry=on,
        )
        self.errors = Counter(
            "controller_runtime_reconcile_errors", "Passes that failed.", ["namespace", "controller"], registry=on
        )
        self.time = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "How long a pass takes.",
            ["namespace", "controller"],
            buckets=_WORKS,
            registry=on,
        )
        self._leading = Gauge("leader_election_master_status", "Whether this process leads.", ["name"], registry=on)
        self._requests = Counter(
            "rest_client_requests", "Requests to the API server.", ["method", "resource", "code"], registry=on
        )
        self._request_time = Histogram(
            "rest_client_request_duration_seconds",
            "How long the API server takes to answer.",
            ["method", "resource"],
            buckets=_WORKS,
            registry=on,
        )
        self._forge_requests = Counter(
            "coderun_forge_requests", "Requests to the forge.", ["identity", "method", "code"], registry=on
        )
        self._forge_time = Histogram(
            "coderun_forge_request_duration_seconds",
            "How long the forge takes to answer.",
            ["identity", "method"],
            buckets=_WORKS,
            registry=on,
        )
        self._budget_left = Gauge(
            "coderun_forge_budget_remaining",
            "Requests left until the forge's limit is renewed.",
            ["identity", "resource"],
            registry=on,
        )
        self._budget = Gauge(
            "coderun_forge_budget_limit", "The forge's limit of requests.", ["identity", "resource"], registry=on
        )
        self.deliveries = Counter(
            "coderun_deliveries", "Deliveries looked at, by what became of them.", ["namespace", "state"], registry=on
        )
        self.dropped = Counter(
            "coderun_events_dropped", "Kubernetes Events not written, to spare the API server.", ["namespace"], registry=on
        )
        self._views: dict[str, View] = {}
        self._synced: dict[str, Callable[[], bool]] = {}
        on.register(_Objects(self._views, self._synced))

    def render(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)

    def world(self, namespace: str) -> "WorldMetrics":
        """Those of one namespace."""
        return WorldMetrics(self, namespace)

    def show(self, namespace: str, view: View, *, is_synced: Callable[[], bool]) -> None:
        """Tell of the plays and runs of that view from now on."""
        self._views[namespace] = view
        self._synced[namespace] = is_synced

    def hide(self, namespace: str) -> None:
        """Tell of them no more: another process leads."""
        self._views.pop(namespace, None)
        self._synced.pop(namespace, None)

    def lead(self, name: str, *, leading: bool) -> None:
        """Whether this process leads."""
        self._leading.labels(name=name).set(int(leading))

    def request(self, *, identity: str, method: str, status: int, seconds: float) -> None:
        """See `model.metrics.ForgeMetrics`."""
        self._forge_requests.labels(identity=identity, method=method, code=_code(status)).inc()
        self._forge_time.labels(identity=identity, method=method).observe(seconds)

    def budget(self, *, identity: str, resource: str, limit: int, remaining: int) -> None:
        """See `model.metrics.ForgeMetrics`."""
        self._budget.labels(identity=identity, resource=resource).set(limit)
        self._budget_left.labels(identity=identity, resource=resource).set(remaining)

    @property
    def api(self) -> Observer:
        """Takes note of requests to the API server."""
        return _ApiMetrics(self._requests, self._request_time)


class WorldMetrics:
    """See `model.metrics.ControllerMetrics`."""

    def __init__(self, metrics: Metrics, namespace: str) -> None:
        self._metrics = metrics
        self._namespace = namespace
        self._passes: dict[tuple[str, str], Counter] = {}
        self._times: dict[str, Histogram] = {}

    def queue(self, name: str) -> QueueMetrics:
        """See `ControllerMetrics`."""
        return _Queue(self._metrics, self._namespace, name)

    def reconciled(self, kind: str, result: str, seconds: float) -> None:
        """See `ControllerMetrics`."""
        at = self._metrics
        # Looking label values up costs more than counting.
        passes, times = self._passes.get((kind, result)), self._times.get(kind)
        if passes is None:
            labels = {"namespace": self._namespace, "controller": kind, "result": result}
            passes = self._passes[kind, result] = at.passes.labels(**labels)
        if times is None:
            times = self._times[kind] = at.time.labels(namespace=self._namespace, controller=kind)
        passes.inc()
        times.observe(seconds)
        if result == "error":
            at.errors.labels(namespace=self._namespace, controller=kind).inc()

    def delivery(self, state: str) -> None:
        """See `ControllerMetrics`."""
        self._metrics.deliveries.labels(namespace=self._namespace, state=state).inc()

    def event_dropped(self) -> None:
        """A Kubernetes Event was not written."""
        self._metrics.dropped.labels(namespace=self._namespace).inc()


class _Queue:
    """See `model.metrics.QueueMetrics`; with the label values looked up once."""

    def __init__(self, metrics: Metrics, namespace: str, name: str) -> None:
        self._depth = metrics.depth.labels(namespace=namespace, name=name)
        self._adds = metrics.adds.labels(namespace=namespace, name=name)
        self._waited = metrics.waited.labels(namespace=namespace, name=name)
        self._worked = metrics.worked.labels(namespace=namespace, name=name)
        self._retries = metrics.retries.labels(namespace=namespace, name=name)

    def added(self, depth: int) -> None:
        self._adds.inc()
        self._depth.set(depth)

    def begun(self, depth: int, waited: float) -> None:
        self._depth.set(depth)
        self._waited.observe(waited)

    def done(self, seconds: float) -> None:
        self._worked.observe(seconds)

    def retried(self) -> None:
        self._retries.inc()


class _ApiMetrics(Observer):
    def __init__(self, requests: Counter, times: Histogram) -> None:
        self._requests = requests
        self._times = times
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram | None]] = {}

    def request(self, *, method: str, resource: str, status: int, seconds: float) -> None:
        """See `Observer`."""
        known = self._known.get((method, resource, status))
        if known is None:
            requests = self._requests.labels(method=method, resource=resource, code=_code(status))
            times = None if method == "WATCH" else self._times.labels(method=method, resource=resource)
            known = self._known[method, resource, status] = (requests, times)
        requests, times = known
        requests.inc()
        if times is not None:
            times.observe(seconds)


class _Objects(Collector):
    """Plays and runs, counted when somebody asks."""

    def __init__(self, views: Mapping[str, View], synced: Mapping[str, Callable[[], bool]]) -> None:
        self._views = views
        self._synced = synced

    def collect(self) -> Iterable[GaugeMetricFamily]:
        plays = GaugeMetricFamily("coderun_plays", "Plays by phase.", labels=["namespace", "phase"])
        runs = GaugeMetricFamily(
            "coderun_runs", "CodeRuns that have not ended, by whether they have begun.", labels=["namespace", "state"]
        )
        synced = GaugeMetricFamily("coderun_caches_synced", "Whether all caches were filled.", labels=["namespace"])
        for namespace, view in list(self._views.items()):
            for phase, count in view.count_plays().items():
                plays.add_metric([namespace, phase.value], count)
            begun, waiting = view.count_runs()
            runs.add_metric([namespace, "begun"], begun)
            runs.add_metric([namespace, "waiting"], waiting)
            synced.add_metric([namespace], int(self._synced[namespace]()))
        return [plays, runs, synced]


def _code(status: int) -> str:
    return str(status) if status else "<error>"

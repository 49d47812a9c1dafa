"""The Grafana dashboard that the chart carries, as data; `make chart` writes it."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

JSON = dict[str, Any]
_WIDTH: Final = 24
_HEIGHT: Final = 8
_WORLD: Final = 'namespace=~"$namespace"'


class Panel(NamedTuple):
    """A graph: title, what it means, queries with their legends, unit."""

    title: str
    about: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    stacked: bool = False


def _quantile(share: str, metric: str, by: str) -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket{{{_WORLD}}}[$__rate_interval])))"


_API_TIME: Final = "rate(rest_client_request_duration_seconds_bucket[$__rate_interval])"
_API_P99: Final = f"histogram_quantile(0.99, sum by (le, method) ({_API_TIME}))"

PANELS: Final = (
    Panel(
        "Plays",
        "By phase. Waiting waits for a person.",
        ((f"sum by (phase) (coderun_plays{{{_WORLD}}})", "{{phase}}"),),
        stacked=True,
    ),
    Panel(
        "CodeRuns that have not ended",
        "Begun: their agents work. Waiting: for a workspace, a slot or a usage limit.",
        ((f"sum by (state) (coderun_runs{{{_WORLD}}})", "{{state}}"),),
        stacked=True,
    ),
    Panel(
        "Deliveries",
        "Events of the forge per minute, by what became of them.",
        ((f"sum by (state) (rate(coderun_deliveries_total{{{_WORLD}}}[$__rate_interval])) * 60", "{{state}}"),),
    ),
    Panel(
        "Passes",
        "Of the reconcilers per second, by kind and result.",
        (
            (
                f"sum by (controller, result) (rate(controller_runtime_reconcile_total{{{_WORLD}}}[$__rate_interval]))",
                "{{controller}} {{result}}",
            ),
        ),
        unit="ops",
    ),
    Panel(
        "Length of a pass",
        "Median and 99th percentile.",
        (
            (_quantile("0.5", "controller_runtime_reconcile_time_seconds", "controller"), "{{controller}} p50"),
            (_quantile("0.99", "controller_runtime_reconcile_time_seconds", "controller"), "{{controller}} p99"),
        ),
        unit="s",
    ),
    Panel(
        "Work queue",
        "Keys that wait, and how long the slowest do.",
        (
            (f"sum by (name) (workqueue_depth{{{_WORLD}}})", "{{name}} depth"),
            (_quantile("0.99", "workqueue_queue_duration_seconds", "name"), "{{name}} wait p99 (s)"),
        ),
    ),
    Panel(
        "Queue, per second",
        "Keys added and keys tried again.",
        (
            (f"sum by (name) (rate(workqueue_adds_total{{{_WORLD}}}[$__rate_interval]))", "{{name}} added"),
            (f"sum by (name) (rate(workqueue_retries_total{{{_WORLD}}}[$__rate_interval]))", "{{name}} tried again"),
        ),
        unit="ops",
    ),
    Panel(
        "Requests to the API server",
        "Per second, by method and code.",
        (("sum by (method, code) (rate(rest_client_requests_total[$__rate_interval]))", "{{method}} {{code}}"),),
        unit="reqps",
    ),
    Panel(
        "Answers of the API server",
        "99th percentile, by method.",
        (
            (
                _API_P99,
                "{{method}} p99",
            ),
        ),
        unit="s",
    ),
    Panel(
        "Requests to the forge",
        "Per minute, by identity and code.",
        (("sum by (identity, code) (rate(coderun_forge_requests_total[$__rate_interval])) * 60", "{{identity}} {{code}}"),),
    ),
    Panel(
        "The forge's limits",
        "What is left, as a share.",
        (
            (
                "min by (identity, resource) (coderun_forge_budget_remaining / coderun_forge_budget_limit)",
                "{{identity}} {{resource}}",
            ),
        ),
        unit="percentunit",
    ),
    Panel(
        "Leader",
        "1 where a process leads; the sum is 1, or 0 while nobody does.",
        (
            ("leader_election_master_status", "{{pod}}"),
            (f"min by (namespace) (coderun_caches_synced{{{_WORLD}}})", "caches filled: {{namespace}}"),
            (
                f"sum(rate(coderun_events_dropped_total{{{_WORLD}}}[$__rate_interval]))",
                "Kubernetes Events left out, per second",
            ),
        ),
    ),
)


def expressions() -> Iterator[str]:
    """Every query, with a plain interval and namespace in place of Grafana's variables."""
    for panel in PANELS:
        for query, _ in panel.queries:
            yield query.replace("$__rate_interval", "5m").replace("$namespace", ".*")


def dashboard() -> JSON:
    """The dashboard as Grafana reads it."""
    return {
        "uid": "coderun",
        "title": "coderun",
        "description": "Plays, runs and the controller.",
        "tags": ["coderun"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
                {
                    "name": "namespace",
                    "type": "query",
                    "label": "Namespace",
                    "datasource": {"type": "prometheus", "uid": "${datasource}"},
                    "query": "label_values(workqueue_depth, namespace)",
                    "refresh": 2,
                    "includeAll": True,
                    "multi": True,
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def _panel(number: int, panel: Panel) -> JSON:
    custom = {"stacking": {"mode": "normal"}, "fillOpacity": 30} if panel.stacked else {}
    third = _WIDTH // 3
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"x": number % 3 * third, "y": number // 3 * _HEIGHT, "w": third, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(panel.queries)
        ],
    }

"""Alerts and dashboard ask for metrics that the controller has, in words that Prometheus understands."""

import json
import re
from collections.abc import Callable, Iterator
from typing import NoReturn

from prometheus_client.parser import text_string_to_metric_families
from tests.cluster.harness import UnavailableError
from tests.deploy import promql
from tests.deploy.chart import RELEASE, Helm, values_of
from tests.deploy.chart_dashboard import PANELS, expressions

from coderun.app.metrics import Metrics
from coderun.model.play import PlayPhase
from coderun.reconcile.view import View

NAME = re.compile(r"\b((?:coderun|workqueue|controller_runtime|rest_client|leader_election)_[a-z_]+)\b")
SELECTED = re.compile(r"(\w+)\{([^}]*)\}")
LABEL = re.compile(r"(\w+)\s*=~?")


def exposed() -> dict[str, set[str]]:
    """Labels of every series that the controller has, by name."""
    metrics = Metrics()
    world = metrics.world("team")
    world.queue("work").added(1)
    world.queue("work").begun(0, 0.1)
    world.queue("work").done(0.1)
    world.queue("work").retried()
    world.reconciled("Play", "error", 0.1)
    world.delivery("moved")
    world.event_dropped()
    metrics.lead("coderun-controller", leading=True)
    metrics.show("team", View(), is_synced=lambda: True)
    metrics.api.request(method="GET", resource="plays", status=200, seconds=0.1)
    metrics.request(identity="rex", method="GET", status=200, seconds=0.1)
    metrics.budget(identity="rex", resource="core", limit=5000, remaining=4000)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    found.setdefault("coderun_plays", {"namespace", "phase"})  # no series before there is a play
    return found


def alerts(helm: Helm) -> Iterator[tuple[str, str]]:
    rules = helm.render(*values_of("everything")).one("PrometheusRule")
    for group in rules["spec"]["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def check(query: str) -> None:
    known = exposed()
    names = set(NAME.findall(re.sub(r'"[^"]*"', '""', query)))
    assert names <= set(known), f"{names - set(known)} in {query}"
    for name, selectors in SELECTED.findall(query):
        if name in known:
            assert set(LABEL.findall(selectors)) <= known[name] | {"job"}, query


def test_every_alert_asks_for_what_the_controller_tells(helm: Helm) -> None:
    found = dict(alerts(helm))
    assert len(found) >= 10
    for query in found.values():
        check(query)
    phases = {phase.value for phase in PlayPhase}
    asked = {phase for query in found.values() for phase in re.findall(r'phase="(\w+)"', query)}
    assert asked <= phases
    assert asked


def test_every_panel_asks_for_what_the_controller_tells() -> None:
    for query in expressions():
        check(query)
    named = {name for query in expressions() for name in NAME.findall(query)}
    counted = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed() if not name.endswith("_created")}
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in named}
    assert shown >= {name for name in counted if name.startswith("coderun_")} - {"coderun_forge_request_duration_seconds"}


def test_prometheus_understands_every_query(helm: Helm, leave_out: Callable[[str, str], NoReturn]) -> None:
    queries = [*(query for _, query in alerts(helm)), *expressions()]
    try:
        assert promql.complaints(queries) == []
        assert promql.complaints(["rate(coderun_plays)"]) != []
    except UnavailableError as error:
        leave_out("Prometheus' parser of queries", str(error))


def test_alerts_say_what_is_wrong_and_what_to_do(helm: Helm) -> None:
    rules = helm.render(*values_of("everything")).one("PrometheusRule")
    for rule in rules["spec"]["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert re.fullmatch(r"\d+[mhd]", rule["for"])
        assert not rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["description"].endswith(".")
        assert f'job="{RELEASE}-agents-metrics"' in rule["expr"]
        used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))
        assert used <= grouped, rule["alert"]


def test_the_service_monitor_finds_the_pods_and_keeps_their_labels(helm: Helm) -> None:
    rendered = helm.render(*values_of("everything"))
    monitor = rendered.one("ServiceMonitor")
    service = rendered.one("Service", f"{RELEASE}-agents-metrics")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"] == [{"port": "health", "path": "/metrics", "honorLabels": True, "interval": "15s"}]
    assert service["spec"]["selector"].items() <= rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_the_dashboard_is_read_by_grafana_through_its_label(helm: Helm) -> None:
    rendered = helm.render(*values_of("everything"))
    [found] = [one for one in rendered.of("ConfigMap") if one["metadata"]["labels"].get("grafana_dashboard") == "1"]
    board = json.loads(found["data"]["coderun.json"])
    assert [panel["title"] for panel in board["panels"]] == [panel.title for panel in PANELS]
    assert board["templating"]["list"][1]["name"] == "namespace"
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)

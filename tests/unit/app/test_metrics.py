"""Metrics as Prometheus reads them, under the names that dashboards know."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.reconcile.test_view import play, run, seen

from coderun.app.metrics import Metrics
from coderun.model.play import PlayPhase


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.render().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.lesson(30)
def test_queues_are_counted_under_the_names_of_controller_runtime() -> None:
    metrics = Metrics()
    queue = metrics.world("team").queue("main")
    queue.added(3)
    queue.begun(2, 0.2)
    queue.done(0.4)
    queue.retried()
    found = samples(metrics)
    at = (("name", "main"), ("namespace", "team"))
    assert found["workqueue_depth", at] == 2
    assert found["workqueue_adds_total", at] == 1
    assert found["workqueue_retries_total", at] == 1
    assert found["workqueue_queue_duration_seconds_sum", at] == 0.2
    assert found["workqueue_work_duration_seconds_sum", at] == 0.4


def test_passes_are_counted_by_kind_and_result_and_errors_once_more() -> None:
    metrics = Metrics()
    world = metrics.world("team")
    world.reconciled("Play", "success", 0.1)
    world.reconciled("Play", "error", 0.1)
    found = samples(metrics)
    at = (("controller", "Play"), ("namespace", "team"))
    assert found["controller_runtime_reconcile_total", (*at[:1], at[1], ("result", "error"))] == 1
    assert found["controller_runtime_reconcile_total", (*at[:1], at[1], ("result", "success"))] == 1
    assert found["controller_runtime_reconcile_errors_total", at] == 1
    assert found["controller_runtime_reconcile_time_seconds_count", at] == 2


def test_what_is_left_of_the_forges_limit_is_shown() -> None:
    metrics = Metrics()
    metrics.budget(identity="rex", resource="core", limit=5000, remaining=4990)
    metrics.request(identity="rex", method="GET", status=0, seconds=0.5)
    found = samples(metrics)
    assert found["coderun_forge_budget_remaining", (("identity", "rex"), ("resource", "core"))] == 4990
    assert found["coderun_forge_requests_total", (("code", "<error>"), ("identity", "rex"), ("method", "GET"))] == 1


def test_requests_to_the_api_server_are_counted_and_watches_are_not_timed() -> None:
    metrics = Metrics()
    metrics.api.request(method="PATCH", resource="coderuns", status=200, seconds=0.01)
    metrics.api.request(method="WATCH", resource="coderuns", status=200, seconds=0.01)
    found = samples(metrics)
    assert found["rest_client_requests_total", (("code", "200"), ("method", "WATCH"), ("resource", "coderuns"))] == 1
    assert found["rest_client_request_duration_seconds_count", (("method", "PATCH"), ("resource", "coderuns"))] == 1
    assert ("rest_client_request_duration_seconds_count", (("method", "WATCH"), ("resource", "coderuns"))) not in found


def test_plays_and_runs_are_counted_while_this_process_leads() -> None:
    metrics = Metrics()
    view = seen(play(1, PlayPhase.RUNNING), play(2), play(3))
    view.see_run(run("a", 1, attempt=1), "w")
    view.see_run(run("b", 2), "w")
    metrics.show("team", view, is_synced=lambda: True)
    metrics.lead("coderun-controller", leading=True)
    found = samples(metrics)
    assert found["coderun_plays", (("namespace", "team"), ("phase", "Running"))] == 1
    assert found["coderun_plays", (("namespace", "team"), ("phase", "Pending"))] == 2
    assert found["coderun_runs", (("namespace", "team"), ("state", "begun"))] == 1
    assert found["coderun_runs", (("namespace", "team"), ("state", "waiting"))] == 1
    assert found["coderun_caches_synced", (("namespace", "team"),)] == 1
    assert found["leader_election_master_status", (("name", "coderun-controller"),)] == 1
    metrics.hide("team")
    assert not [name for name, _ in samples(metrics) if name == "coderun_plays"]


def test_deliveries_and_dropped_events_are_counted() -> None:
    metrics = Metrics()
    metrics.world("team").delivery("moved")
    metrics.world("team").event_dropped()
    found = samples(metrics)
    assert found["coderun_deliveries_total", (("namespace", "team"), ("state", "moved"))] == 1
    assert found["coderun_events_dropped_total", (("namespace", "team"),)] == 1

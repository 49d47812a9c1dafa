"""Tiers of tests: what a machine cannot carry is left out loudly, or fails where `CODERUN_REQUIRE=all` says so."""

import os
import signal
from collections.abc import Callable
from typing import NoReturn

import hypothesis
import pytest

hypothesis.settings.register_profile("default", deadline=None, derandomize=False)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=300, print_blob=True, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Started in the background of a script, tests inherit that Ctrl-C is ignored, and so would every command that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_LEFT_OUT = "tier left out: "
SLOW_SECONDS = 900


@pytest.fixture(scope="session")
def leave_out() -> Callable[[str, str], NoReturn]:
    """Leave a tier out for a reason; a failure where every tier is required."""

    def leave(tier: str, reason: str) -> NoReturn:
        if os.environ.get("CODERUN_REQUIRE") == "all":
            pytest.fail(f"{tier}: {reason}, and CODERUN_REQUIRE=all", pytrace=False)
        pytest.skip(f"{_LEFT_OUT}{tier}: {reason}")

    return leave


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What is marked as slow may take long on a small machine that is busy; a hang still ends.
    for item in items:
        whole_plays = "acceptance" in item.path.parts and item.path.name != "test_way_to_merge.py"
        whole_forges = "fakegithub" in item.path.parts or item.path.name == "test_github_contract.py"
        clusters = "cluster" in item.path.parts or "helm" in getattr(item, "fixturenames", ())
        if whole_plays or whole_forges or clusters or item.get_closest_marker("claude") is not None:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow") is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons: set[str] = set()
    for report in terminalreporter.stats.get("skipped", []):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons.add(text.removeprefix("Skipped: "))
    terminalreporter.section("tiers of tests")
    if not reasons:
        terminalreporter.line("every tier that was asked for ran")
    for reason in sorted(reasons):
        terminalreporter.line(f"left out: {reason.removeprefix(_LEFT_OUT)}")

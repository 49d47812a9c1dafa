"""What a repository looks like to somebody who sets it up: which checks its files suggest, which agent CLIs there are.

It looks at a few well-known files and at the PATH; it runs nothing, and what it finds is a suggestion only.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any, Final

import msgspec

from coderun.app.tasks import find_tasks_file
from coderun.app.textfiles import read_inside
from coderun.model.errors import ConfigError

_AGENT_CLIS: Final = ("claude", "codex", "opencode")
"""Kinds of agent CLIs; the program on the PATH has the same name."""

_MAKE_TARGET = re.compile(r"^(test|check|lint)\s*:(?!=)", re.MULTILINE)
_NO_TEST: Final = "no test specified"
_NODE_RUNNERS: Final = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun"}


class SuggestedCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A check that a file of the repository suggests."""

    name: str
    run: str


def suggest_checks(repository: Path) -> list[SuggestedCheck]:
    """Checks in the order they should run. A Makefile that has a test target speaks for the whole repository."""
    return _make_checks(repository) or [
        *_python_checks(repository),
        *_node_checks(repository),
        *_rust_checks(repository),
        *_go_checks(repository),
    ]


def find_agent_programs(search_path: str) -> dict[str, str]:
    """Paths of the agent CLIs that are on `search_path`, by kind."""
    found = {kind: shutil.which(kind, path=search_path) for kind in _AGENT_CLIS}
    return {kind: path for kind, path in found.items() if path}


def has_tasks(repository: Path) -> bool:
    """Whether there is a list of tasks."""
    return find_tasks_file(repository) is not None


def _make_checks(repository: Path) -> list[SuggestedCheck]:
    name = next((name for name in ("GNUmakefile", "makefile", "Makefile") if (repository / name).is_file()), None)
    targets = set(_MAKE_TARGET.findall(_text(repository, name))) if name else set()
    if not targets & {"test", "check"}:
        return []
    tests = "test" if "test" in targets else "check"
    lint = [SuggestedCheck(name="lint", run="make lint")] if "lint" in targets else []
    return [*lint, SuggestedCheck(name=tests, run=f"make {tests}")]


def _python_checks(repository: Path) -> list[SuggestedCheck]:
    markers = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt")
    folder = next((name for name in ("tests", "test") if (repository / name).is_dir()), None)
    has_test_files = folder is not None and any((repository / folder).glob("**/test*.py"))
    if not any((repository / name).is_file() for name in markers) and not has_test_files:
        return []
    settings = "".join(_text(repository, name) for name in (*markers, "tox.ini", "requirements-dev.txt"))
    own_files = ("pytest.ini", "conftest.py", "tests/conftest.py")
    if "pytest" in settings or any((repository / name).is_file() for name in own_files):
        return [SuggestedCheck(name="test", run="python3 -m pytest")]
    return [SuggestedCheck(name="test", run=f"python3 -m unittest discover{f' -s {folder} -t .' if folder else ''}")]


def _node_checks(repository: Path) -> list[SuggestedCheck]:
    scripts = _node_scripts(_text(repository, "package.json"))
    runner = next((runner for lock, runner in _NODE_RUNNERS.items() if (repository / lock).is_file()), "npm")
    checks = [SuggestedCheck(name="lint", run=f"{runner} run lint")] if "lint" in scripts else []
    tests = scripts.get("test")
    if isinstance(tests, str) and _NO_TEST not in tests:
        checks.append(SuggestedCheck(name="test", run=f"{runner} run test" if runner == "bun" else f"{runner} test"))
    return checks


def _node_scripts(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    scripts = data.get("scripts") if isinstance(data, dict) else None
    return scripts if isinstance(scripts, dict) else {}


def _rust_checks(repository: Path) -> list[SuggestedCheck]:
    return [SuggestedCheck(name="cargo-test", run="cargo test")] if (repository / "Cargo.toml").is_file() else []


def _go_checks(repository: Path) -> list[SuggestedCheck]:
    return [SuggestedCheck(name="go-test", run="go test ./...")] if (repository / "go.mod").is_file() else []


def _text(repository: Path, name: str) -> str:
    path = repository / name
    try:
        return (read_inside(repository, path) or "") if path.is_file() else ""
    except (ConfigError, OSError):
        return ""  # unreadable: it suggests nothing

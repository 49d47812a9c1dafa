"""Prometheus' own parser of queries, built from its module and kept in the user's cache."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.cluster.harness import UnavailableError, cache
from tests.cluster.harness.programs import go

_MODULE: Final = Path(__file__).parent / "go" / "promql"


def complaints(queries: Iterable[str]) -> list[str]:
    """What it has against each of these queries; nothing where all are right.

    Raises:
        UnavailableError: It cannot be built here.
    """
    text = "".join(query.replace("\n", "\\n") + "\n" for query in queries)
    done = subprocess.run([_program()], input=text, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def _program() -> Path:
    key = cache.digest(*sorted(_MODULE.iterdir()))
    return cache.keep(cache.root() / f"promql-{key}" / "promql", _build)


def _build(part: Path) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    command = ["nice", "-n", "10", go(), "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w", "-o", str(part), "."]
    done = subprocess.run(command, cwd=_MODULE, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"Prometheus' parser cannot be built: {done.stderr.strip()[-600:]}")

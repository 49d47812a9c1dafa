"""Custom resource definitions of others that the chart has objects of, out of their Go modules; kept in the user's cache."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from tests.cluster.harness import UnavailableError, cache
from tests.cluster.harness.programs import go


class _Source(NamedTuple):
    module: str
    version: str
    file: str


_SOURCES: Final = (
    _Source("sigs.k8s.io/gateway-api", "v1.4.0", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"),
    *(
        _Source(
            "github.com/prometheus-operator/prometheus-operator",
            "v0.85.0",
            f"example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml",
        )
        for plural in ("servicemonitors", "prometheusrules")
    ),
)


def definitions() -> list[dict[str, Any]]:
    """The definitions of HTTPRoute, ServiceMonitor and PrometheusRule.

    Raises:
        UnavailableError: There is no Go, or a module cannot be had.
    """
    return [yaml.load(_kept(source).read_text("utf-8"), Loader=yaml.CSafeLoader) for source in _SOURCES]


def _kept(source: _Source) -> Path:
    name = f"{cache.digest(*source)}-{Path(source.file).name}"
    return cache.keep(cache.root() / "definitions" / name, lambda part: _fetch(source, part))


def _fetch(source: _Source, part: Path) -> None:
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    command = [go(), "mod", "download", "-json", f"{source.module}@{source.version}"]
    done = subprocess.run(command, env=environment, cwd=part.parent, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout or "{}")
    if done.returncode or "Dir" not in said:
        raise UnavailableError(f"`{' '.join(command[1:])}` failed: {said.get('Error', done.stderr)[-400:]}")
    shutil.copyfile(Path(said["Dir"]) / source.file, part)
    part.chmod(0o644)

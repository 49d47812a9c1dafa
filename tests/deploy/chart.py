"""The chart as `helm` renders it, for tests."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from tests.deploy.chart_files import CHART

VALUES: Final = {path.stem: path for path in sorted((Path(__file__).parent / "values").glob("*.yaml"))}
SETS: Final = ("defaults", *VALUES)
RELEASE: Final = "main"
NAMESPACE: Final = "coderun"
KUBERNETES: Final = "1.34.0"


class Helm(NamedTuple):
    """The real `helm`."""

    program: str

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True, check=False)

    def render(self, *arguments: str | Path) -> "Rendered":
        """The manifests for these values."""
        done = self.run("template", RELEASE, CHART, "-n", NAMESPACE, "--kube-version", KUBERNETES, *arguments)
        assert done.returncode == 0, done.stderr
        return Rendered([one for one in yaml.safe_load_all(done.stdout) if one], done.stdout)

    def refusal(self, *arguments: str | Path) -> str:
        """What is said of values that are refused."""
        done = self.run("template", RELEASE, CHART, "-n", NAMESPACE, "--kube-version", KUBERNETES, *arguments)
        assert done.returncode != 0, done.stdout
        return done.stderr


class Rendered(NamedTuple):
    """Manifests."""

    objects: list[dict[str, Any]]
    text: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, name: str = "", namespace: str = "") -> dict[str, Any]:
        [found] = [
            one
            for one in self.of(kind)
            if (not name or one["metadata"]["name"] == name) and (not namespace or one["metadata"]["namespace"] == namespace)
        ]
        return found

    @property
    def config(self) -> str:
        """coderun.yaml of the controller."""
        [found] = [one["data"]["coderun.yaml"] for one in self.of("ConfigMap") if "coderun.yaml" in one["data"]]
        text: str = found
        return text

    @property
    def pod(self) -> dict[str, Any]:
        """Pod of the controller."""
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec


def values_of(name: str) -> list[str | Path]:
    """Arguments for a set of values."""
    return [] if name == "defaults" else ["-f", VALUES[name]]


def write_values(folder: Path, values: Mapping[str, Any]) -> list[str | Path]:
    """Arguments for these values."""
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
    return ["-f", path]

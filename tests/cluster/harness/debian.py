"""Debian's part of a node: container runtime, network plugins, and what builds an image.

It is installed where root and apt are at hand.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.cluster.harness import cache
from tests.cluster.harness.errors import UnavailableError

NODE = ("containerd", "ctr", "runc", "host-local", "iptables", "conntrack", "ip", "nsenter", "unshare", "setpriv")
NETWORK_POLICIES = ("iptables", "ipset")
IMAGE = ("debootstrap", "busybox")

_PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "host-local": "containernetworking-plugins",
    "iptables": "iptables",
    "ipset": "ipset",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "debootstrap": "debootstrap",
    "busybox": "busybox-static",
}
_SEARCHED = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/lib/cni", "/opt/cni/bin")


@functools.cache
def tool(name: str) -> Path:
    """A program of Debian's, wherever it stands.

    Raises:
        UnavailableError: It is absent.
    """
    found = shutil.which(name) or shutil.which(name, path=":".join(_SEARCHED))
    if found is None:
        raise UnavailableError(f"{name} is absent (Debian package {_PACKAGES[name]})")
    return Path(found)


def need(names: Iterable[str]) -> None:
    """Have these programs, installing what is absent.

    Raises:
        UnavailableError: Something is absent and cannot be installed here.
    """
    if not _absent(names):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise UnavailableError(f"absent, and only root with apt can install them: {', '.join(_absent(names))}")
    with cache.locked(cache.root() / ".apt.lock"):
        packages = sorted({_PACKAGES[name] for name in _absent(names)})
        if packages:
            sys.stderr.write(f"installing {', '.join(packages)} ...\n")
            _apt("update", "--quiet")
            _apt("install", "--quiet", "--yes", "--no-install-recommends", "--no-remove", *packages)
    if _absent(names):
        raise UnavailableError(f"still absent after an install: {', '.join(_absent(names))}")


def _absent(names: Iterable[str]) -> list[str]:
    return [name for name in names if not (shutil.which(name) or shutil.which(name, path=":".join(_SEARCHED)))]


def _apt(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"`apt-get {' '.join(arguments)}` failed: {(done.stderr or done.stdout).strip()[-500:]}")

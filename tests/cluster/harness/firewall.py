"""What enforces NetworkPolicies on a node: kube-router, with its firewall alone.

It writes rules for iptables and sets of addresses for ipset.
"""

from pathlib import Path

from tests.cluster.harness import debian, programs
from tests.cluster.harness.debian import tool
from tests.cluster.harness.errors import BrokenError, UnavailableError
from tests.cluster.harness.processes import run
from tests.cluster.harness.programs import program

SYNCED = "sync iptables took"
"""What it says once the rules for all policies and pods that it knows are in place."""

_BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_TRIAL = "coderun-trial"


def need() -> None:
    """Have its programs, built and installed now where no earlier run did.

    Raises:
        UnavailableError: This machine cannot have them.
    """
    debian.need(debian.NETWORK_POLICIES)
    for name in programs.NETWORK_POLICIES:
        program(name)


def try_out(inside: tuple[str, ...]) -> None:
    """See whether the kernel has what the rules are made of, behind a prefix of commands.

    Raises:
        UnavailableError: It has not; with its words.
    """
    iptables = str(tool("iptables"))
    try:
        run(*inside, tool("ipset"), "create", _TRIAL, "hash:net")
        run(*inside, iptables, "-N", _TRIAL)
        run(*inside, iptables, "-A", _TRIAL, "-m", "set", "--match-set", _TRIAL, "dst", "-j", "REJECT")
        run(*inside, iptables, "-F", _TRIAL)
        run(*inside, iptables, "-X", _TRIAL)
        run(*inside, tool("ipset"), "destroy", _TRIAL)
    except BrokenError as error:
        raise UnavailableError(f"this kernel matches no sets of addresses: {error}") from error
    try:
        # Pods of one node speak over its bridge, which the rules do not see by themselves.
        run(*inside, "sh", "-c", f"[ -e {_BRIDGED} ] || modprobe br_netfilter; echo 1 > {_BRIDGED}")
    except BrokenError as error:
        raise UnavailableError(f"this kernel shows what passes a bridge to no firewall (br_netfilter): {error}") from error


def arguments(kubeconfig: Path, node: str, services: str) -> list[str]:
    """How it is started as a firewall and nothing else."""
    return [
        *("--run-firewall=true", "--run-router=false", "--run-service-proxy=false"),
        *(f"--kubeconfig={kubeconfig}", f"--hostname-override={node}", f"--service-cluster-ip-range={services}"),
        *("--health-port=0", "--metrics-port=0", "--v=1"),
    ]

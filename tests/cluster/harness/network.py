"""The network of one node: a pair of interfaces between this machine and the node's network namespace, with private addresses.

The number of a network is part of every address in it, so several nodes stand side by side; the name of the interface on
this machine is the reservation.
"""

import random
from dataclasses import dataclass

from tests.cluster.harness.debian import tool
from tests.cluster.harness.errors import BrokenError, UnavailableError
from tests.cluster.harness.processes import run

_TRIES = 20


@dataclass(frozen=True)
class Network:
    """Addresses of one node's network."""

    number: int

    @property
    def interface(self) -> str:
        return f"coderun{self.number}"

    @property
    def host(self) -> str:
        """This machine, as the node and its pods reach it."""
        return f"10.200.{self.number}.1"

    @property
    def node(self) -> str:
        return f"10.200.{self.number}.2"

    @property
    def pods(self) -> str:
        return f"10.201.{self.number}.0/24"

    @property
    def services(self) -> str:
        return f"10.202.{self.number}.0/24"

    def remove(self) -> None:
        """Free the number; the node's end goes with this one. Where the node is gone, so is the pair."""
        try:
            run(tool("ip"), "link", "delete", self.interface)
        except BrokenError as error:
            if "Cannot find device" not in str(error):
                raise


def reserve(pid: int, inside: tuple[str, ...]) -> Network:
    """A network between this machine and the namespace of a process; `inside` is the prefix of commands that run in there.

    Pods and services are reached from here through the node, too.

    Raises:
        UnavailableError: The machine refuses the interfaces.
    """
    network, ip = _reserve(pid), str(tool("ip"))
    try:
        for command in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{network.node}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", network.host),
        ):
            run(*inside, ip, *command)
        run(ip, "address", "add", f"{network.host}/24", "dev", network.interface)
        run(ip, "link", "set", network.interface, "up")
        run(ip, "route", "add", network.pods, "via", network.node)
        run(ip, "route", "add", network.services, "via", network.node)
    except BaseException:
        network.remove()
        raise
    return network


def _reserve(pid: int) -> Network:
    refusal = ""
    for number in random.sample(range(1, 255), _TRIES):
        network = Network(number)
        try:
            pair = ("link", "add", network.interface, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
            run(tool("ip"), *pair)
        except BrokenError as error:
            refusal = str(error)
        else:
            return network
    raise UnavailableError(f"no pair of interfaces to be had: {refusal}")

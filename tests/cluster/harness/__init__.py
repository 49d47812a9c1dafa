"""A real Kubernetes for tests: a control plane, and a node with containers where the machine allows it.

Everything is built or installed here (Go modules, Debian packages), started in a folder of its own and gone with its context.
"""

from tests.cluster.harness.control_plane import ClientFiles, ControlPlane
from tests.cluster.harness.errors import BrokenError, UnavailableError
from tests.cluster.harness.node import Node

__all__ = ["BrokenError", "ClientFiles", "ControlPlane", "Node", "UnavailableError"]

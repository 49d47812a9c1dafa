"""A Kubernetes API server for tests, in memory: what users of the API can rely on, held to the real one by a contract.

`tests/contracts/apiserver_contract.py` runs on this and on a real kube-apiserver. Here: discovery, the kinds of
`resources.BUILTIN`, custom resources with pruning, defaults, checks and CEL rules, server-side apply, watches, the garbage
collector, faults. Not here: controllers (Jobs make no pods), admission plug-ins, Table output, OpenAPI documents, protobuf,
TLS.
"""

from tests.fakes.apiserver.access import Rule
from tests.fakes.apiserver.errors import StatusError
from tests.fakes.apiserver.faults import Fault, FaultKind
from tests.fakes.apiserver.server import FakeApiServer

__all__ = ["FakeApiServer", "Fault", "FaultKind", "Rule", "StatusError"]

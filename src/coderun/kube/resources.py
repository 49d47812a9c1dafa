"""Which kinds of the Kubernetes API we speak of, and where each of them lives. Pure."""

import functools
from typing import Final
from urllib.parse import quote

import msgspec

from coderun.model.names import GROUP


class Resource(msgspec.Struct, frozen=True):
    """A namespaced kind of the API.

    Attributes:
        group: "" is the core group.
        plural: As it stands in paths.
    """

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """What stands in `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def kinds(self) -> str:
        """Several of them, for people."""
        return f"{self.kind[:-1]}ies" if self.plural.endswith("ies") else f"{self.kind}s"

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Path of the collection, of one object or of a subresource of it. Every part is quoted."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        below = "".join(f"/{_quoted(part)}" for part in (name, subresource) if part)
        return f"{root}/namespaces/{_quoted(namespace)}/{_quoted(self.plural)}{below}"


@functools.lru_cache(maxsize=1024)
def _quoted(part: str) -> str:
    return quote(part, safe="")


CODERUNS: Final = Resource(GROUP, "v1", "coderuns", "CodeRun")
PLAYS: Final = Resource(GROUP, "v1", "plays", "Play")
DOCSRUNS: Final = Resource(GROUP, "v1", "docsruns", "DocsRun")
DELIVERIES: Final = Resource(GROUP, "v1", "deliveries", "Delivery")
JOBS: Final = Resource("batch", "v1", "jobs", "Job")
PODS: Final = Resource("", "v1", "pods", "Pod")
CONFIGMAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS: Final = Resource("", "v1", "secrets", "Secret")
VOLUME_CLAIMS: Final = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount")
EVENTS: Final = Resource("", "v1", "events", "Event")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")

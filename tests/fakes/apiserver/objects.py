"""Objects as a test handles them: without HTTP, as plain JSON."""

from collections.abc import Callable
from typing import Any

from tests.fakes.apiserver.catalog import Catalog
from tests.fakes.apiserver.deleting import Deleter, Deletion
from tests.fakes.apiserver.resources import Resource
from tests.fakes.apiserver.schema import Json
from tests.fakes.apiserver.storage import Storage, Stored
from tests.fakes.apiserver.typed import copied
from tests.fakes.apiserver.writing import Options, Place, Writer

MANAGER = "a-test"


class Objects:
    """Objects by their resource's full name: `pods`, `jobs.batch`, `coderuns.agents.platform`."""

    def __init__(
        self,
        storage: Storage,
        catalog: Catalog,
        writer: Writer,
        deleter: Deleter,
        touched: Callable[[Resource, Stored], None],
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._writer = writer
        self._deleter = deleter
        self._touched = touched

    def get(self, full: str, namespace: str, name: str) -> Json | None:
        """A copy of the object, None where there is none."""
        resource = self._resource(full)
        found = self._storage.get(resource.table, (namespace, name))
        return _whole(resource, found) if found is not None else None

    def all(self, full: str, namespace: str = "") -> list[Json]:
        """Copies of all objects of a namespace, or of all."""
        resource = self._resource(full)
        return [_whole(resource, one) for one in self._storage.all_of(resource.table, namespace)]

    def create(self, manifest: Json) -> Json:
        """Create an object, with its status where it has one. Raises `StatusError` as the server would answer."""
        resource = self._of_manifest(manifest)
        namespace = manifest["metadata"].get("namespace", "default") if resource.namespaced else ""
        body = copied(manifest)
        place = Place(resource=resource, namespace=namespace)
        done = self._writer.create(place, body, Options(manager=MANAGER))
        self._touched(resource, done.stored)
        if manifest.get("status") and resource.has_status and resource.is_custom:
            return self.set_status(resource.full, namespace, done.stored.meta["name"], manifest["status"])
        return _whole(resource, done.stored)

    def patch(self, full: str, namespace: str, name: str, patch: Json) -> Json:
        """Change an object by a merge patch."""
        return self._patch(full, namespace, name, patch, "")

    def set_status(self, full: str, namespace: str, name: str, status: Json) -> Json:
        """Merge into an object's status, as its kubelet or controller would."""
        return self._patch(full, namespace, name, {"status": status}, "status")

    def delete(
        self, full: str, namespace: str, name: str, *, grace: int | None = None, propagation: str = "Background"
    ) -> None:
        """Delete an object."""
        resource = self._resource(full)
        place = Place(resource=resource, namespace=namespace, name=name)
        done = self._deleter.delete(place, Deletion(grace=grace, propagation=propagation))
        self._touched(resource, done.stored)

    def _patch(self, full: str, namespace: str, name: str, patch: Json, subresource: str) -> Json:
        resource = self._resource(full)
        place = Place(resource=resource, namespace=namespace, name=name, subresource=subresource)
        kind = "application/merge-patch+json"
        done = self._writer.patch(place, kind, copied(patch), Options(manager=MANAGER))
        self._touched(resource, done.stored)
        return _whole(resource, done.stored)

    def _resource(self, full: str) -> Resource:
        plural, _, group = full.partition(".")
        found = self._catalog.at((group, plural))
        if found is None:
            raise KeyError(f"there is no resource {full}")
        return found

    def _of_manifest(self, manifest: Json) -> Resource:
        wanted: tuple[Any, Any] = (manifest.get("apiVersion"), manifest.get("kind"))
        for one in self._catalog.all():
            if (one.api_version, one.kind) == wanted:
                found = self._catalog.find(one.group, one.version, one.plural)
                assert found is not None
                return found
        raise KeyError(f"there is no kind {wanted[1]} in {wanted[0]}")


def _whole(resource: Resource, stored: Stored) -> Json:
    found: Json = copied({"apiVersion": resource.api_version, "kind": resource.kind, **stored.value})
    return found

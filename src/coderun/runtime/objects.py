"""Making the objects of a run in a cluster, and whose an object is that is there already.

Below the Job runtime. A name that is taken is looked at before it is used: ours is used, an earlier run's is waited for,
anybody else's is never touched.
"""

from typing import TypeVar

from coderun.kube.api import Api
from coderun.kube.errors import ForbiddenError
from coderun.kube.manifests import Manifest
from coderun.kube.objects import HasMeta, KubeMeta
from coderun.kube.resources import Resource
from coderun.model.errors import (
    AlreadyExistsError,
    ClusterUnavailableError,
    InvalidCodeRunError,
    OwnershipConflictError,
    RefusedError,
)
from coderun.model.names import LABEL_JOB
from coderun.plan.order import RunPlan

T = TypeVar("T", bound=HasMeta)


class Maker:
    """Creates objects of runs in one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    async def ensure(self, resource: Resource, manifest: Manifest, plan: RunPlan, type_: type[T]) -> T:
        """Create it, or take the one that is there where it is this run's.

        Raises: as `create` and `check`, but never `AlreadyExistsError`.
        """
        try:
            return await self.create(resource, manifest, type_)
        except AlreadyExistsError:
            found = await self.existing(resource, manifest["metadata"]["name"], type_)
        self.check(found.metadata, resource.kind, plan)
        return found

    async def create(self, resource: Resource, manifest: Manifest, type_: type[T]) -> T:
        """Create it.

        Raises:
            AlreadyExistsError: there is one of that name.
            InvalidCodeRunError: the API server refuses this object, and would again.
            ForbiddenError: we may not; whoever grants rights has to act.
            ClusterUnavailableError: not now; a quota that is used up counts as that.
        """
        try:
            return await self.api.create(resource, self.namespace, manifest, type_)
        except ForbiddenError:
            raise
        except RefusedError as error:
            raise InvalidCodeRunError(str(error)) from error

    async def existing(self, resource: Resource, name: str, type_: type[T]) -> T:
        """The one that made a creation fail. Raises `ClusterUnavailableError` where it is gone again."""
        found = await self.api.get(resource, self.namespace, name, type_)
        if found is None:
            raise ClusterUnavailableError(f"{resource.kind} {name!r} in namespace {self.namespace!r} was there and is gone")
        return found

    def check(self, meta: KubeMeta, kind: str, plan: RunPlan) -> None:
        """Whether an object of a wanted name is this run's.

        Raises:
            OwnershipConflictError: it is somebody else's.
            ClusterUnavailableError: it is an earlier CodeRun's of the same name, and on its way out.
        """
        owner = plan.owner
        is_older = owner is not None and any(
            (one.kind, one.name) == (owner.kind, owner.name) and one.uid != owner.uid for one in meta.owner_references
        )
        if is_older or meta.deletion_timestamp is not None:
            raise ClusterUnavailableError(
                f"CodeRun {plan.order.coderun!r} cannot start: {kind} {meta.name!r} of an earlier one is still being removed"
            )
        if meta.labels.get(LABEL_JOB) == plan.job if owner is None else meta.is_owned_by(owner.uid):
            return
        owners = ", ".join(f"{one.kind} {one.name}" for one in meta.owner_references) or "nobody we know"
        raise OwnershipConflictError(
            f"CodeRun {plan.order.coderun!r} needs {kind} {meta.name!r} in namespace {self.namespace!r}, and one of that name "
            f"belongs to {owners}; remove it, or give the CodeRun another name"
        )

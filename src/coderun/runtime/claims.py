"""Workspaces in a cluster: one volume claim for each agent of a service, made when it is first needed and never removed.

Below the Job runtime. A claim that the operator made beforehand is used as it is; one that all agents of a service once shared
goes on as the implementation agent's where the settings say so, and as no second agent's.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from coderun.kube import manifests
from coderun.kube.manifests import JobSettings
from coderun.kube.objects import Bare, KubeMeta
from coderun.kube.resources import VOLUME_CLAIMS
from coderun.model.errors import AlreadyExistsError, ClusterUnavailableError, OwnershipConflictError, WriteConflictError
from coderun.model.names import LABEL_AGENT, LABEL_SERVICE
from coderun.plan.order import RunPlan
from coderun.runtime.objects import Maker

KNOWN_FOR: Final = 60.0
"""How long (seconds) a claim that was seen is not looked for again by the same job."""


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The claim of a workspace, and for which job it was last seen."""

    claim: str
    job: str
    at: float


class Claims:
    """The volume claims of one namespace. `clock` only ever goes forward."""

    def __init__(self, maker: Maker, settings: JobSettings, clock: Callable[[], float]) -> None:
        self._maker = maker
        self._settings = settings
        self._clock = clock
        self._claims: dict[str, _Seen] = {}

    async def claim_of(self, plan: RunPlan) -> str:
        """Name of the volume claim of the run's workspace; made where it is not there.

        Each job looks for itself: people remove a claim and try again at once, and a pod without its claim waits for hours.

        Raises: as `Maker.create`; `OwnershipConflictError` where it is another agent's or service's workspace.
        """
        known = self._claims.get(plan.workspace)
        if known is not None and known.job == plan.job and self._clock() - known.at < KNOWN_FOR:
            return known.claim
        claim = await self._adopted(plan) if self._may_adopt(plan) else ""
        if not claim:
            claim = await self._own_claim(plan, is_new=known is None)
        self._claims[plan.workspace] = _Seen(claim=claim, job=plan.job, at=self._clock())
        return claim

    async def _own_claim(self, plan: RunPlan, *, is_new: bool) -> str:
        found = None if is_new else await self._maker.api.get(VOLUME_CLAIMS, self._maker.namespace, plan.workspace, Bare)
        if found is None:
            try:
                found = await self._maker.create(VOLUME_CLAIMS, manifests.workspace_claim(plan, self._settings), Bare)
            except AlreadyExistsError:
                found = await self._maker.existing(VOLUME_CLAIMS, plan.workspace, Bare)
        self._check_workspace(found.metadata, plan)
        return plan.workspace

    def _may_adopt(self, plan: RunPlan) -> bool:
        return self._settings.adopt_legacy and plan.order.agent.role == "implementation"

    async def _adopted(self, plan: RunPlan) -> str:
        """The claim all agents of a service once shared, where it is there and nobody else has adopted it; "" for none."""
        name = manifests.legacy_workspace(plan)
        legacy = await self._maker.api.get(VOLUME_CLAIMS, self._maker.namespace, name, Bare)
        if legacy is None or legacy.metadata.labels.get(LABEL_AGENT, plan.order.agent.name) != plan.order.agent.name:
            return ""
        if LABEL_AGENT not in legacy.metadata.labels:
            if await self._maker.api.get(VOLUME_CLAIMS, self._maker.namespace, plan.workspace, Bare) is not None:
                return ""
            labels = {LABEL_AGENT: plan.order.agent.name, LABEL_SERVICE: plan.order.service}
            # With the version that was read: of two agents that want it, one gets it.
            meta = {"labels": labels, "uid": legacy.metadata.uid, "resourceVersion": legacy.metadata.resource_version}
            try:
                await self._maker.api.patch(VOLUME_CLAIMS, self._maker.namespace, name, {"metadata": meta}, Bare)
            except WriteConflictError as error:
                raise ClusterUnavailableError(str(error)) from error
        return name

    def _check_workspace(self, meta: KubeMeta, plan: RunPlan) -> None:
        if meta.deletion_timestamp is not None:
            raise ClusterUnavailableError(f"workspace {meta.name!r} of CodeRun {plan.order.coderun!r} is being deleted")
        whose = (meta.labels.get(LABEL_SERVICE), meta.labels.get(LABEL_AGENT))
        if whose not in {(None, None), (plan.order.service, plan.order.agent.name)}:
            raise OwnershipConflictError(
                f"CodeRun {plan.order.coderun!r}: volume claim {meta.name!r} is the workspace of agent {whose[1]!r} for "
                f"service {whose[0]!r}, not of {plan.order.agent.name!r} for {plan.order.service!r}; rename one of the services"
            )

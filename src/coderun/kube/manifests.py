"""From the plan of a run and the settings of a cluster to the objects that are made for it. Pure: same plan, same bytes.

Every object of a run has the CodeRun as its controller from the first write and carries all labels of the run; the workspace's
volume claim belongs to nobody, because it outlives runs. What a pod may do is as little as it needs: the `restricted` pod
security standard admits it (unless it has a Docker daemon of its own), and no service account token is mounted where the roster
grants no account.
"""

import base64
from typing import Any, Final, TypeAlias

import msgspec

from coderun.kube.bundle import START_SCRIPT, Parcel
from coderun.model.cluster import ClusterSettings, WorkspaceSettings
from coderun.model.coderun import SecretEnvVar
from coderun.model.errors import InvalidCodeRunError
from coderun.model.names import LABEL_AGENT, LABEL_JOB, LABEL_SERVICE
from coderun.plan.order import Owner, RunPlan

Manifest: TypeAlias = dict[str, Any]
"""An object as it goes to the API server."""

CONTAINER: Final = "agent"
DOCKER: Final = "docker"
TOKEN_KEY: Final = "token"  # noqa: S105 - the name of a key
STOP_REASON: Final = "agents.platform/stop-reason"
"""Annotation of a Job, or of the token Secret of one that was not started: why it shall end."""

CLAIM: Final = "agents.platform/workspace"
"""Annotation of a Job: the volume claim of its workspace."""

FILES: Final = "agents.platform/files"
"""Annotation of a Job: its ConfigMaps, with commas between them."""

SECRET_PREFIX: Final = "CODERUN_SECRET_"  # noqa: S105 - the beginning of names
PLAIN_PREFIX: Final = "CODERUN_PLAIN_"
"""Variables of the pod that the runner hands to the agent without the prefix; those of the first are kept out of every log."""

ORDER_FOLDER: Final = "/etc/coderun/order"
TOKEN_FOLDER: Final = "/etc/coderun/token"  # noqa: S105 - a folder
RUNS_FOLDER: Final = "/run/coderun"
WORKSPACE_FOLDER: Final = "/workspace"
TMP_FOLDER: Final = "/tmp"  # noqa: S108 - a volume of the pod's own
DOCKER_FOLDER: Final = "/var/run/docker"
TERMINATION_LOG: Final = "/dev/termination-log"

RUNS_SIZE: Final = "1Gi"
"""Limit of the run folder: its output is cut long before."""

GRACE_SECONDS: Final = 120
"""From the polite stop of a pod to its end: what the runner needs to save work and report, with room to spare."""


class JobSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How runs look in a cluster.

    Attributes:
        image: Of the agent container.
        storage_class: Of workspaces; "" takes the cluster's default.
        adopt_legacy: Whether an existing volume claim `workspace-{service}` goes on as the implementation agent's.
        requests, limits: Resources of the agent container by name (`cpu`, `memory`, …).
        service_account: For pods whose agent has none of its own; "" is the namespace's default. Its token is never mounted.
        env: Plain variables of the runner (proxies, certificates).
        login: Variables of the runner from Secrets: the keys of model providers; they reach the agent CLIs that need them.
        reserved_secrets: Secrets that no run may ask for: keys of Apps above all.
        docker_image: Image of the Docker daemon beside an agent; "" allows no CodeRun to ask for one.
        start_seconds: How long a pod may take to be scheduled and pulled before its time limit begins to count.
        tmp_size: Limit of the pod's temporary files.
    """

    image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    storage_class: str = ""
    workspace_size: str = "10Gi"
    access_mode: str = "ReadWriteOnce"
    adopt_legacy: bool = False
    requests: dict[str, str] = msgspec.field(default_factory=lambda: {"cpu": "500m", "memory": "1Gi"})
    limits: dict[str, str] = msgspec.field(default_factory=lambda: {"memory": "8Gi"})
    service_account: str = ""
    user: int = 1000
    env: dict[str, str] = {}
    login: tuple[SecretEnvVar, ...] = ()
    reserved_secrets: tuple[str, ...] = ()
    docker_image: str = ""
    start_seconds: int = 900
    tmp_size: str = "2Gi"
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    affinity: dict[str, Any] = {}
    priority_class: str = ""
    runtime_class: str = ""

    @classmethod
    def of(cls, cluster: ClusterSettings, workspaces: WorkspaceSettings) -> "JobSettings":
        """As the configuration of a cluster's controller says."""
        said = {name: getattr(cluster, name) for name in cluster.__struct_fields__}
        return cls(
            **{**said, "image_pull_policy": cluster.image_pull_policy.value},
            storage_class=workspaces.storage_class,
            workspace_size=workspaces.size,
            access_mode=workspaces.access_mode.value,
            adopt_legacy=workspaces.adopt_legacy,
        )


def files_name(job: str, parcel: Parcel) -> str:
    """Name of the ConfigMap of a parcel: it changes with the content."""
    return f"{job}-{parcel.digest}"


def token_name(job: str) -> str:
    """Name of the Secret with a job's forge token."""
    return f"{job}-token"


def is_token_name(secret: str) -> bool:
    """Whether a Secret of that name may hold the token of a run."""
    return secret.startswith("coderun-") and secret.endswith("-token")


def check_allowed(plan: RunPlan, settings: JobSettings) -> None:
    """Raise `InvalidCodeRunError` where the run asks for what this installation does not give."""
    run = plan.order.coderun
    if plan.needs.docker and not settings.docker_image:
        raise InvalidCodeRunError(
            f"CodeRun {run!r}: spec.enableDocker asks for a Docker daemon, which this installation does not allow "
            "(the operator may set a Docker image for agents); set it to false"
        )
    asked = {*(one.secret_name for one in plan.needs.secret_env), *plan.needs.secret_sets}
    for secret in sorted(asked):
        if secret in settings.reserved_secrets or is_token_name(secret):
            raise InvalidCodeRunError(
                f"CodeRun {run!r} asks for variables from Secret {secret!r}, which is the controller's own and no run may read"
            )


def workspace_claim(plan: RunPlan, settings: JobSettings) -> Manifest:
    """The volume claim of the run's workspace. It has no owner: work in it outlives every run."""
    spec: Manifest = {
        "accessModes": [settings.access_mode],
        "resources": {"requests": {"storage": settings.workspace_size}},
    }
    if settings.storage_class:
        spec["storageClassName"] = settings.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": plan.workspace, "labels": workspace_labels(plan)},
        "spec": spec,
    }


def workspace_labels(plan: RunPlan) -> dict[str, str]:
    """Labels of a workspace: whose it is, and nothing of one run."""
    kept = (LABEL_SERVICE, LABEL_AGENT, "service", "github-app")
    labels = {key: value for key, value in plan.labels.items() if key in kept or key.startswith("app.kubernetes.io/")}
    return {**labels, LABEL_SERVICE: plan.order.service, LABEL_AGENT: plan.order.agent.name}


def legacy_workspace(plan: RunPlan) -> str:
    """Name of the volume claim that all agents of a service once shared."""
    return f"workspace-{plan.order.service}"


def files_map(plan: RunPlan, parcel: Parcel) -> Manifest:
    """One ConfigMap of the run's files; immutable, because a pod reads it."""
    name = files_name(plan.job, parcel)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(plan, name),
        "immutable": True,
        **parcel.fields(),
    }


def token_secret(plan: RunPlan) -> Manifest:
    """The Secret with the run's forge token; it is mounted as a folder, so that a renewed one arrives in the pod."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(plan, token_name(plan.job)),
        "type": "Opaque",
        "data": token_data(plan.token),
    }


def token_data(token: str) -> dict[str, str]:
    """The data of a token Secret."""
    return {TOKEN_KEY: base64.b64encode(token.encode()).decode()}


def token_in(data: dict[str, str]) -> str:
    """The token in such data, "" where there is none that could be one."""
    try:
        return base64.b64decode(data.get(TOKEN_KEY, ""), validate=True).decode("ascii").strip()
    except ValueError:
        return ""


def job(plan: RunPlan, settings: JobSettings, parcels: tuple[Parcel, ...], *, claim: str, stopped: str = "") -> Manifest:
    """The Job of one attempt: one pod, once.

    `claim` is the volume claim of its workspace. With `stopped`, a reason, it is made for the record only and starts no pod.
    """
    limits = plan.order.limits
    metadata = _metadata(plan, plan.job)
    files = ",".join(files_name(plan.job, parcel) for parcel in parcels)
    metadata["annotations"] = {CLAIM: claim, FILES: files, **({STOP_REASON: stopped} if stopped else {})}
    spec: Manifest = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": int(limits.timeout + limits.grace) + GRACE_SECONDS + settings.start_seconds,
        "template": {"metadata": {"labels": metadata["labels"]}, "spec": _pod(plan, settings, parcels, claim)},
    }
    if stopped:
        spec["suspend"] = True
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def owner_reference(owner: Owner) -> Manifest:
    """The controller reference to the CodeRun."""
    return {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _metadata(plan: RunPlan, name: str) -> Manifest:
    metadata: Manifest = {"name": name, "labels": {**plan.labels, LABEL_JOB: plan.job}}
    if plan.owner is not None:
        metadata["ownerReferences"] = [owner_reference(plan.owner)]
    return metadata


def _pod(plan: RunPlan, settings: JobSettings, parcels: tuple[Parcel, ...], claim: str) -> Manifest:
    account = plan.needs.service_account
    spec: Manifest = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": bool(account),
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.user,
            "runAsGroup": settings.user,
            "fsGroup": settings.user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(plan, settings)],
        "volumes": _volumes(plan, settings, parcels, claim),
    }
    if plan.needs.docker:
        spec["initContainers"] = [_docker(settings)]
    chosen = {
        "serviceAccountName": account or settings.service_account,
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
        "nodeSelector": settings.node_selector,
        "tolerations": list(settings.tolerations),
        "affinity": settings.affinity,
        "priorityClassName": settings.priority_class,
        "runtimeClassName": settings.runtime_class,
    }
    return {**spec, **{key: value for key, value in chosen.items() if value}}


def _container(plan: RunPlan, settings: JobSettings) -> Manifest:
    container: Manifest = {
        "name": CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["bash", f"{ORDER_FOLDER}/{START_SCRIPT}"] if START_SCRIPT in plan.files else ["coderun", "agent", "--pod"],
        "workingDir": RUNS_FOLDER,
        "env": _env(plan, settings),
        "resources": {"requests": settings.requests, "limits": settings.limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(plan),
    }
    if plan.needs.secret_sets:
        container["envFrom"] = [{"prefix": SECRET_PREFIX, "secretRef": {"name": name}} for name in plan.needs.secret_sets]
    return container


def _env(plan: RunPlan, settings: JobSettings) -> list[Manifest]:
    own = {
        "CODERUN_JOB": plan.job,
        "CODERUN_ORDER_FOLDER": ORDER_FOLDER,
        "CODERUN_TOKEN_FOLDER": TOKEN_FOLDER,
        "CODERUN_RUNS_FOLDER": RUNS_FOLDER,
        "CODERUN_WORKSPACE": WORKSPACE_FOLDER,
        "CODERUN_TERMINATION_LOG": TERMINATION_LOG,
        "HOME": TMP_FOLDER,
        "TMPDIR": TMP_FOLDER,
    }
    if plan.needs.docker:
        own[f"{PLAIN_PREFIX}DOCKER_HOST"] = f"unix://{DOCKER_FOLDER}/docker.sock"
    plain = [{"name": name, "value": value} for name, value in {**settings.env, **own}.items()]
    logins = [_from_secret(one.name, one, optional=True) for one in settings.login]
    asked = [_from_secret(f"{SECRET_PREFIX}{one.name}", one) for one in plan.needs.secret_env]
    return [*plain, *logins, *asked]


def _from_secret(name: str, one: SecretEnvVar, *, optional: bool = False) -> Manifest:
    reference: Manifest = {"name": one.secret_name, "key": one.secret_key}
    if optional:
        reference["optional"] = True
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def _mounts(plan: RunPlan) -> list[Manifest]:
    mounts: list[Manifest] = [
        {"name": "order", "mountPath": ORDER_FOLDER, "readOnly": True},
        {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
        {"name": "workspace", "mountPath": WORKSPACE_FOLDER},
        {"name": "runs", "mountPath": RUNS_FOLDER},
        {"name": "tmp", "mountPath": TMP_FOLDER},
    ]
    if plan.needs.docker:
        mounts.append({"name": "docker-socket", "mountPath": DOCKER_FOLDER})
    return mounts


def _volumes(plan: RunPlan, settings: JobSettings, parcels: tuple[Parcel, ...], claim: str) -> list[Manifest]:
    names = [files_name(plan.job, parcel) for parcel in parcels]
    if len(names) == 1:
        order: Manifest = {"configMap": {"name": names[0], "defaultMode": 0o444}}
    else:
        order = {"projected": {"sources": [{"configMap": {"name": name}} for name in names], "defaultMode": 0o444}}
    volumes: list[Manifest] = [
        {"name": "order", **order},
        {"name": "token", "secret": {"secretName": token_name(plan.job), "defaultMode": 0o440}},
        {"name": "workspace", "persistentVolumeClaim": {"claimName": claim}},
        {"name": "runs", "emptyDir": {"sizeLimit": RUNS_SIZE}},
        {"name": "tmp", "emptyDir": {"sizeLimit": settings.tmp_size}},
    ]
    if plan.needs.docker:
        volumes += [{"name": "docker-socket", "emptyDir": {}}, {"name": "docker-data", "emptyDir": {}}]
    return volumes


def _docker(settings: JobSettings) -> Manifest:
    """The Docker daemon: a sidecar that ends with the agent and keeps no pod alive. Privileged, and therefore opt-in."""
    return {
        "name": DOCKER,
        "image": settings.docker_image,
        "restartPolicy": "Always",
        "args": ["dockerd", f"--host=unix://{DOCKER_FOLDER}/docker.sock", f"--group={settings.user}"],
        "env": [{"name": "DOCKER_TLS_CERTDIR", "value": ""}],
        "securityContext": {"privileged": True, "runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": False},
        "volumeMounts": [
            {"name": "docker-socket", "mountPath": DOCKER_FOLDER},
            {"name": "docker-data", "mountPath": "/var/lib/docker"},
            {"name": "workspace", "mountPath": WORKSPACE_FOLDER},
        ],
    }

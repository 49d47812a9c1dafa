"""What the built-in kinds do to a write: defaults, required fields, what may not change.

Facts: pkg/apis/{core,batch,coordination}/validation and pkg/registry/*/strategy.go of Kubernetes. Only what users of these
kinds here can run into; admission plug-ins (quota, pod security, PVC protection) are not here.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from tests.fakes.apiserver.errors import Cause, bad_request, forbidden_field, invalid_value, required, too_long
from tests.fakes.apiserver.names import check_labels
from tests.fakes.apiserver.schema import Json
from tests.fakes.apiserver.typed import copied

MAX_DATA = 1_048_576
_IMMUTABLE = "field is immutable"
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_CONTAINER_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DATA_KEY_SAYS = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_LABEL_SAYS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def fill(plural: str, thing: Json, *, new: bool) -> None:
    """Fill in the kind's defaults, in place."""
    filler = _FILLERS.get(plural)
    if filler is not None:
        filler(thing, new)


def check(plural: str, thing: Json, old: Json | None) -> list[Cause]:
    """What is wrong with an object, and with the change from `old` to it."""
    checker = _CHECKERS.get(plural)
    return checker(thing, old) if checker is not None else []


# --- defaults -----------------------------------------------------------------------------------------------------------------


def _fill_pod_spec(spec: Json) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    if "serviceAccountName" in spec:
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for name in ("containers", "initContainers"):
        for container in spec.get(name) or ():
            _fill_container(container)
    for volume in spec.get("volumes") or ():
        for source in ("configMap", "secret", "projected"):
            if source in volume:
                volume[source].setdefault("defaultMode", 0o644)


def _fill_container(container: Json) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    tag = container.get("image", "").rpartition("/")[2].partition(":")[2]
    container.setdefault("imagePullPolicy", "Always" if tag in {"", "latest"} else "IfNotPresent")
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    requests, limits = container["resources"].get("requests", {}), container["resources"].get("limits", {})
    if limits and not limits.keys() <= requests.keys():
        container["resources"]["requests"] = {**limits, **requests}


def _fill_pod(pod: Json, new: bool) -> None:
    spec = pod.setdefault("spec", {})
    _fill_pod_spec(spec)
    if new:
        spec.setdefault("serviceAccountName", "default")
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
        spec.setdefault("enableServiceLinks", True)
        pod["status"] = {"phase": "Pending", "qosClass": _quality(spec)}


def _quality(spec: Json) -> str:
    resources = [container["resources"] for container in spec.get("containers") or ()]
    if not any(one.get("requests") or one.get("limits") for one in resources):
        return "BestEffort"
    full = all(one.get("limits", {}).keys() >= {"cpu", "memory"} and one["limits"] == one.get("requests") for one in resources)
    return "Guaranteed" if full else "Burstable"


def _fill_job(job: Json, new: bool) -> None:
    spec = job.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    template = spec.setdefault("template", {})
    _fill_pod_spec(template.setdefault("spec", {}))
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
    for rule in spec.get("podFailurePolicy", {}).get("rules", ()):
        for pattern in rule.get("onPodConditions") or ():
            pattern.setdefault("status", "True")
    meta = job["metadata"]
    if new and not spec.get("manualSelector"):
        uid, name = meta["uid"], meta["name"]
        made = {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": name,
            "controller-uid": uid,
            "job-name": name,
        }
        template["metadata"] = {**template.get("metadata", {})}
        template["metadata"]["labels"] = {**template["metadata"].get("labels", {}), **made}
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        spec.setdefault("manualSelector", False)
        if not meta.get("labels"):
            meta["labels"] = dict(template["metadata"]["labels"])
    if new:
        job["status"] = {}


def _fill_claim(claim: Json, new: bool) -> None:
    claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    if new:
        claim["status"] = {"phase": "Pending"}


def _fill_secret(secret: Json, _new: bool) -> None:
    texts = secret.pop("stringData", None)
    if texts:
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
        secret["data"] = {**secret.get("data", {}), **encoded}
    secret.setdefault("type", "Opaque")


def _fill_namespace(namespace: Json, new: bool) -> None:
    meta = namespace["metadata"]
    meta["labels"] = {**meta.get("labels", {}), "kubernetes.io/metadata.name": meta["name"]}
    if new:
        namespace["spec"] = {"finalizers": ["kubernetes"]}
        namespace["status"] = {"phase": "Active"}


_FILLERS: dict[str, Callable[[Json, bool], None]] = {
    "pods": _fill_pod,
    "jobs": _fill_job,
    "persistentvolumeclaims": _fill_claim,
    "secrets": _fill_secret,
    "namespaces": _fill_namespace,
}

# --- checks -------------------------------------------------------------------------------------------------------------------


def _check_pod_spec(spec: Json, field: str) -> list[Cause]:
    found: list[Cause] = []
    if not spec.get("containers"):
        found.append(required(f"{field}.containers"))
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    names: set[str] = set()
    for kind in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(kind) or ()):
            where = f"{field}.{kind}[{at}]"
            found += _check_container(container, where, volumes)
            if container.get("name") in names:
                text = f'Duplicate value: "{container["name"]}"'
                found.append(Cause(field=f"{where}.name", message=text, reason="FieldValueDuplicate"))
            names.add(container.get("name", ""))
    return found


def _check_container(container: Json, field: str, volumes: set[Any]) -> list[Cause]:
    found: list[Cause] = []
    name = container.get("name", "")
    if not name:
        found.append(required(f"{field}.name"))
    elif not _CONTAINER_NAME.fullmatch(name) or len(name) > 63:
        found.append(invalid_value(f"{field}.name", name, _LABEL_SAYS))
    if not container.get("image"):
        found.append(required(f"{field}.image"))
    variables = enumerate(container.get("env") or ())
    found.extend(required(f"{field}.env[{at}].name") for at, variable in variables if not variable.get("name"))
    for at, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            text = f'Not found: "{mount.get("name", "")}"'
            found.append(Cause(field=f"{field}.volumeMounts[{at}].name", message=text, reason="FieldValueNotFound"))
    return found


def _check_pod(pod: Json, old: Json | None) -> list[Cause]:
    if old is None:
        return _check_pod_spec(pod["spec"], "spec")
    changeable = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "nodeName")
    if _frozen(pod["spec"], changeable) != _frozen(old["spec"], changeable) or (
        old["spec"].get("nodeName") and pod["spec"].get("nodeName") != old["spec"]["nodeName"]
    ):
        text = (
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        return [forbidden_field("spec", text)]
    return []


def _frozen(spec: Json, changeable: tuple[str, ...]) -> Json:
    kept = copied({name: value for name, value in spec.items() if name not in changeable})
    for container in kept.get("containers", []) + kept.get("initContainers", []):
        container.pop("image", None)
    found: Json = kept
    return found


_COUNTS = ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
_FIXED = ("completions", "selector", "template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex")


def _check_job(job: Json, old: Json | None) -> list[Cause]:
    spec = job["spec"]
    what = "must be greater than or equal to 0"
    found = [invalid_value(f"spec.{name}", spec[name], what) for name in _COUNTS if (spec.get(name) or 0) < 0]
    if old is not None:
        before = old["spec"]
        changed = [name for name in _FIXED if spec.get(name) != before.get(name)]
        fixed = [name for name in changed if not (name == "template" and before.get("suspend"))]
        return found + [invalid_value(f"spec.{name}", spec.get(name), _IMMUTABLE) for name in fixed]
    template = spec["template"]
    found += check_labels(template.get("metadata", {}).get("labels") or {}, "spec.template.labels")
    found += _check_pod_spec(template["spec"], "spec.template.spec")
    if template["spec"]["restartPolicy"] not in {"OnFailure", "Never"}:
        found.append(required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    return found


def _check_claim(claim: Json, old: Json | None) -> list[Cause]:
    spec = claim["spec"]
    if old is not None:
        before = old["spec"]
        changeable = {"resources"} if before.get("volumeName") else {"resources", "volumeName", "storageClassName"}
        if any(spec.get(name) != before.get(name) for name in {*spec, *before} - changeable):
            text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
            return [forbidden_field("spec", text)]
        return []
    found = []
    if not spec.get("accessModes"):
        found.append(required("spec.accessModes", "at least 1 access mode is required"))
    if not spec.get("resources", {}).get("requests", {}).get("storage"):
        found.append(required("spec.resources[storage]"))
    return found


def _check_data(thing: Json, old: Json | None, maps: tuple[str, ...]) -> list[Cause]:
    found: list[Cause] = []
    size = 0
    for name in maps:
        is_text = name == "data" and len(maps) > 1
        for key, value in (thing.get(name) or {}).items():
            if not _DATA_KEY.fullmatch(key) or len(key) > 253:
                found.append(invalid_value(f"{name}[{key}]", key, _DATA_KEY_SAYS))
            size += len(value.encode()) if is_text else len(value) * 3 // 4
    if size > MAX_DATA:
        found.append(too_long("[]" if len(maps) > 1 else "data", MAX_DATA))
    return found + _unchanged(thing, old, maps)


def _unchanged(thing: Json, old: Json | None, maps: tuple[str, ...]) -> list[Cause]:
    if old is None or not old.get("immutable"):
        return []
    what = "field is immutable when `immutable` is set"
    fields = () if thing.get("immutable") else ("immutable",)
    changed = [name for name in maps if (thing.get(name) or {}) != (old.get(name) or {})]
    return [forbidden_field(name, what) for name in (*fields, *changed)]


def _check_config_map(thing: Json, old: Json | None) -> list[Cause]:
    return _check_data(thing, old, ("data", "binaryData"))


def _check_secret(thing: Json, old: Json | None) -> list[Cause]:
    for value in (thing.get("data") or {}).values():
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise bad_request(
                'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0'
            ) from error
    found = _check_data(thing, old, ("data",))
    if old is not None and thing["type"] != old["type"]:
        found.append(invalid_value("type", thing["type"], _IMMUTABLE))
    return found


def _check_lease(lease: Json, _old: Json | None) -> list[Cause]:
    spec = lease.get("spec", {})
    found = []
    if spec.get("leaseDurationSeconds") is not None and spec["leaseDurationSeconds"] <= 0:
        found.append(invalid_value("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0"))
    if spec.get("leaseTransitions") is not None and spec["leaseTransitions"] < 0:
        found.append(invalid_value("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0"))
    return found


def _check_event(event: Json, _old: Json | None) -> list[Cause]:
    about = event.get("involvedObject", {}).get("namespace", "")
    if about != event["metadata"].get("namespace") and (about or event["metadata"].get("namespace") != "default"):
        return [invalid_value("involvedObject.namespace", about, "does not match event.namespace")]
    return []


_CHECKERS: dict[str, Callable[[Json, Json | None], list[Cause]]] = {
    "pods": _check_pod,
    "jobs": _check_job,
    "persistentvolumeclaims": _check_claim,
    "configmaps": _check_config_map,
    "secrets": _check_secret,
    "leases": _check_lease,
    "events": _check_event,
}

"""Names, labels and annotations: what Kubernetes takes, and what it says to the rest.

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ and …/labels/
"""

import re
from typing import Any

from tests.fakes.apiserver.errors import Cause, invalid_value, too_long
from tests.fakes.apiserver.resources import NameRule

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_KEY_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_IS_LABEL, _IS_SUBDOMAIN, _IS_KEY, _IS_VALUE = (re.compile(one) for one in (_LABEL, _SUBDOMAIN, _KEY_NAME, _VALUE))
_SUBDOMAIN_SAYS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    f"with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_SAYS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    f"alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_KEY_SAYS = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_KEY_NAME}')"
)
_VALUE_SAYS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    f"an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_VALUE}')"
)
MAX_LABEL = 63
MAX_SUBDOMAIN = 253
MAX_ANNOTATIONS = 262_144


def check_name(name: str, rule: NameRule) -> list[Cause]:
    """What is wrong with a name."""
    field = "metadata.name"
    is_label = rule is NameRule.LABEL
    most = MAX_LABEL if is_label else MAX_SUBDOMAIN
    found = []
    if len(name) > most:
        found.append(invalid_value(field, name, f"must be no more than {most} bytes"))
    if not (_IS_LABEL if is_label else _IS_SUBDOMAIN).fullmatch(name):
        found.append(invalid_value(field, name, _LABEL_SAYS if is_label else _SUBDOMAIN_SAYS))
    return found


def check_labels(labels: dict[str, Any], field: str = "metadata.labels") -> list[Cause]:
    """What is wrong with labels."""
    found: list[Cause] = []
    for key, value in labels.items():
        found.extend(check_key(key, field))
        if len(value) > MAX_LABEL:
            found.append(invalid_value(field, value, f"must be no more than {MAX_LABEL} bytes"))
        if not _IS_VALUE.fullmatch(value):
            found.append(invalid_value(field, value, _VALUE_SAYS))
    return found


def check_key(key: str, field: str) -> list[Cause]:
    """What is wrong with the key of a label or annotation."""
    prefix, slash, name = key.rpartition("/")
    found = []
    if slash and not _IS_SUBDOMAIN.fullmatch(prefix):
        found.append(invalid_value(field, key, f"prefix part {_SUBDOMAIN_SAYS}"))
    if len(name) > MAX_LABEL:
        found.append(invalid_value(field, key, f"name part must be no more than {MAX_LABEL} bytes"))
    if not _IS_KEY.fullmatch(name):
        found.append(invalid_value(field, key, _KEY_SAYS))
    return found


def check_annotations(annotations: dict[str, Any]) -> list[Cause]:
    """What is wrong with annotations."""
    field = "metadata.annotations"
    found = [cause for key in annotations for cause in check_key(key.lower(), field)]
    if sum(len(key) + len(value) for key, value in annotations.items()) > MAX_ANNOTATIONS:
        found.append(too_long(field, MAX_ANNOTATIONS))
    return found


def check_meta(meta: dict[str, Any], rule: NameRule, *, is_custom: bool = False) -> list[Cause]:
    """What is wrong with an object's metadata."""
    found = check_name(meta.get("name", ""), rule)
    found += check_labels(meta.get("labels") or {})
    found += check_annotations(meta.get("annotations") or {})
    for at, owner in enumerate(meta.get("ownerReferences") or ()):
        where = f"metadata.ownerReferences[{at}]"
        found += [
            invalid_value(f"{where}.{name}", owner.get(name, ""), "must not be empty")
            for name in ("apiVersion", "kind", "name", "uid")
            if not owner.get(name)
        ]
    owners = [one for one in meta.get("ownerReferences") or () if one.get("controller")]
    if len(owners) > 1:
        shown = " and ".join(f"{one['kind']}/{one['name']}" for one in owners[:2])
        text = f'Only one reference can have Controller set to true. Found "true" in references for {shown}'
        found.append(invalid_value("metadata.ownerReferences", meta["ownerReferences"], text))
    # Custom resources get away with a short name, and a warning.
    for at, finalizer in enumerate(() if is_custom else meta.get("finalizers") or ()):
        if "/" not in finalizer and finalizer not in {"orphan", "foregroundDeletion", "kubernetes"}:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(invalid_value(f"metadata.finalizers[{at}]", finalizer, text))
    return found

"""A control plane with our definitions, and the controller's account as the chart makes it."""

import contextlib
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.harness import BrokenError, ControlPlane

from coderun.kube.crd import KINDS, definitions

DEFINITIONS = [kind.definition for kind in KINDS]
_ATTEMPTS = 10
TEMPLATES = Path(__file__).parents[2] / "charts" / "coderun" / "templates"


def install(control_plane: ControlPlane) -> None:
    """Have the API server serve our kinds."""
    control_plane.apply(*definitions())
    control_plane.kubectl("wait", "--for=condition=Established", "crd", *DEFINITIONS, "--timeout=120s")


def remove(control_plane: ControlPlane) -> None:
    """Have it know nothing of our kinds. Who only needs them may leave them there: `install` takes what it finds.

    Before a definition goes, the server lists its objects. Where nobody has listed them before, its storage is still
    "(re)initializing" then; the server tries again from a copy that may be too old, gives up on the conflict, and looks
    again only when the definition changes or after five minutes. So everything is listed first, and what lingers is changed.
    """
    there = control_plane.kubectl("get", "crd", "--ignore-not-found", "-o", "name", *DEFINITIONS).split()
    for name in there:
        control_plane.kubectl("get", name.partition("/")[2], "--all-namespaces", "-o", "name")
    for attempt in range(_ATTEMPTS):
        try:
            control_plane.kubectl("delete", "crd", "--ignore-not-found", "--timeout=30s", *DEFINITIONS)
        except BrokenError:
            for name in control_plane.kubectl("get", "crd", "--ignore-not-found", "-o", "name", *DEFINITIONS).split():
                with contextlib.suppress(BrokenError):
                    control_plane.kubectl("annotate", "--overwrite", name, f"test/attempt={attempt}")
        else:
            return
    raise BrokenError("the definitions are still there")


def chart_rules(template: str) -> list[dict[str, Any]]:
    """The rules of the Roles in a template of the chart."""
    found: list[dict[str, Any]] = []
    for document in (TEMPLATES / template).read_text(encoding="utf-8").split("---"):
        _, rules, rest = document.partition("\nrules:\n")
        if rules:
            found += yaml.safe_load("".join(line for line in rest.splitlines(keepends=True) if not line.startswith("{{")))
    return found


def controller_account(control_plane: ControlPlane, namespace: str, *, and_people: bool = False) -> Path:
    """The kubeconfig of a controller that has the chart's rights in one namespace (and those of people), and no others."""
    rules = [*chart_rules("rbac.yaml"), *(chart_rules("people.yaml") if and_people else ())]
    return control_plane.service_account_kubeconfig(namespace, "controller", rules)

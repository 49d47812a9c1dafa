"""A control plane with our definitions, and the controller's account as the chart makes it."""

from pathlib import Path
from typing import Any

import yaml
from tests.cluster.harness import ControlPlane

from coderun.kube.crd import KINDS, definitions

TEMPLATES = Path(__file__).parents[2] / "charts" / "coderun" / "templates"


def install(control_plane: ControlPlane) -> None:
    """Have the API server serve our kinds."""
    control_plane.apply(*definitions())
    names = [kind.definition for kind in KINDS]
    control_plane.kubectl("wait", "--for=condition=Established", "crd", *names, "--timeout=120s")


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

"""What is made from the code: what the chart brings of it, the schema of its values, and the page about fields.

`make chart` writes these files (`python -m tests.deploy.chart_files`); a test compares them with what would be written.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from tests.deploy.chart_dashboard import dashboard
from tests.deploy.fields_page import PAGE, page

from coderun.app.configuration import packaged_roster
from coderun.kube.crd import definitions
from coderun.model.cluster import ClusterConfig, ObjectName, Quantity, WorkspaceSettings
from coderun.model.config import AgentSettings
from coderun.model.yaml import dump

CHART: Final = Path(__file__).parents[2] / "charts" / "coderun"
OURS: Final = ("agents", "cluster", "workspaces", "webhook", "templates")
"""Keys of coderun.yaml that the chart fills in from other values."""

Schema = dict[str, Any]
VARIABLE: Final = "^[A-Za-z_][A-Za-z0-9_]*$"
DNS: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


def closed(properties: Schema, *required: str) -> Schema:
    """An object with these keys and no others."""
    made: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**made, "required": list(required)} if required else made


def texts(pattern: str = "") -> Schema:
    return {"type": "object", "additionalProperties": {"type": "string", **({"pattern": pattern} if pattern else {})}}


def a_list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
NAME: Final[Schema] = {"type": "string", "pattern": f"^$|{DNS}", "maxLength": 63}
OBJECT: Final[Schema] = {"type": "object"}
PORT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 65535}
VARIABLES: Final[Schema] = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
SUBJECT: Final = closed(
    {"kind": {"enum": ["User", "Group", "ServiceAccount"]}, "name": TEXT, "apiGroup": TEXT, "namespace": TEXT}, "kind", "name"
)
RULES: Final = a_list(
    closed(
        {"apiGroups": a_list(TEXT), "resources": a_list(TEXT), "verbs": a_list(TEXT), "resourceNames": a_list(TEXT)},
        "apiGroups",
        "resources",
        "verbs",
    )
)


def image() -> Schema:
    return closed(
        {
            "repository": {"type": "string", "minLength": 1},
            "tag": TEXT,
            "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            "pullPolicy": {"enum": ["IfNotPresent", "Always", "Never"]},
        },
        "repository",
    )


def resources(quantity: Schema) -> Schema:
    amounts = {"type": "object", "additionalProperties": {**quantity, "type": ["string", "integer"]}}
    return closed({"requests": amounts, "limits": amounts})


def values_schema() -> Schema:
    """The schema of values.yaml; what goes into coderun.yaml has the shape of coderun.yaml.

    Names that are keys are looked at by the chart itself (`coderun.checkValues`): of a `propertyNames` that is not met `helm`
    says at another place than it is.
    """
    shapes, named = msgspec.json.schema_components(
        [ClusterConfig, AgentSettings, WorkspaceSettings, Quantity, ObjectName], ref_template="#/$defs/{name}"
    )
    _, agent, workspaces, quantity, object_name = shapes
    whole = named["ClusterConfig"]
    config = closed({key: value for key, value in whole["properties"].items() if key not in OURS})
    object_names = a_list(object_name)
    existing = {**object_name, "minLength": 1}
    login = {"name": {"type": "string", "pattern": VARIABLE}, "secretName": existing, "secretKey": {**TEXT, "minLength": 1}}
    scheduling = {"nodeSelector": texts(), "tolerations": a_list(OBJECT), "affinity": OBJECT, "priorityClass": object_name}
    runs = {
        "image": image(),
        "resources": closed({key: {"type": "object", "additionalProperties": quantity} for key in ("requests", "limits")}),
        "login": a_list(closed(login, *login)),
        "env": VARIABLES,
        "reservedSecrets": object_names,
        "docker": closed({"enabled": FLAG, "image": TEXT}),
        "startSeconds": {"type": "integer", "minimum": 1},
        "tmpSize": quantity,
        **scheduling,
        "runtimeClass": object_name,
        "serviceAccountRules": {"type": "object", "additionalProperties": RULES},
    }
    app_keys = closed(dict.fromkeys(("appId", "privateKey", "clientId", "webhookSecret"), TEXT))
    properties = {
        "nameOverride": NAME,
        "fullnameOverride": NAME,
        "image": image(),
        "imagePullSecrets": object_names,
        "replicas": {"type": "integer", "minimum": 0, "maximum": 20},
        "namespaces": a_list({"type": "string", "pattern": DNS, "maxLength": 63}),
        "createNamespaces": FLAG,
        "podSecurity": closed({"enforce": {"enum": ["restricted", "baseline", "privileged"]}, "version": TEXT}),
        "crds": closed({"install": FLAG, "keep": FLAG}),
        "serviceAccount": closed({"create": FLAG, "name": NAME, "annotations": texts()}),
        "rbac": closed({"create": FLAG}),
        "people": closed({"role": FLAG, "subjects": a_list(SUBJECT)}),
        "agents": {"type": "object", "additionalProperties": agent},
        "config": config,
        "runs": closed(runs),
        "workspaces": workspaces,
        "templates": closed(
            {
                "files": {"type": "object", "additionalProperties": TEXT},
                "configMaps": object_names,
            }
        ),
        "github": closed(
            {
                "apps": {
                    "type": "object",
                    "additionalProperties": closed({"secretName": existing, "keys": app_keys}, "secretName"),
                },
                "token": closed({"secretName": object_name, "key": TEXT}),
            }
        ),
        "webhook": closed(
            {
                "enabled": FLAG,
                "secretName": object_name,
                "keys": {**a_list({"type": "string", "pattern": "^[-._a-zA-Z0-9]+$"}), "minItems": 1},
                "service": closed(
                    {"type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}, "port": PORT, "annotations": texts()}
                ),
            }
        ),
        "ingress": closed(
            {"enabled": FLAG, "className": TEXT, "annotations": texts(), "host": TEXT, "tlsSecretName": object_name}
        ),
        "httpRoute": closed({"enabled": FLAG, "parentRefs": a_list(OBJECT), "hostnames": a_list(TEXT), "annotations": texts()}),
        "networkPolicy": closed(
            {
                "enabled": FLAG,
                **dict.fromkeys(("dns", "agentEgress", "webhookFrom", "metricsFrom"), a_list(OBJECT)),
                **dict.fromkeys(("clusterRanges", "clusterRanges6"), a_list(TEXT)),
                "controllerPorts": a_list(PORT),
            }
        ),
        "metrics": closed(
            {
                "serviceMonitor": closed(
                    {"enabled": FLAG, "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"}, "labels": texts()}
                ),
                "rules": closed({"enabled": FLAG, "labels": texts()}),
                "dashboard": closed({"enabled": FLAG, "labels": texts()}),
            }
        ),
        "logLevel": {"enum": ["debug", "info", "warning", "error"]},
        "resources": resources(quantity),
        "podDisruptionBudget": closed({"enabled": FLAG}),
        **scheduling,
        "podAnnotations": texts(),
        "podLabels": texts(),
        "env": VARIABLES,
        "global": OBJECT,
    }
    used = {name: shape for name, shape in named.items() if name not in {"ClusterConfig", "ClusterSettings", "WebhookSettings"}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **closed(properties), "$defs": used}


def files() -> Iterator[tuple[Path, str]]:
    """Every file that is made, and what it holds."""
    for made in definitions():
        yield CHART / "files" / "crds" / f"{made['metadata']['name']}.yaml", dump(made)
    yield CHART / "files" / "agents.txt", "".join(f"{name}\n" for name in packaged_roster().agents)
    yield PAGE, page()
    yield CHART / "files" / "dashboard.json", msgspec.json.format(msgspec.json.encode(dashboard()), indent=1).decode() + "\n"
    schema = msgspec.json.format(msgspec.json.encode(values_schema()), indent=2).decode()
    yield CHART / "values.schema.json", schema + "\n"


def main() -> int:
    """Write what differs."""
    for path, text in files():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(CHART.parents[1])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

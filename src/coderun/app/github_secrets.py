"""The Apps' keys of this machine as Secrets for a cluster, in the shape that the chart and `mounted_keys` read. Pure.

What is made here holds private keys: whoever prints it sees to where it goes.
"""

from typing import Any, Final

from coderun.app.github_keys import AppKeys, GitHubCredentials
from coderun.model.errors import NotFoundError

PREFIX: Final = "github-app-"


def secret_name(agent: str) -> str:
    """Name of the Secret of an agent's App."""
    return f"{PREFIX}{agent}"


def secret_manifests(credentials: GitHubCredentials, *, namespace: str) -> list[dict[str, Any]]:
    """One Secret for each App, by agent.

    Raises:
        NotFoundError: there is no App on this machine.
    """
    if not credentials.apps:
        raise NotFoundError(
            f"there is no App in {credentials.folder}; `coderun github setup` makes one for each agent, on this machine"
        )
    return [_manifest(keys, namespace) for _, keys in sorted(credentials.apps.items())]


def chart_values(credentials: GitHubCredentials) -> dict[str, Any]:
    """What the chart is told of them."""
    apps = {agent: {"secretName": secret_name(agent)} for agent in sorted(credentials.apps)}
    url = {} if credentials.host.name == "github.com" else {"url": credentials.host.web}
    return {"config": {"forge": {"type": "github", **url}}, "github": {"apps": apps}}


def _manifest(keys: AppKeys, namespace: str) -> dict[str, Any]:
    data = {
        "app-id": keys.app_id,
        "private-key": keys.pem.decode("utf-8", "replace"),
        "client-id": keys.client_id,
        "webhook-secret": next(iter(keys.webhook_secrets), ""),
    }
    metadata = {"name": secret_name(keys.agent), **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**metadata, "labels": {"app.kubernetes.io/part-of": "coderun"}},
        "type": "Opaque",
        "stringData": {key: value for key, value in data.items() if value},
    }

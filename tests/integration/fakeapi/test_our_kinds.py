"""The fake serves coderun's own kinds, rules and all."""

import aiohttp
import msgspec
import pytest
import yaml
from tests.fakes.apiserver import FakeApiServer, StatusError

from coderun.kube.crd import definitions

RUN = {
    "apiVersion": "agents.platform/v1",
    "kind": "CodeRun",
    "metadata": {"name": "one"},
    "spec": {"taskId": 1, "service": "demo", "repositoryUrl": "https://example.invalid/a/b", "githubApp": "Demo-Rex"},
}


async def test_every_definition_of_ours_is_taken_and_served() -> None:
    async with FakeApiServer() as api:
        api.install(yaml.safe_dump_all(msgspec.to_builtins(definitions())))
        headers = {"Authorization": f"Bearer {api.admin_token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{api.url}/apis/agents.platform/v1") as reply,
        ):
            kinds = {one["kind"] for one in (await reply.json())["resources"]}
        assert kinds == {"CodeRun", "Play", "DocsRun", "Delivery"}
        api.objects.create(RUN)
        with pytest.raises(StatusError, match=r"taskId"):
            api.objects.patch("coderuns.agents.platform", "default", "one", {"spec": {"taskId": 2}})

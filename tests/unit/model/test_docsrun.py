import msgspec
import pytest

from coderun.model.docsrun import DocsRun, DocsRunPhase

UPSTREAM = b"""{
  "apiVersion": "agents.platform/v1", "kind": "DocsRun", "metadata": {"name": "docs-1"},
  "spec": {"repositoryUrl": "acme/api", "workingDirectory": ".", "sourceBranch": "main", "githubApp": "5DLabs-Morgan",
           "includeCodebase": true, "remoteTools": ["search"], "localTools": [], "someFutureField": 1},
  "status": {"phase": "", "lastUpdate": "2025-08-17T10:00:00Z"}
}"""


def test_a_manifest_of_the_existing_system_is_read() -> None:
    docs = msgspec.json.decode(UPSTREAM, type=DocsRun)
    assert (docs.name, docs.spec.source_branch, docs.spec.include_codebase) == ("docs-1", "main", True)
    assert docs.spec.remote_tools == ("search",)
    assert docs.status.phase is DocsRunPhase.PENDING
    assert msgspec.json.decode(msgspec.json.encode(docs), type=DocsRun) == docs


def test_a_phase_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="'Done' is not a valid DocsRunPhase"):
        DocsRunPhase("Done")

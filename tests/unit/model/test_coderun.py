import msgspec
import pytest

from coderun.model.coderun import CodeRun, CodeRunSpec, CodeRunStatus, RunPhase
from coderun.model.meta import ObjectMeta

UPSTREAM = b"""{
  "apiVersion": "agents.platform/v1", "kind": "CodeRun", "metadata": {"name": "run-1", "labels": {"task-id": "7"}},
  "spec": {"taskId": 7, "service": "api", "repositoryUrl": "acme/api", "docsRepositoryUrl": "acme/docs",
           "githubApp": "5DLabs-Rex",
           "model": "m",
           "contextVersion": 2, "continueSession": true, "overwriteMemory": false, "enableDocker": true,
           "env": {"A": "1"}, "envFromSecrets": [{"name": "T", "secretName": "s", "secretKey": "k"}],
           "cliConfig": {"cliType": "codex", "maxTokens": 10, "modelRotation": ["a", "b"]}, "someFutureField": [1]},
  "status": {"phase": "Running", "jobName": "j", "workCompleted": false}
}"""


def test_a_manifest_of_the_existing_system_is_read_and_unknown_fields_are_passed_over() -> None:
    run = msgspec.json.decode(UPSTREAM, type=CodeRun)
    assert (run.name, run.spec.task_id, run.spec.github_app, run.spec.continue_session) == ("run-1", 7, "5DLabs-Rex", True)
    assert run.spec.env_from_secrets[0].secret_key == "k"
    assert run.spec.cli_config is not None
    assert (run.spec.cli_config.cli_type, run.spec.cli_config.model_rotation) == ("codex", ("a", "b"))
    assert (run.status.phase, run.status.job_name) == (RunPhase.RUNNING, "j")


def test_a_run_is_written_and_read_back_whole() -> None:
    run = CodeRun(
        metadata=ObjectMeta(name="run-1"),
        spec=CodeRunSpec(task_id=7, service="api", repository_url="acme/api", cancel_requested="enough"),
    )
    assert msgspec.json.decode(msgspec.json.encode(run), type=CodeRun) == run


@pytest.mark.parametrize(
    ("phase", "finished"),
    [
        (RunPhase.PENDING, False),
        (RunPhase.RUNNING, False),
        (RunPhase.SUCCEEDED, True),
        (RunPhase.FAILED, True),
        (RunPhase.CANCELLED, True),
    ],
)
def test_a_run_is_finished_when_nothing_more_will_happen(phase: RunPhase, finished: bool) -> None:
    assert phase.is_finished is finished


def test_an_empty_phase_of_the_existing_system_is_pending_and_another_word_is_refused() -> None:
    assert RunPhase("") is RunPhase.PENDING
    assert msgspec.json.decode(b'{"phase": ""}', type=CodeRunStatus).phase is RunPhase.PENDING
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value 'Done'"):
        msgspec.json.decode(b'{"phase": "Done"}', type=CodeRunStatus)


@pytest.mark.parametrize(
    ("status", "finished"),
    [
        (CodeRunStatus(), False),
        (CodeRunStatus(work_completed=True), True),
        (CodeRunStatus(phase=RunPhase.SUCCEEDED), True),
        (CodeRunStatus(phase=RunPhase.RUNNING), False),
    ],
)
def test_a_status_is_finished_by_its_phase_or_by_its_word(status: CodeRunStatus, finished: bool) -> None:
    assert status.is_finished is finished

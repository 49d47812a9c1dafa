"""A run in a pod: what is mounted becomes a run folder, and the report a termination message."""

import os
from pathlib import Path

import msgspec
import pytest

from coderun.agent.pod import KEPT_TRANSCRIPTS, MESSAGE_BYTES, PodPlaces, as_message, hand_back, lay_out, tell
from coderun.kube.bundle import pack
from coderun.model.coderun import PullRequestRef, RunOutcome, RunPhase, RunReport, Usage
from coderun.model.errors import ConfigError


def mount(folder: Path, files: dict[str, str]) -> None:
    """Lay out files as a kubelet does: through a link that changes at once."""
    data = folder / "..2026"
    data.mkdir(parents=True)
    for name, text in files.items():
        (data / name).write_text(text)
    (folder / "..data").symlink_to(data.name)
    for name in files:
        (folder / name).symlink_to(Path("..data") / name)


def places(tmp_path: Path) -> PodPlaces:
    (tmp_path / "workspace").mkdir()
    environment = {
        "CODERUN_JOB": "coderun-1-api-x-1",
        "CODERUN_ORDER_FOLDER": str(tmp_path / "order"),
        "CODERUN_TOKEN_FOLDER": str(tmp_path / "token"),
        "CODERUN_RUNS_FOLDER": str(tmp_path / "runs"),
        "CODERUN_WORKSPACE": str(tmp_path / "workspace"),
        "CODERUN_TERMINATION_LOG": str(tmp_path / "termination-log"),
    }
    return PodPlaces.of(environment)


def test_what_is_mounted_becomes_a_run_folder(tmp_path: Path) -> None:
    at = places(tmp_path)
    mount(at.order, {"order.json": "{}", "container.sh": "exec x", "CLAUDE.md": "hello"})
    mount(at.token, {"token": "first"})
    lay_out(at)
    lay_out(at)
    assert at.run.order.read_text() == "{}"
    assert sorted(path.name for path in at.run.files.iterdir()) == ["CLAUDE.md", "container.sh"]
    assert at.run.prepared.exists()
    assert not at.run.started.exists()


def test_a_token_that_is_renewed_is_the_one_that_is_read(tmp_path: Path) -> None:
    at = places(tmp_path)
    mount(at.order, {"order.json": "{}"})
    mount(at.token, {"token": "first"})
    lay_out(at)
    assert at.run.token.read_text() == "first"
    (at.token / "..2027").mkdir()
    (at.token / "..2027" / "token").write_text("second")
    (at.token / "..new").symlink_to("..2027")
    (at.token / "..new").rename(at.token / "..data")
    assert at.run.token.read_text() == "second"


def test_a_bundle_is_unpacked_with_its_folders(tmp_path: Path) -> None:
    at = places(tmp_path)
    (parcel,) = pack(b"{}", {"guides/code.md": "text"}, job=at.job)
    at.order.mkdir()
    for name, data in parcel.binary_data.items():
        (at.order / name).write_bytes(msgspec.convert(data, bytes))
    lay_out(at)
    assert (at.run.files / "guides" / "code.md").read_text() == "text"


def test_the_transcript_lies_in_the_workspace_and_old_ones_make_room(tmp_path: Path) -> None:
    at = places(tmp_path)
    mount(at.order, {"order.json": "{}"})
    old = at.workspace / "transcripts"
    old.mkdir()
    for number in range(KEPT_TRANSCRIPTS + 5):
        (old / f"old-{number:03}.jsonl").write_text("x")
        os.utime(old / f"old-{number:03}.jsonl", (number, number))
    lay_out(at)
    at.run.log.write_text("line\n")
    assert (old / f"{at.job}.jsonl").read_text() == "line\n"
    assert len(list(old.iterdir())) == KEPT_TRANSCRIPTS
    assert not (old / "old-005.jsonl").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": "b"}, "holds no order.json"),
        ({"bundle-001": "x"}, "cannot be used: the bundle has the parts bundle-001; one is missing"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    at = places(tmp_path)
    mount(at.order, files)
    with pytest.raises(ConfigError, match=message):
        lay_out(at)


def test_a_bundle_cannot_write_outside_the_run_folder(tmp_path: Path) -> None:
    at = places(tmp_path)
    (parcel,) = pack(b"{}", {"../../evil": "text"}, job=at.job)
    at.order.mkdir()
    for name, data in parcel.binary_data.items():
        (at.order / name).write_bytes(msgspec.convert(data, bytes))
    with pytest.raises(ConfigError, match="must lie below the run's folder"):
        lay_out(at)


def test_outside_of_a_pod_of_ours_it_says_what_is_missing() -> None:
    with pytest.raises(
        ConfigError, match=r"--pod is for the pods that coderun makes: CODERUN_JOB, CODERUN_ORDER_FOLDER, .* not set"
    ):
        PodPlaces.of({})
    whole = {
        f"CODERUN_{name}": "/x" for name in ("ORDER_FOLDER", "TOKEN_FOLDER", "RUNS_FOLDER", "WORKSPACE", "TERMINATION_LOG")
    }
    with pytest.raises(ConfigError, match=r"CODERUN_JOB is '\.\./x', which is no DNS label"):
        PodPlaces.of({**whole, "CODERUN_JOB": "../x"})


LARGE = RunReport(
    phase=RunPhase.FAILED,
    outcome=RunOutcome(exit_code=3, is_error=True, terminal_reason="AgentFailed", summary='"ü\n' * 3000),
    usage=Usage(input_tokens=10**9, output_tokens=10**9),
    session_id="s" * 40,
    pull_request=PullRequestRef(number=7, url="https://forge.example/pull/7", head_sha="a" * 40),
    head_sha="a" * 40,
)


def test_a_report_that_fits_is_handed_back_as_it_is() -> None:
    report = msgspec.structs.replace(LARGE, outcome=RunOutcome(summary="short"))
    assert msgspec.json.decode(as_message(report), type=RunReport) == report


def test_the_summary_of_a_large_report_is_shortened_and_nothing_else() -> None:
    message = as_message(LARGE)
    assert len(message) <= MESSAGE_BYTES
    read = msgspec.json.decode(message, type=RunReport)
    assert read.outcome.summary.endswith("[…]")
    assert len(read.outcome.summary) > 500
    without = msgspec.structs.replace(read, outcome=msgspec.structs.replace(read.outcome, summary=LARGE.outcome.summary))
    assert without == LARGE


def test_of_a_report_that_is_large_beyond_its_summary_how_it_ended_stays() -> None:
    pull = PullRequestRef(number=7, url="https://forge.example/" + "x" * 5000)
    message = as_message(msgspec.structs.replace(LARGE, pull_request=pull))
    assert len(message) <= MESSAGE_BYTES
    read = msgspec.json.decode(message, type=RunReport)
    assert (read.phase, read.outcome.exit_code, read.outcome.terminal_reason) == (RunPhase.FAILED, 3, "AgentFailed")
    assert read.pull_request == PullRequestRef(number=7)
    assert len(as_message(msgspec.structs.replace(LARGE, session_id="s" * 5000))) <= MESSAGE_BYTES


@pytest.mark.lesson(12)
@pytest.mark.parametrize(("phase", "code"), [(RunPhase.SUCCEEDED, 0), (RunPhase.FAILED, 1), (RunPhase.CANCELLED, 1)])
def test_the_container_ends_with_0_for_a_success_only(tmp_path: Path, phase: RunPhase, code: int) -> None:
    log = tmp_path / "log"
    assert tell(RunReport(phase=phase), log) == code
    assert msgspec.json.decode(log.read_bytes(), type=RunReport).phase is phase


def test_a_run_that_left_no_report_hands_back_that_it_did_not(tmp_path: Path) -> None:
    at = places(tmp_path)
    assert hand_back(at) == 1
    report = msgspec.json.decode(at.termination_log.read_bytes(), type=RunReport)
    assert report.outcome.terminal_reason == "InternalError"
    assert "the run left no report that can be read" in report.outcome.summary

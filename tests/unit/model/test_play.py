from datetime import UTC, datetime

import msgspec
import pytest

from coderun.model.meta import ObjectMeta
from coderun.model.play import HISTORY_LIMIT, HistoryEntry, Play, PlayPhase, PlaySpec, PlayStatus, with_history

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAY = Play(metadata=ObjectMeta(name="play-demo-7"), spec=PlaySpec(task_id=7, repository_url="demo"))


def test_the_history_keeps_the_last_fifty_decisions() -> None:
    status = PlayStatus()
    for number in range(HISTORY_LIMIT + 3):
        status = with_history(status, HistoryEntry(at=NOW, reason=f"R{number}"))
    assert len(status.history) == 50
    assert [status.history[0].reason, status.history[-1].reason] == ["R3", "R52"]


@pytest.mark.parametrize(
    ("phase", "finished"),
    [
        (PlayPhase.PENDING, False),
        (PlayPhase.RUNNING, False),
        (PlayPhase.WAITING, False),
        (PlayPhase.SUCCEEDED, True),
        (PlayPhase.FAILED, True),
        (PlayPhase.ABORTED, True),
    ],
)
def test_a_play_is_finished_when_nothing_happens_unless_somebody_asks(phase: PlayPhase, finished: bool) -> None:
    play = msgspec.structs.replace(PLAY, status=PlayStatus(phase=phase))
    assert play.is_finished is finished
    assert play.name == "play-demo-7"


def test_a_play_is_written_in_camel_case_and_read_back_whole() -> None:
    text = msgspec.json.encode(msgspec.structs.replace(PLAY, status=PlayStatus(stage="quality", retries_seen=2)))
    assert b'"retriesSeen":2' in text
    assert b'"taskId":7' in text
    assert msgspec.json.decode(text, type=Play).status.retries_seen == 2


def test_fields_that_nobody_knows_are_passed_over() -> None:
    text = b'{"metadata":{"name":"p"},"spec":{"taskId":7,"repositoryUrl":"demo","later":1},"extra":{}}'
    assert msgspec.json.decode(text, type=Play).spec.task_id == 7

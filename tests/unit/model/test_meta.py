from datetime import UTC, datetime, timedelta

from coderun.model.meta import Condition, ConditionStatus, set_condition

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
READY = Condition(type="Ready", status=ConditionStatus.TRUE, reason="Ok")
OTHER = Condition(type="Other", status=ConditionStatus.UNKNOWN, reason="Who")


def test_a_new_condition_is_added_with_its_time() -> None:
    (found,) = set_condition((), READY, NOW)
    assert (found.type, found.last_transition_time) == ("Ready", NOW)


def test_the_transition_time_stays_while_the_status_stays() -> None:
    before = set_condition((), READY, NOW)
    again = Condition(type="Ready", status=ConditionStatus.TRUE, reason="Still", message="m")
    (found,) = set_condition(before, again, LATER)
    assert (found.reason, found.message, found.last_transition_time) == ("Still", "m", NOW)


def test_the_transition_time_moves_with_the_status() -> None:
    before = set_condition((), READY, NOW)
    (found,) = set_condition(before, Condition(type="Ready", status=ConditionStatus.FALSE, reason="No"), LATER)
    assert found.last_transition_time == LATER


def test_other_conditions_keep_their_place() -> None:
    before = set_condition(set_condition((), READY, NOW), OTHER, NOW)
    after = set_condition(before, Condition(type="Ready", status=ConditionStatus.FALSE, reason="No"), LATER)
    assert [found.type for found in after] == ["Ready", "Other"]
    assert after[1] == before[1]

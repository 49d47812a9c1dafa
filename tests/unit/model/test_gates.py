import msgspec
import pytest

from coderun.model.gates import Gate, GateActor, GateKind


def test_a_gate_is_named_by_its_kind_and_label() -> None:
    assert Gate(kind=GateKind.LABEL, label="ready-for-qa").name == "label ready-for-qa"
    assert Gate(kind=GateKind.PULL_REQUEST).name == "pull-request"


def test_a_gate_is_written_short_and_read_back() -> None:
    gate = Gate(kind=GateKind.REVIEW)
    assert msgspec.json.encode(gate) == b'{"kind":"review"}'
    assert msgspec.json.decode(b'{"kind":"review","by":"anyone"}', type=Gate).by is GateActor.ANYONE


def test_a_gate_with_a_misspelt_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="lable"):
        msgspec.json.decode(b'{"kind":"label","lable":"x"}', type=Gate)

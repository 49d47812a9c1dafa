import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderun.agent.adapters.stream import Stream
from coderun.model.coderun import Usage

INIT = {"type": "system", "subtype": "init", "session_id": "s-1", "model": "m", "mcp_servers": []}
USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 5,
    "cache_read_input_tokens": 3,
    "output_tokens": 7,
    "service_tier": "x",
}


def result(**changes: Any) -> dict[str, Any]:
    told = {"type": "result", "subtype": "success", "is_error": False, "result": "ok", "session_id": "s-1", "num_turns": 2}
    return {**told, "total_cost_usd": 0.01, "usage": USAGE, "terminal_reason": "completed", "permission_denials": [], **changes}


def said(text: str, number: str = "m-1", **changes: Any) -> dict[str, Any]:
    return {
        "type": "assistant",
        "message": {"id": number, "content": [{"type": "text", "text": text}], "usage": USAGE},
        **changes,
    }


def after(*events: Any) -> Stream:
    stream = Stream()
    for event in events:
        stream.take(event if isinstance(event, str) else json.dumps(event))
    return stream


def test_a_good_run_gives_session_text_and_what_it_consumed() -> None:
    stream = after(INIT, said("working"), result())

    assert stream.session_id == "s-1"
    assert stream.end is not None
    assert (stream.end.is_error, stream.end.text, stream.end.terminal_reason) == (False, "ok", "completed")
    assert stream.usage(0.0) == Usage(input_tokens=15, output_tokens=7, cache_read_tokens=3, cost_usd=0.01, turns=2)


def test_only_what_the_session_has_cost_since_is_counted() -> None:
    assert after(INIT, result(total_cost_usd=0.015)).usage(0.01).cost_usd == pytest.approx(0.005)
    assert after(INIT, result(total_cost_usd=0.005)).usage(0.01).cost_usd == 0.0


def test_a_killed_run_still_tells_its_tokens_once_per_message_and_leaves_the_cost_open() -> None:
    stream = after(INIT, said("a"), said("a and more"), said("b", "m-2"))

    assert stream.end is None
    assert stream.usage(0.5) == Usage(input_tokens=30, output_tokens=14, cache_read_tokens=6, turns=2)


def test_the_last_result_counts_and_a_new_beginning_unsettles() -> None:
    assert not after(INIT, result(result="first"), INIT).is_settled

    stream = after(INIT, result(result="first"), INIT, result(result="second"))
    assert stream.end is not None
    assert stream.end.text == "second"


@pytest.mark.parametrize("is_error", [True, None, "false", 1])
def test_what_is_not_plainly_good_is_an_error_whatever_the_subtype(is_error: Any) -> None:
    stream = after(result(is_error=is_error, api_error_status=401, terminal_reason="api_error"))

    assert stream.end is not None
    assert (stream.end.is_error, stream.end.subtype, stream.end.api_status) == (True, "success", 401)


def test_denials_and_failed_servers_are_remembered() -> None:
    servers = [{"name": "bad", "status": "failed"}, {"name": "good", "status": "connected"}, "odd"]
    denied = [
        {"tool_name": "Bash", "tool_input": {"command": "curl x"}},
        {"tool_name": "Write", "tool_input": {"file_path": "/etc/x"}},
        "odd",
    ]
    stream = after({**INIT, "mcp_servers": servers}, result(permission_denials=denied))

    assert stream.failed_servers == ["bad"]
    assert stream.denials == ["Bash curl x", "Write /etc/x", "a tool"]


def test_a_session_that_is_not_there_is_recognised() -> None:
    stream = after(result(is_error=True, subtype="error_during_execution", errors=["No conversation found with session ID: x"]))

    assert stream.end is not None
    assert stream.end.is_unknown_session
    assert stream.end.said == "ok"


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (INIT, ["session s-1, model m"]),
        (said("two\nlines"), ["two", "lines"]),
        (
            {"type": "assistant", "message": {"content": [{"type": "tool_use", "name": "Bash", "input": {"a": 1}}]}},
            ['Bash {"a": 1}'],
        ),
        (
            {"type": "system", "subtype": "api_retry", "error_status": 529, "attempt": 2},
            ["the model's API answered 529; try 2"],
        ),
        ({"type": "system", "subtype": "permission_denied", "tool_name": "Write"}, ["permission denied: Write"]),
        ({"type": "system", "subtype": "task_started"}, []),
        ({"type": "user", "message": {}}, []),
        ({"type": "unheard of"}, []),
        (result(), ["ended: completed, 2 turns, session cost $0.0100"]),
        ("plain words", ["plain words"]),
        ("{not json", ["{not json"]),
        ("", []),
    ],
)
def test_what_people_are_shown_of_a_line(event: Any, shown: list[str]) -> None:
    assert Stream().take(event if isinstance(event, str) else json.dumps(event)) == shown


def test_the_type_need_not_be_the_first_key() -> None:
    turned = dict(reversed(result().items()))

    assert after(turned).is_settled


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        "subtype",
        "session_id",
        "mcp_servers",
        "message",
        "is_error",
        "result",
        "errors",
        "usage",
        "permission_denials",
        "num_turns",
    ]
)


@given(st.sampled_from(["system", "assistant", "result", "user"]), st.dictionaries(KEYS, JSON), JSON)
def test_no_shape_of_an_event_surprises_it(kind: str, fields: dict[str, Any], content: Any) -> None:
    stream = after({**fields, "type": kind}, {"type": "assistant", "message": {"content": content, "usage": content}})

    assert all(isinstance(line, str) for line in stream.take(json.dumps({**fields, "type": kind, "subtype": "init"})))
    assert stream.usage(0.0).cost_usd >= 0


@given(st.text())
def test_no_line_surprises_it(line: str) -> None:
    Stream().take(line)
    Stream().take("{" + line)

"""Claude's stream of JSON lines, understood line by line: pure, and surprised by nothing.

Facts, measured with Claude Code 2.1.330: `subtype` says "success" for failed API calls, so `is_error` and `terminal_reason`
decide; a run can have several `system/init` and several `result` events, the last `result` counts; `total_cost_usd` is of the
whole session, `usage` of this process; a denied permission or a failed MCP server does not fail the run.
"""

import json
from typing import Any, Final

import msgspec

from coderun.model.coderun import Usage

_SHOWN: Final = 2000
_MOST_DENIALS: Final = 20


class StreamEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The `result` event, as far as it matters here."""

    is_error: bool
    subtype: str = ""
    terminal_reason: str = ""
    api_status: int | None = None
    text: str = ""
    errors: tuple[str, ...] = ()
    total_cost: float = 0.0
    turns: int = 0
    usage: dict[str, int] = {}
    denials: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """What it says for people: its text, or its errors."""
        return self.text or "; ".join(self.errors)

    @property
    def is_unknown_session(self) -> bool:
        """Whether there was nothing to resume."""
        return self.is_error and any("No conversation found" in error for error in self.errors)


class Stream:
    """All that was understood so far."""

    def __init__(self) -> None:
        self.session_id = ""
        self.end: StreamEnd | None = None
        self.failed_servers: list[str] = []
        self.denials: list[str] = []
        self.last_text = ""
        self.retries = 0
        self._tokens: dict[str, dict[str, int]] = {}

    def take(self, line: str) -> list[str]:
        """Understand a line; what to show people of it, line by line, nothing for most events."""
        event = _decode(line)
        if event is None:
            return [line] if line.strip() else []
        match event.get("type"):
            case "system":
                return self._system(event)
            case "assistant":
                return self._assistant(event)
            case "result":
                return self._result(event)
            case _:
                return []

    @property
    def is_settled(self) -> bool:
        """Whether the last thing of weight was a result."""
        return self.end is not None

    def usage(self, previous_cost: float) -> Usage:
        """What this process consumed; `previous_cost` is what the session had cost before it, in US dollars.

        Without a result event tokens are added up from the messages, and the cost is left to the next run of the session.
        """
        if self.end is None:
            found = _added(self._tokens.values())
            return Usage(**_tokens(found), turns=len(self._tokens))
        cost = max(0.0, self.end.total_cost - previous_cost)
        return Usage(**_tokens(self.end.usage), cost_usd=round(cost, 6), turns=self.end.turns)

    def _system(self, event: dict[str, Any]) -> list[str]:
        match event.get("subtype"):
            case "init":
                self.session_id = _text(event.get("session_id")) or self.session_id
                servers = [server for server in _items(event.get("mcp_servers")) if isinstance(server, dict)]
                self.failed_servers = [_text(each.get("name")) for each in servers if each.get("status") == "failed"]
                self.end = None
                failed = [f"MCP server {name} did not start" for name in self.failed_servers]
                return [f"session {self.session_id}, model {_text(event.get('model'))}", *failed]
            case "api_retry":
                self.retries += 1
                return [f"the model's API answered {event.get('error_status')}; try {event.get('attempt')}"]
            case "permission_denied":
                tool = _text(event.get("tool_name")) or "a tool"
                return [f"permission denied: {tool}"]
            case _:
                return []

    def _assistant(self, event: dict[str, Any]) -> list[str]:
        message = event.get("message")
        if not isinstance(message, dict):
            return []
        usage = message.get("usage")
        if isinstance(usage, dict):
            self._tokens[_text(message.get("id"))] = _numbers(usage)
        shown: list[str] = []
        for block in _items(message.get("content")):
            if isinstance(block, dict):
                shown += self._block(block, own=event.get("parent_tool_use_id") is None)
        return shown

    def _block(self, block: dict[str, Any], *, own: bool) -> list[str]:
        match block.get("type"):
            case "text":
                text = _text(block.get("text"))
                if own:
                    self.last_text = text
                return text[:_SHOWN].split("\n")
            case "tool_use":
                asked = json.dumps(block.get("input"), ensure_ascii=False, default=str)
                return [f"{_text(block.get('name'))} {asked[:_SHOWN]}"]
            case _:
                return []

    def _result(self, event: dict[str, Any]) -> list[str]:
        self.session_id = _text(event.get("session_id")) or self.session_id
        denials = tuple(_denial(each) for each in _items(event.get("permission_denials"))[:_MOST_DENIALS])
        self.denials = list(dict.fromkeys((*self.denials, *denials)))
        usage = event.get("usage")
        status = event.get("api_error_status")
        self.end = StreamEnd(
            is_error=event.get("is_error") is not False,
            subtype=_text(event.get("subtype")),
            terminal_reason=_text(event.get("terminal_reason")),
            api_status=status if isinstance(status, int) else None,
            text=_text(event.get("result")),
            errors=tuple(_text(each) for each in _items(event.get("errors"))),
            total_cost=_number(event.get("total_cost_usd")),
            turns=int(_number(event.get("num_turns"))),
            usage=_numbers(usage) if isinstance(usage, dict) else {},
            denials=denials,
        )
        ended = self.end.terminal_reason or self.end.subtype
        return [f"ended: {ended}, {self.end.turns} turns, session cost ${self.end.total_cost:.4f}"]


def _decode(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        found = msgspec.json.decode(line.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _denial(denial: Any) -> str:
    if not isinstance(denial, dict):
        return "a tool"
    asked = denial.get("tool_input")
    detail = ""
    if isinstance(asked, dict):
        detail = _text(asked.get("command")) or _text(asked.get("file_path"))
    return f"{_text(denial.get('tool_name'))} {detail[:100]}".strip()


def _tokens(usage: dict[str, int]) -> dict[str, int]:
    return {
        "input_tokens": usage.get("input_tokens", 0) + usage.get("cache_creation_input_tokens", 0),
        "output_tokens": usage.get("output_tokens", 0),
        "cache_read_tokens": usage.get("cache_read_input_tokens", 0),
    }


def _added(usages: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for usage in usages:
        for name, number in usage.items():
            total[name] = total.get(name, 0) + number
    return total


def _numbers(usage: dict[str, Any]) -> dict[str, int]:
    return {name: value for name, value in usage.items() if isinstance(value, int) and not isinstance(value, bool)}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

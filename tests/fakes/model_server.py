"""A mock of a model's API, scripted by markers, for tests that run a real agent CLI. Stateless, stdlib only.

A script file maps names to steps, each step a list of blocks:

    {"commit": [[{"tool": "Bash", "input": {"command": "git commit -m x"}}], [{"text": "done"}]]}

Blocks: `{"text"}`, `{"tool", "input"}`, `{"sleep": seconds}`, `{"status", "type", "message", "headers"}` (an error answer).
The script of a request is the last `SCRIPT:<name>` in its last *human* text; the step is the number of assistant turns after
that text, the last step repeats. Without a marker the answer is a greeting. Every request is kept in `journal`.

Only `/v1/messages` (and its `count_tokens`) is spoken; another dialect is one more entry in `_ANSWERS`.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

Script = list[list[dict[str, Any]]]
Journal = list[dict[str, Any]]

_MARKER = re.compile(r"SCRIPT:([A-Za-z0-9_-]+)")
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
_GREETING: list[dict[str, Any]] = [{"text": "Hello."}]
_USAGE = {"input_tokens": 100, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1}
_OUTPUT_TOKENS = 20


class ModelServer:
    """The server, on a free port of the loopback interface, as an asynchronous context manager."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self.scripts = dict(scripts)
        self.journal: Journal = []
        self.asked = asyncio.Event()
        self.url = ""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    def requests(self) -> Journal:
        """Bodies of the requests for messages that came with tools: the agent's own turns."""
        return [entry["body"] for entry in self.journal if entry["path"] == "/v1/messages" and entry["body"].get("tools")]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has been killed: that is what some tests are about
        finally:
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line = await reader.readline()
        if not line.strip():
            return False
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = await _headers(reader)
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        body = json.loads(raw) if raw else {}
        path = target.partition("?")[0]
        self.journal.append({"method": method, "path": path, "url": target, "headers": headers, "body": body})
        self.asked.set()
        answer = _ANSWERS.get((method, path), _not_found)
        await answer(_Answer(writer), body, self.scripts)
        return True


class _Answer:
    """Writes one HTTP answer."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def whole(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self._head(status, {"content-type": "application/json", "content-length": str(len(data)), **(headers or {})})
        self._writer.write(data)
        await self._writer.drain()

    def begin(self) -> None:
        self._head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})

    async def event(self, data: dict[str, Any]) -> None:
        await self._chunk(f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode())

    async def end(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def _chunk(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self._writer.drain()

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in headers.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    while (line := (await reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers


async def _not_found(answer: _Answer, body: dict[str, Any], scripts: Mapping[str, Script]) -> None:
    await answer.whole(404, {"type": "error", "error": {"type": "not_found_error", "message": "no such endpoint here"}})


async def _count_tokens(answer: _Answer, body: dict[str, Any], scripts: Mapping[str, Script]) -> None:
    await answer.whole(200, {"input_tokens": 100})


async def _messages(answer: _Answer, body: dict[str, Any], scripts: Mapping[str, Script]) -> None:
    blocks, turn = choose_step(body, scripts)
    for block in blocks:
        if "sleep" in block:
            await asyncio.sleep(block["sleep"])
        if "status" in block:
            error = {"type": block.get("type", "api_error"), "message": block.get("message", "scripted")}
            await answer.whole(block["status"], {"type": "error", "error": error}, block.get("headers"))
            return
    content = [made for number, block in enumerate(blocks) if (made := _content(block, turn, number))]
    message = {"id": f"msg_{turn}_{id(body)}", "type": "message", "role": "assistant", "model": body.get("model", "mock")}
    reason = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    if not body.get("stream"):
        usage = {**_USAGE, "output_tokens": _OUTPUT_TOKENS}
        whole = {**message, "content": content, "stop_reason": reason, "stop_sequence": None, "usage": usage}
        await answer.whole(200, whole)
        return
    await _stream(answer, message, content, reason)


async def _stream(answer: _Answer, message: dict[str, Any], content: list[dict[str, Any]], reason: str) -> None:
    answer.begin()
    empty = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": _USAGE}
    await answer.event({"type": "message_start", "message": empty})
    for index, block in enumerate(content):
        start, delta = _parts(block)
        await answer.event({"type": "content_block_start", "index": index, "content_block": start})
        await answer.event({"type": "content_block_delta", "index": index, "delta": delta})
        await answer.event({"type": "content_block_stop", "index": index})
    ended = {"stop_reason": reason, "stop_sequence": None}
    await answer.event({"type": "message_delta", "delta": ended, "usage": {"output_tokens": _OUTPUT_TOKENS}})
    await answer.event({"type": "message_stop"})
    await answer.end()


def choose_step(body: Mapping[str, Any], scripts: Mapping[str, Script]) -> tuple[list[dict[str, Any]], int]:
    """The blocks to answer a request for messages with, and how many assistant turns the script has had."""
    if not body.get("tools"):
        return [{"text": "A title"}], 0
    name, turns = "", 0
    for message in body.get("messages", []):
        if message.get("role") == "assistant":
            turns += 1
        elif message.get("role") == "user" and (found := _MARKER.findall(_human_text(message.get("content")))):
            name, turns = found[-1], 0
    steps = scripts.get(name)
    return (steps[min(turns, len(steps) - 1)] if steps else _GREETING), turns


def _human_text(content: Any) -> str:
    if isinstance(content, str):
        return _REMINDER.sub("", content)
    texts = [block.get("text", "") for block in content or [] if block.get("type") == "text"]
    return _REMINDER.sub("", "\n".join(texts))


def _content(block: Mapping[str, Any], turn: int, number: int) -> dict[str, Any] | None:
    if "text" in block:
        return {"type": "text", "text": block["text"]}
    if "tool" in block:
        return {"type": "tool_use", "id": f"toolu_{turn}_{number}", "name": block["tool"], "input": block["input"]}
    return None


def _parts(block: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    if block["type"] == "text":
        return {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
    start = {**block, "input": {}}
    return start, {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}


_ANSWERS: dict[tuple[str, str], Callable[[_Answer, dict[str, Any], Mapping[str, Script]], Awaitable[None]]] = {
    ("POST", "/v1/messages"): _messages,
    ("POST", "/v1/messages/count_tokens"): _count_tokens,
}

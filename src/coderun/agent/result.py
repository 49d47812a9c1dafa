"""What comes back from an agent: its result file, its last words, and how its text is made fit to be shown.

Agent output is untrusted: nothing here runs it, follows its links, or trusts its size. What is wrong with a result is a
sentence, never an exception.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from coderun.agent.regular import NotRegularError, read_regular
from coderun.model.coderun import Verdict
from coderun.model.errors import CoderunError

RESULT_LIMIT: Final = 256 * 1024
SUMMARY_LIMIT: Final = 2048
COMMENT_LIMIT: Final = 8 * 1024
MOST_COMMENTS: Final = 50
SHORTEST_SECRET: Final = 8
_GITHUB_TOKEN: Final = re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]|github_pat_[A-Za-z0-9])[A-Za-z0-9_.-]{15,}")
_CUT: Final = " […]"
# Control characters (categories Cc and Cs) but newline and tab, and those that turn the direction of text.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_OBEYED_IN_LINE = re.compile(f"\n|{_OBEYED.pattern}")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*(?:json)?[ \t]*", re.IGNORECASE)


class RunFailedError(CoderunError):
    """This attempt cannot succeed any more; `reason` is the CamelCase word of the report."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RunCancelledError(CoderunError):
    """Somebody asked this attempt to end."""


class AgentResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says of its work: `result.json`. Unknown fields are ignored."""

    verdict: Verdict | None = None
    summary: str = ""
    comments: tuple[str, ...] = ()


class ResultReading(msgspec.Struct, frozen=True, kw_only=True):
    """A result, or what was wrong with it in `problem`; neither where the agent wrote none."""

    result: AgentResult | None = None
    problem: str = ""


def read_result(path: Path) -> ResultReading:
    """The result file at `path`. Only a regular file is read, no link is followed, and at most `RESULT_LIMIT` bytes."""
    try:
        data = read_regular(path, RESULT_LIMIT + 1)
    except FileNotFoundError:
        return ResultReading()
    except NotRegularError as error:
        return ResultReading(problem=f"the result cannot be taken: {error}")
    except OSError as error:
        return ResultReading(problem=f"the result file could not be read: {error.strerror}")
    if len(data) > RESULT_LIMIT:
        return ResultReading(problem=f"the result file is larger than {RESULT_LIMIT // 1024} KiB")
    return decode_result(data)


def decode_result(data: bytes | str) -> ResultReading:
    """The result that `data` spells as JSON, with its texts made fit to be shown."""
    try:
        found = msgspec.json.decode(data, type=AgentResult)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return ResultReading(problem=f"the result is not as agreed: {clean_text(str(error), 300)}")
    return ResultReading(
        result=AgentResult(
            verdict=found.verdict,
            summary=clean_text(found.summary, SUMMARY_LIMIT),
            comments=tuple(clean_text(comment, COMMENT_LIMIT) for comment in found.comments[:MOST_COMMENTS]),
        )
    )


def result_of_text(text: str) -> AgentResult | None:
    """The result in the last fenced JSON block of `text` that is one, or in all of `text`; None where there is none."""
    end = text[-RESULT_LIMIT:]
    for candidate in (*reversed(_fenced_blocks(end)), end):
        if not candidate.lstrip().startswith("{"):
            continue
        found = decode_result(candidate.encode("utf-8", "replace")).result
        if found is not None and found.verdict is not None:
            return found
    return None


def clean_text(text: str, limit: int) -> str:
    """`text` without control and direction characters (newlines and tabs stay), cut to `limit` bytes of UTF-8."""
    kept = _OBEYED.sub("", text[: limit * 2]).strip()
    data = kept.encode("utf-8")
    if len(data) <= limit and len(text) <= limit * 2:
        return kept
    return data[: limit - len(_CUT.encode())].decode("utf-8", "ignore").rstrip() + _CUT


def one_line(text: str, limit: int) -> str:
    """`text` as `clean_text` leaves it, on one line."""
    return " ".join(clean_text(text, limit).split())


def escape_controls(text: str) -> str:
    r"""`text` with every control and direction character but tab spelled out (`\x1b`), so that no terminal obeys it."""
    return _OBEYED_IN_LINE.sub(_escaped, text)


def hide_secrets(text: str, secrets: Iterable[str]) -> str:
    """`text` with every one of `secrets` replaced, and all that looks like a token of GitHub.

    What is shorter than `SHORTEST_SECRET` is no secret. A token that was renewed meanwhile is no longer among `secrets`.
    """
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET and secret in text:
            text = text.replace(secret, "•••")
    return _GITHUB_TOKEN.sub("•••", text)


def without_secrets(result: AgentResult, secrets: tuple[str, ...]) -> AgentResult:
    """`result` with every one of `secrets` replaced in its texts."""
    comments = tuple(hide_secrets(comment, secrets) for comment in result.comments)
    return AgentResult(verdict=result.verdict, summary=hide_secrets(result.summary, secrets), comments=comments)


def fenced(text: str) -> str:
    """`text` as a Markdown code block that nothing inside can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _fenced_blocks(text: str) -> list[str]:
    """Contents of the fenced blocks of `text`, line by line: a pattern over all of it would take time beyond measure."""
    blocks: list[str] = []
    fence, lines = "", list[str]()
    for line in text.split("\n"):
        found = _FENCE.fullmatch(line)
        if not fence and found:
            fence, lines = found.group(1), []
        elif fence and line.strip() == fence:
            blocks.append("\n".join(lines))
            fence = ""
        elif fence:
            lines.append(line)
    return blocks


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - where one byte of hex ends

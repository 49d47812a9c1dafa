"""Commands in comments: `/coderun pause|resume|retry|abort|approve` as the first line. Pure.

Comments are untrusted: nothing of one is looked at but its first line, and that must be a command and nothing else. Whether its
author may command is judged here too, from what the forge says of them.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from coderun.model.play import Play, PlaySpec
from coderun.model.pulls import Comment, PullRequest
from coderun.model.roster import Roster
from coderun.model.text import printable
from coderun.pipeline.wishes import aborting, approving, pausing, resuming, retrying

OWN_MARK: Final = "<!-- coderun:"
_LINE: Final = re.compile(r"[ \t]{0,3}/coderun(?:[ \t]+(?P<rest>.*))?[ \t]*", re.IGNORECASE)
_SHOWN: Final = 40
_CLOCK_SLACK: Final = timedelta(seconds=5)  # the stage began by our clock, the comment was written by the forge's


class Verb(StrEnum):
    """What can be asked for in a comment."""

    APPROVE = "approve"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    ABORT = "abort"


KNOWN: Final = f"/coderun {'|'.join(verb.value for verb in Verb)}"
DONE: Final = {
    Verb.APPROVE: "approved",
    Verb.PAUSE: "paused",
    Verb.RESUME: "resumed",
    Verb.RETRY: "goes on with fresh attempts",
    Verb.ABORT: "is being aborted",
}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a comment asks for: a verb, or `said`, which is none that we know."""

    verb: Verb | None = None
    said: str = ""


def asked_in(body: str) -> Asked | None:
    """The command that a comment is, None where it is none. Quotes, code blocks and our own comments are none."""
    if OWN_MARK in body:
        return None
    line = body.lstrip("\r\n").partition("\n")[0].rstrip("\r")
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    word = (found["rest"] or "").strip().lower()
    verb = next((verb for verb in Verb if verb.value == word), None)
    return Asked(verb=verb) if verb is not None else Asked(said=printable(word, _SHOWN))


def refusal_of(comment: Comment, roster: Roster) -> str:
    """Why whoever wrote a comment may not command, "" where they may.

    Agents may not, whatever they may write: what they read would command through them. That goes for a person too in whose name
    agents act.
    """
    login = printable(comment.actor.login, _SHOWN) or "somebody unknown"
    if roster.of_login(comment.actor.login) is not None:
        return f"{login} is who agents act as, and agents do not command"
    if comment.actor.login.lower().endswith("[bot]"):
        return f"{login} is no person"
    if not comment.actor.can_write:
        return f"{login} may not write to the repository"
    return ""


def change_of(verb: Verb, by: str, at: datetime) -> Callable[[Play], PlaySpec]:
    """What a command of somebody makes of a play's spec: the same as the command line's."""
    if verb is Verb.APPROVE:
        return approving(by, at)
    return {Verb.PAUSE: pausing, Verb.RESUME: resuming, Verb.RETRY: retrying, Verb.ABORT: aborting}[verb]


def stale(verb: Verb, comment: Comment, play: Play, pull: PullRequest) -> str:
    """Why a command came too late for what it meant, "" where it did not: what is approved is what its author could see."""
    if verb is not Verb.APPROVE or comment.at is None:
        return ""
    if pull.head_since is not None and pull.head_since > comment.at:
        return f"the head moved to {pull.head_sha[:8]} after the comment; approve that one, if you mean it"
    since = play.status.stage_since
    if since is not None and since > comment.at + _CLOCK_SLACK:
        return f"stage {play.status.stage} began after the comment; approve that one, if you mean it"
    return ""

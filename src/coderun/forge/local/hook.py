"""The pre-receive hook of the local forge: who pushes, may they, and an announcement of what they push.

A program of its own: a copy stands in the bare repository and is run as `python -I -S coderun_hook.py`, so it imports nothing
of this package and little of anything else. It reads `old new ref` lines on stdin, in the bare repository; `../forge.db` is the
forge's database. Exit code 0 lets git go on, 1 refuses the whole push. It moves no ref itself: whether the push happened is
read from the refs later (`moves.py`).
"""

import os
import sqlite3
import sys
import time

TOKEN_FILE = "CODERUN_FORGE_TOKEN_FILE"  # noqa: S105 - the name of a variable
DATABASE = os.path.join(os.pardir, "forge.db")  # noqa: PTH118 - pathlib would double the start-up time
HEADS = "refs/heads/"
BUSY_SECONDS = 10.0


class Refusal(Exception):  # noqa: N818 - it is an answer
    """The push is refused; the text says why and what to do."""


def main() -> int:
    """Let the push pass, or refuse it with a reason on stderr."""
    try:
        updates = [_update(line) for line in sys.stdin.buffer.read().splitlines()]
        database = sqlite3.connect(f"file:{DATABASE}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _take(database, updates)
        finally:
            database.close()
    except Refusal as refusal:
        return _refuse(str(refusal))
    except sqlite3.Error as error:
        return _refuse(f"the forge's database cannot be used now: {error}; check the disk's space, then push again")
    return 0


def _refuse(why: str) -> int:
    sys.stderr.write(f"coderun: push refused: {why}\n")
    return 1


def _update(line: bytes) -> tuple[str, str, str]:
    old, new, ref = line.split(b" ", 2)
    try:
        return _there(old.decode("ascii")), _there(new.decode("ascii")), ref.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(f"the ref {ref!r} is not UTF-8; give the branch another name") from error


def _there(sha: str) -> str:
    return sha if sha.strip("0") else ""


def _take(database: sqlite3.Connection, updates: list[tuple[str, str, str]]) -> None:
    login, is_agent = _pusher(database)
    settings = dict(database.execute("SELECT key, value FROM setting WHERE key IN ('base_ref', 'person')").fetchall())
    for old, new, ref in updates:
        _check_ref(ref, login, is_agent=is_agent)
        if ref == settings["base_ref"]:
            _check_base(old, new, ref, login, is_agent=is_agent)
    at = time.time_ns() // 1000
    rows = [(ref, old, new, login or settings["person"], at) for old, new, ref in updates if ref.startswith(HEADS)]
    database.execute("BEGIN IMMEDIATE")
    database.executemany("INSERT INTO announced (ref, old, new, login, at) VALUES (?, ?, ?, ?, ?)", rows)
    database.execute("COMMIT")


def _pusher(database: sqlite3.Connection) -> tuple[str, bool]:
    """Login and whether it is an agent's; "" is the person."""
    path = os.environ.get(TOKEN_FILE)
    if not path:
        return "", False
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            token = file.read(4096).strip()
    except OSError as error:
        raise Refusal(
            f"{TOKEN_FILE} names {path!r}, which cannot be read ({error.strerror}); unset it to push as yourself"
        ) from error
    import hashlib  # noqa: PLC0415 - a person's push does not need it

    query = "SELECT login FROM token WHERE digest = ? AND revoked_at IS NULL"
    row = database.execute(query, (hashlib.sha256(token).hexdigest(),)).fetchone()
    if row is None:
        raise Refusal(
            "the forge token is unknown or revoked: its run is over; unset CODERUN_FORGE_TOKEN_FILE to push as yourself"
        )
    return row[0], True


def _check_ref(ref: str, login: str, *, is_agent: bool) -> None:
    if ref.startswith(HEADS):
        name = ref[len(HEADS) :]
        if name.startswith("-") or name == "HEAD":
            raise Refusal(f"{name!a} would be taken for something else than a branch; give it another name")
    elif is_agent:
        raise Refusal(f"{login} may push branches only, not {ref!a}; push to refs/heads/…")
    elif not ref.startswith("refs/tags/"):
        raise Refusal(f"{ref!a} is kept by the forge; push branches and tags only")


def _check_base(old: str, new: str, ref: str, login: str, *, is_agent: bool) -> None:
    branch = ascii(ref[len(HEADS) :])
    if is_agent:
        raise Refusal(
            f"{branch} is the protected base branch and {login} an agent; push a branch of your own and open a pull request"
        )
    if not new:
        raise Refusal(f"{branch} is the protected base branch and cannot be deleted")
    if old and os.spawnvp(os.P_WAIT, "git", ["git", "merge-base", "--is-ancestor", old, new]):  # noqa: S606 - git on object ids that git gave
        raise Refusal(
            f"{branch} is the protected base branch: its commits cannot be dropped; pull first, then push on top of them"
        )


if __name__ == "__main__":
    sys.exit(main())

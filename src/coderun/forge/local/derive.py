"""What follows from a pull request's head and base alone: merge base, own commits, marker files, whether they merge.

Computed by git when asked for, kept in the database under the two commits it was computed from, so that a pull request whose
head and base have not moved costs no git process. Never decides; marker files are untrusted.
"""

from typing import Final

import msgspec

from coderun.forge.local.database import Database, Row
from coderun.forge.local.git import Git
from coderun.model.markers import MARKER_FOLDER, MAX_MARKER, UPSTREAM_MARKER, task_in_marker, task_of_marker
from coderun.model.pulls import Mergeability

MAX_COMMITS: Final = 2000
_PLAIN_FILES: Final = frozenset({"100644", "100755"})
_STALE: Final = (
    "SELECT p.number, p.head_sha, COALESCE(NULLIF(p.final_base, ''), r.sha) AS base FROM pull p "
    "LEFT JOIN known_ref r ON r.ref = 'refs/heads/' || p.base_branch LEFT JOIN derived d ON d.pull = p.number "
    "WHERE base IS NOT NULL AND (d.pull IS NULL OR (p.state <> 'closed' AND (d.head_sha <> p.head_sha OR d.base_sha <> base)))"
)
_UNTRIED: Final = (
    "SELECT p.number, p.head_sha, r.sha FROM pull p JOIN known_ref r ON r.ref = 'refs/heads/' || p.base_branch "
    "LEFT JOIN mergeability m ON m.pull = p.number AND m.head_sha = p.head_sha AND m.base_sha = r.sha "
    "WHERE p.state = 'open' AND m.pull IS NULL"
)
_SETTLE: Final = (
    "UPDATE pull SET settled = 1 WHERE settled = 0 AND state <> 'open' AND EXISTS (SELECT 1 FROM derived d "
    "WHERE d.pull = number AND d.head_sha = pull.head_sha AND (state = 'closed' OR d.base_sha = final_base))"
)


class Derivation(msgspec.Struct, frozen=True, kw_only=True):
    """What one head has that one base lacks.

    Attributes:
        merge_base: Where they left each other, "" without common history.
        commits: The head's own commits, newest first; None where there are more than are worth keeping.
        markers: Task ids of marker files that the own commits add or change.
    """

    merge_base: str
    commits: tuple[str, ...] | None
    markers: tuple[int, ...]


async def derive(git: Git, head: str, base: str) -> Derivation:
    """Ask git what `head` has that `base` lacks."""
    merge_base = await git.merge_base(base, head)
    commits = await git.commits_between(base, head, limit=MAX_COMMITS + 1)
    markers = await _markers(git, merge_base, head) if merge_base else ()
    return Derivation(merge_base=merge_base, commits=commits if len(commits) <= MAX_COMMITS else None, markers=markers)


async def _markers(git: Git, merge_base: str, head: str) -> tuple[int, ...]:
    found: set[int] = set()
    for path, mode, blob in await git.changed_blobs(merge_base, head, [MARKER_FOLDER, UPSTREAM_MARKER]):
        if mode not in _PLAIN_FILES:
            continue  # a link or a submodule is no marker
        own = task_of_marker(path)
        if own is not None:
            found.add(own)
        elif path == UPSTREAM_MARKER:
            content = await git.blob(blob, MAX_MARKER)
            task = task_in_marker(content) if content is not None else None
            found |= {task} if task is not None else set()
    return tuple(sorted(found))


def stale_derivation(db: Database, number: int) -> Row | None:
    """(number, head, base) where the derivation of a pull request is missing or of other commits."""
    return db.row(f"{_STALE} AND p.number = ?", (number,))


def stale_derivations(db: Database) -> list[Row]:
    """The same for all that may have changed: the open ones, and finished ones until they have been derived once more."""
    return db.rows(f"{_STALE} AND p.settled = 0 ORDER BY p.number")


def settle_finished(db: Database) -> None:
    """Mark finished pull requests whose derivation is final, so that nobody looks for stale ones among them."""
    if db.row("SELECT 1 FROM pull WHERE settled = 0 AND state <> 'open' LIMIT 1"):
        db.execute(_SETTLE)


def keep_derivation(db: Database, number: int, head: str, base: str, derived: Derivation) -> None:
    """Store it under the commits it was computed from."""
    commits = None if derived.commits is None else " ".join(derived.commits)
    with db.transaction():
        db.execute(
            "INSERT OR REPLACE INTO derived (pull, head_sha, base_sha, merge_base, commits) VALUES (?, ?, ?, ?, ?)",
            (number, head, base, derived.merge_base, commits),
        )
        db.execute("DELETE FROM marker WHERE pull = ?", (number,))
        db.execute_many("INSERT INTO marker (pull, task) VALUES (?, ?)", [(number, task) for task in derived.markers])


def merge_base_of(db: Database, number: int) -> str:
    """The merge base that is kept for a pull request, "" where there is none."""
    found: str | None = db.value("SELECT merge_base FROM derived WHERE pull = ?", (number,))
    return found or ""


def carry_over(db: Database, number: int, old_base: str, new_base: str, gained: frozenset[str]) -> None:
    """Keep a derivation valid when the base moves by commits (`gained`) of which the head has none: nothing else follows."""
    row = db.row("SELECT base_sha, commits FROM derived WHERE pull = ?", (number,))
    if row is None or row[0] != old_base or row[1] is None or not gained.isdisjoint(row[1].split()):
        return
    db.execute("UPDATE derived SET base_sha = ? WHERE pull = ?", (new_base, number))


def untried_merge(db: Database, number: int) -> Row | None:
    """(number, head, base) where the pull request is open and its merge has not been tried with these commits."""
    return db.row(f"{_UNTRIED} AND p.number = ?", (number,))


async def try_merge(git: Git, head: str, base: str) -> Mergeability:
    """Whether they merge without conflict."""
    tried = await git.merge_tree(base, head)
    return Mergeability.CLEAN if tried.tree else Mergeability.CONFLICT


def keep_mergeability(db: Database, number: int, head: str, base: str, state: Mergeability) -> None:
    """Store it under the commits that were tried."""
    db.execute(
        "INSERT INTO mergeability (pull, head_sha, base_sha, state) VALUES (?, ?, ?, ?) ON CONFLICT (pull) DO UPDATE "
        "SET head_sha = excluded.head_sha, base_sha = excluded.base_sha, state = excluded.state",
        (number, head, base, state.value),
    )

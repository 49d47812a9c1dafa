"""Rows of the forge's database that make up pull requests: themselves, labels, reviews, comments, pushes, checks.

Functions over `Database`, each one statement or a few; whoever needs several to hold together opens the transaction. Nothing
here asks git or decides who may do what. Times are microseconds since the epoch.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from coderun.forge.local.database import Database, Row
from coderun.forge.local.journal import add_event, moment, pusher_of
from coderun.forge.local.records import UNKNOWN_LOGIN, ForgeSettings
from coderun.forge.texts import label_key
from coderun.model.names import task_of_branch, task_of_label
from coderun.model.pulls import (
    Actor,
    Check,
    Checks,
    CheckState,
    Comment,
    LabelMark,
    Mergeability,
    NewPullRequest,
    PullRequest,
    PullState,
    Push,
    Review,
    ReviewState,
)

_BATCH: Final = 500
_PULL_COLUMNS: Final = (
    "number, title, body, author, head_branch, base_branch, head_sha, state, draft, "
    "created_at, head_since, merged_at, merged_by, merge_sha"
)
PartT = TypeVar("PartT")


def actor(login: str) -> Actor:
    """A stored login as an actor: everybody known may push."""
    return Actor(login=login, can_write=login != UNKNOWN_LOGIN)


def add_pull_event(db: Database, name: str, number: int, *, at: int, login: str, detail: str = "") -> None:
    """Append an event of a pull request, as of the head it has now."""
    db.execute(
        "INSERT INTO event (at, name, pull, ref, head_sha, actor, detail) "
        "SELECT ?, ?, number, 'refs/heads/' || head_branch, head_sha, ?, ? FROM pull WHERE number = ?",
        (at, name, login, detail, number),
    )


def ensure_pull(db: Database, new: NewPullRequest, *, author: str, head_sha: str, at: int) -> int:
    """Number of the open pull request of this head and base; where there is none it is added, with its first head."""
    found = open_pull_of(db, new.head_branch, new.base_branch)
    if found is not None:
        return found
    text = (new.title, new.body, author, new.head_branch, new.base_branch)
    number = db.execute(
        "INSERT INTO pull (title, body, author, head_branch, base_branch, head_sha, state, draft, branch_task, created_at, "
        "head_since) VALUES (?, ?, ?, ?, ?, ?, 'open', ?, ?, ?, ?)",
        (*text, head_sha, int(new.draft), task_of_branch(new.head_branch), at, at),
    )
    add_push(db, number, head_sha, login=pusher_of(db, new.head_branch, head_sha), at=at)
    add_pull_event(db, "pull_request.opened", number, at=at, login=author)
    return number


def open_pull_of(db: Database, head_branch: str, base_branch: str) -> int | None:
    """Number of the open pull request of a head and a base."""
    number: int | None = db.value(
        "SELECT number FROM pull WHERE head_branch = ? AND base_branch = ? AND state = 'open'", (head_branch, base_branch)
    )
    return number


def pull_numbers(db: Database, state: PullState | None) -> list[int]:
    """Numbers of all pull requests (of a state), oldest first."""
    if state is None:
        return [row[0] for row in db.rows("SELECT number FROM pull ORDER BY number")]
    return [row[0] for row in db.rows("SELECT number FROM pull WHERE state = ? ORDER BY number", (state.value,))]


def pulls_of_task(db: Database, task: int) -> list[int]:
    """Numbers of those whose branch, a label or a marker file stands for a task, oldest first."""
    rows = db.rows(
        "SELECT number FROM pull WHERE branch_task = ?1 UNION SELECT pull FROM label WHERE task = ?1 "
        "UNION SELECT pull FROM marker WHERE task = ?1 ORDER BY 1",
        (task,),
    )
    return [row[0] for row in rows]


def add_push(db: Database, number: int, sha: str, *, login: str, at: int) -> None:
    """Add a move of the head to a pull request's list."""
    db.execute("INSERT INTO push (pull, sha, login, at) VALUES (?, ?, ?, ?)", (number, sha, login, at))


def move_head(db: Database, number: int, sha: str, *, login: str, at: int) -> None:
    """A pull request's head is another commit now."""
    db.execute("UPDATE pull SET head_sha = ?, head_since = ? WHERE number = ?", (sha, at, number))
    add_push(db, number, sha, login=login, at=at)
    add_pull_event(db, "pull_request.synchronize", number, at=at, login=login)


def head_of(db: Database, number: int) -> str:
    """Head commit of a pull request."""
    return str(db.value("SELECT head_sha FROM pull WHERE number = ?", (number,)))


def close_pull(db: Database, number: int, *, login: str, at: int) -> bool:
    """Close an open pull request unmerged; False where it is not open."""
    if not db.row("SELECT 1 FROM pull WHERE number = ? AND state = 'open'", (number,)):
        return False
    db.execute("UPDATE pull SET state = 'closed' WHERE number = ?", (number,))
    add_pull_event(db, "pull_request.closed", number, at=at, login=login)
    return True


def reopen_pull(db: Database, number: int, *, head_sha: str, login: str, at: int) -> None:
    """Open a closed pull request again, at the head its branch has now."""
    db.execute("UPDATE pull SET state = 'open', settled = 0 WHERE number = ? AND state = 'closed'", (number,))
    add_pull_event(db, "pull_request.reopened", number, at=at, login=login)
    if head_of(db, number) != head_sha:
        branch: str = db.value("SELECT head_branch FROM pull WHERE number = ?", (number,))
        move_head(db, number, head_sha, login=pusher_of(db, branch, head_sha), at=at)


def set_draft(db: Database, number: int, *, draft: bool, login: str, at: int) -> bool:
    """Turn an open pull request into a draft, or a draft into a ready one; False where it is so or not open."""
    if not db.row("SELECT 1 FROM pull WHERE number = ? AND state = 'open' AND draft <> ?", (number, int(draft))):
        return False
    db.execute("UPDATE pull SET draft = ? WHERE number = ?", (int(draft), number))
    name = "pull_request.converted_to_draft" if draft else "pull_request.ready_for_review"
    add_pull_event(db, name, number, at=at, login=login)
    return True


def mark_merged(db: Database, number: int, *, base_before: str, merge_sha: str, login: str, at: int) -> None:
    """A pull request has become part of its base, which stood at `base_before`; nothing happens to one known to be merged."""
    if db.value("SELECT 1 FROM pull WHERE number = ? AND state <> 'merged'", (number,)):
        db.execute(
            "UPDATE pull SET state = 'merged', merged_at = ?, merged_by = ?, merge_sha = ?, final_base = ? WHERE number = ?",
            (at, login, merge_sha, base_before, number),
        )
        add_pull_event(db, "pull_request.closed", number, at=at, login=login, detail="merged")


def read_pulls(db: Database, numbers: Sequence[int], *, settings: ForgeSettings, url: str) -> list[PullRequest]:
    """Pull requests with everything on them, in the order of their numbers; unknown numbers are passed over."""
    pulls: list[PullRequest] = []
    for start in range(0, len(numbers), _BATCH):
        pulls += _read_batch(db, sorted(numbers[start : start + _BATCH]), settings=settings, url=url)
    return pulls


def _read_batch(db: Database, numbers: Sequence[int], *, settings: ForgeSettings, url: str) -> list[PullRequest]:
    places = ",".join("?" * len(numbers))

    def parts(query: str, make: Callable[[Row], PartT]) -> dict[int, list[PartT]]:
        found: dict[int, list[PartT]] = {}
        for row in db.rows(query.format(places), numbers):
            found.setdefault(row[0], []).append(make(row))
        return found

    labels = parts("SELECT pull, name, login, head_sha, at FROM label WHERE pull IN ({}) ORDER BY pull, at, key", _label)
    reviews = parts("SELECT pull, id, login, state, head_sha, body, at FROM review WHERE pull IN ({}) ORDER BY id", _review)
    pushes = parts("SELECT pull, sha, login, at FROM push WHERE pull IN ({}) ORDER BY id", _push)
    checks = parts(
        "SELECT number, name, check_run.state, required, summary FROM pull JOIN check_run ON sha = head_sha "
        "WHERE number IN ({}) ORDER BY number, name",
        _check,
    )
    markers = parts("SELECT pull, task FROM marker WHERE pull IN ({}) ORDER BY pull, task", _second)
    mergeable = parts(
        "SELECT m.pull, m.state FROM mergeability m JOIN pull p ON p.number = m.pull AND p.head_sha = m.head_sha "
        "JOIN known_ref r ON r.ref = 'refs/heads/' || p.base_branch AND r.sha = m.base_sha "
        "WHERE p.state = 'open' AND p.number IN ({})",
        _mergeability,
    )
    pulls = []
    for row in db.rows(f"SELECT {_PULL_COLUMNS} FROM pull WHERE number IN ({places}) ORDER BY number", numbers):  # noqa: S608 - only column names and question marks
        number = row[0]
        pulls.append(
            PullRequest(
                number=number,
                url=f"{url}#pull/{number}",
                title=row[1],
                body=row[2],
                author=actor(row[3]),
                head_branch=row[4],
                base_branch=row[5],
                head_sha=row[6],
                state=PullState(row[7]),
                draft=bool(row[8]),
                created_at=moment(row[9]),
                head_since=moment(row[10]),
                merged_at=None if row[11] is None else moment(row[11]),
                merged_by=row[12],
                merge_sha=row[13],
                labels=tuple(labels.get(number, ())),
                reviews=tuple(reviews.get(number, ())),
                pushes=tuple(pushes.get(number, ())),
                checks=Checks(items=tuple(checks.get(number, ())), expected=settings.checks),
                markers=tuple(markers.get(number, ())),
                mergeability=mergeable.get(number, [Mergeability.UNKNOWN])[0],
            )
        )
    return pulls


def _label(row: Row) -> LabelMark:
    return LabelMark(name=row[1], actor=actor(row[2]), head_sha=row[3], at=moment(row[4]))


def _review(row: Row) -> Review:
    return Review(id=row[1], actor=actor(row[2]), state=ReviewState(row[3]), head_sha=row[4], body=row[5], at=moment(row[6]))


def _push(row: Row) -> Push:
    return Push(sha=row[1], actor=actor(row[2]), at=moment(row[3]))


def _check(row: Row) -> Check:
    return Check(name=row[1], state=CheckState(row[2]), required=bool(row[3]), summary=row[4])


def _second(row: Row) -> int:
    return int(row[1])


def _mergeability(row: Row) -> Mergeability:
    return Mergeability(row[1])


def set_label(db: Database, number: int, name: str, *, login: str, at: int) -> bool:
    """Bind a label to the head the pull request has now; False where it is so bound by that login."""
    key = label_key(name)
    head = head_of(db, number)
    if db.row("SELECT 1 FROM label WHERE pull = ? AND key = ? AND login = ? AND head_sha = ?", (number, key, login, head)):
        return False
    db.execute(
        "INSERT INTO label (pull, key, name, login, head_sha, at, task) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (pull, key) "
        "DO UPDATE SET name = excluded.name, login = excluded.login, head_sha = excluded.head_sha, at = excluded.at",
        (number, key, name, login, head, at, task_of_label(name)),
    )
    add_pull_event(db, "pull_request.labeled", number, at=at, login=login, detail=name)
    return True


def has_label(db: Database, number: int, name: str) -> bool:
    """Whether a label is set, on whatever head."""
    return db.row("SELECT 1 FROM label WHERE pull = ? AND key = ?", (number, label_key(name))) is not None


def drop_label(db: Database, number: int, name: str, *, login: str, at: int) -> bool:
    """Take a label off; False where it was not set."""
    stored: str | None = db.value("SELECT name FROM label WHERE pull = ? AND key = ?", (number, label_key(name)))
    if stored is None:
        return False
    db.execute("DELETE FROM label WHERE pull = ? AND key = ?", (number, label_key(name)))
    add_pull_event(db, "pull_request.unlabeled", number, at=at, login=login, detail=stored)
    return True


def insert_review(db: Database, number: int, state: ReviewState, body: str, *, login: str, head_sha: str, at: int) -> Review:
    """Add a review."""
    new = db.execute(
        "INSERT INTO review (pull, login, state, head_sha, body, at) VALUES (?, ?, ?, ?, ?, ?)",
        (number, login, state.value, head_sha, body, at),
    )
    add_pull_event(db, "pull_request_review.submitted", number, at=at, login=login, detail=state.value)
    return Review(id=new, actor=actor(login), state=state, head_sha=head_sha, body=body, at=moment(at))


def read_comments(db: Database, number: int) -> list[Comment]:
    """The conversation, oldest first."""
    rows = db.rows("SELECT id, login, body, at FROM comment WHERE pull = ? ORDER BY id", (number,))
    return [Comment(id=id_, actor=actor(login), body=body, at=moment(at)) for id_, login, body, at in rows]


def put_comment(db: Database, number: int, body: str, *, marker: str, login: str, at: int) -> bool:
    """Add a comment, or edit the own one that carries `marker`; False where that one says the same."""
    same = "SELECT id, body FROM comment WHERE pull = ? AND login = ? AND marker = ? AND marker <> ''"
    old = db.row(same, (number, login, marker))
    if old is None:
        db.execute(
            "INSERT INTO comment (pull, login, body, marker, at) VALUES (?, ?, ?, ?, ?)", (number, login, body, marker, at)
        )
        add_pull_event(db, "issue_comment.created", number, at=at, login=login)
        return True
    if old[1] == body:
        return False
    db.execute("UPDATE comment SET body = ?, edited_at = ? WHERE id = ?", (body, at, old[0]))
    add_pull_event(db, "issue_comment.edited", number, at=at, login=login)
    return True


def put_check(db: Database, sha: str, check: Check, *, login: str, at: int) -> bool:
    """Record a check of a commit in place of the one of its name; False where nothing changes."""
    values = (check.state.value, int(check.required), check.summary)
    stored = db.row("SELECT state, required, summary FROM check_run WHERE sha = ? AND name = ?", (sha, check.name))
    if stored is not None and tuple(stored) == values:
        return False
    db.execute(
        "INSERT INTO check_run (state, required, summary, at, sha, name) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (sha, name) "
        "DO UPDATE SET state = excluded.state, required = excluded.required, summary = excluded.summary, at = excluded.at",
        (*values, at, sha, check.name),
    )
    action = "check_run.created" if check.state is CheckState.PENDING else "check_run.completed"
    detail = f"{check.name}: {check.state.value}"
    numbers = [
        row[0] for row in db.rows("SELECT number FROM pull WHERE head_sha = ? AND state = 'open' ORDER BY number", (sha,))
    ]
    for number in numbers:
        add_pull_event(db, action, number, at=at, login=login, detail=detail)
    if not numbers:
        add_event(db, action, at=at, login=login, head_sha=sha, detail=detail)
    return True


def put_checks(db: Database, sha: str, checks: Iterable[Check], *, only_open: bool = False, login: str, at: int) -> bool:
    """Record several, with `only_open` in place of pending ones alone; whether any changed."""
    wanted = list(checks)
    if only_open:
        rows = db.rows("SELECT name FROM check_run WHERE sha = ? AND state = ?", (sha, CheckState.PENDING.value))
        pending = {row[0] for row in rows}
        wanted = [check for check in wanted if check.name in pending]
    changed = [put_check(db, sha, check, login=login, at=at) for check in wanted]
    return any(changed)

"""Deliveries in their table: what each call of `Inbox` does to the file, as one small transaction each.

Between `sqlite` and `database`, beside `objects`. It never looks into a delivery's body and does not know what becomes of one.
A delivery takes its revision from the count of the objects, so that watches of other processes learn of it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from coderun.model.deliveries import Delivery, DeliveryState
from coderun.model.errors import StoreCorruptError
from coderun.store.codec import to_moment, to_number
from coderun.store.database import Database
from coderun.store.objects import last_revision
from coderun.store.protocol import Settlement

_COLUMNS: Final = "id, event, repository, received, body, state, outcome"


class InboxTable:
    """The deliveries of a file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, deliveries: Sequence[Delivery]) -> list[tuple[int, str]]:
        """Store those whose id is new; their revisions and ids."""
        added: list[tuple[int, str]] = []
        with self._database.writing():
            revision = last_revision(self._database)
            for delivery in deliveries:
                if self._database.rows("SELECT 1 FROM deliveries WHERE id = ?", (delivery.id,)):
                    continue
                revision += 1
                self._database.rows(
                    f"INSERT INTO deliveries (revision, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants only
                    (revision, *_to_row(delivery)),
                )
                added.append((revision, delivery.id))
        return added

    def pending(self, limit: int) -> list[Delivery]:
        """The oldest unsettled ones, by the time they were received."""
        return self._select("WHERE state = 'pending' ORDER BY received, revision LIMIT ?", (limit,))

    def get(self, identity: str) -> Delivery | None:
        """The one of that id."""
        found = self._select("WHERE id = ?", (identity,))
        return found[0] if found else None

    def reopen(self, identities: Sequence[str]) -> list[tuple[int, str]]:
        """Make settled ones pending again; their new revisions, by which watches learn of it, and ids."""
        reopened: list[tuple[int, str]] = []
        with self._database.writing():
            revision = last_revision(self._database)
            for identity in identities:
                settled = "WHERE id = ? AND state <> 'pending'"
                if not self._database.rows(f"SELECT 1 FROM deliveries {settled}", (identity,)):  # noqa: S608 - a constant
                    continue
                revision += 1
                self._database.rows(
                    f"UPDATE deliveries SET revision = ?, state = 'pending', outcome = '' {settled}",  # noqa: S608 - a constant
                    (revision, identity),
                )
                reopened.append((revision, identity))
        return reopened

    def newest(self, limit: int, before: datetime | None) -> list[Delivery]:
        """The newest ones, newest first; with `before`, of those received earlier than that."""
        if before is None:
            return self._select("ORDER BY received DESC, revision DESC LIMIT ?", (limit,))
        return self._select("WHERE received < ? ORDER BY received DESC, revision DESC LIMIT ?", (to_number(before), limit))

    def settle(self, settlements: Iterable[Settlement]) -> None:
        """Record outcomes; unknown ids are passed over."""
        with self._database.writing():
            for settled in settlements:
                self._database.rows(
                    "UPDATE deliveries SET state = ?, outcome = ? WHERE id = ?",
                    (settled.state.value, settled.outcome, settled.id),
                )

    def last(self, prefix: str) -> str | None:
        """The greatest id of a source. Who asks for a source makes its greatest id outlive `forget`."""
        if not self._database.rows("SELECT 1 FROM sources WHERE prefix = ?", (prefix,)):
            with self._database.writing():
                self._database.rows("INSERT INTO sources (prefix) VALUES (?) ON CONFLICT DO NOTHING", (prefix,))
        found = self._database.rows(
            "SELECT id FROM deliveries WHERE substr(id, 1, length(?1)) = ?1 ORDER BY length(id) DESC, id DESC LIMIT 1",
            (prefix,),
        )
        return str(found[0][0]) if found else None

    def forget(self, older_than: datetime) -> int:
        """Remove settled ones received before then, except the greatest of each source that was ever asked for.

        The newest revision of the file stays too: it is where the count goes on.
        """
        with self._database.writing():
            kept = {self.last(prefix) for (prefix,) in self._database.rows("SELECT prefix FROM sources")}
            marks = ", ".join("?" for _ in kept)
            self._database.rows(
                f"DELETE FROM deliveries WHERE state <> 'pending' AND received < ? AND revision <> ? AND id NOT IN ({marks})",  # noqa: S608 - only "?"
                (to_number(older_than), last_revision(self._database), *(identity or "" for identity in kept)),
            )
            return int(self._database.rows("SELECT changes()")[0][0])

    def _select(self, tail: str, parameters: Sequence[object]) -> list[Delivery]:
        found = self._database.rows(f"SELECT {_COLUMNS} FROM deliveries {tail}", parameters)  # noqa: S608 - tails are constants
        return [_from_row(row) for row in found]


def _to_row(delivery: Delivery) -> tuple[object, ...]:
    received = to_number(delivery.received_at)
    state = delivery.state.value
    return delivery.id, delivery.event, delivery.repository, received, delivery.body, state, delivery.outcome


def _from_row(row: tuple[Any, ...]) -> Delivery:
    identity, event, repository, received, body, state, outcome = row
    try:
        return Delivery(
            id=identity,
            event=event,
            repository=repository,
            received_at=to_moment(received),
            body=body,
            state=DeliveryState(state),
            outcome=outcome,
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise StoreCorruptError(f"cannot read delivery {identity!r}: {error}; remove it from the store") from error

"""What the store makes of the file it is given: new, old, newer, foreign, damaged, out of reach."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from tests.contracts.store_contract import SettableClock, play

from coderun.model.errors import ConfigError, StoreCorruptError, StoreUnavailableError
from coderun.model.play import Play
from coderun.store.database import Database
from coderun.store.schema import MIGRATIONS, Step
from coderun.store.sqlite import SqliteStore

MADE_UP: Step = (
    "CREATE TABLE remarks (object INTEGER NOT NULL REFERENCES objects (id), text TEXT NOT NULL)",
    "INSERT INTO remarks (object, text) SELECT id, name || ' was here' FROM objects",
)
BROKEN: Step = ("CREATE TABLE half (id INTEGER)", "INSERT INTO nowhere VALUES (1)")


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def open_store(path: Path, migrations: tuple[Step, ...] = MIGRATIONS) -> SqliteStore:
    return SqliteStore.open(path, clock=SettableClock(), migrations=migrations)


async def make_store(path: Path) -> None:
    store = open_store(path)
    await store.create(play())
    await store.close()


async def test_a_new_file_is_private_and_keeps_what_it_acknowledges(tmp_path: Path) -> None:
    path = tmp_path / "state" / "state.db"
    store = open_store(path)
    await store.create(play())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state" / "state.db-wal").stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    settings = {name: store._database.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    await store.close()


@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
async def test_a_file_of_each_older_version_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    path = tmp_path / "state.db"
    Database.open(path, migrations=MIGRATIONS[:version]).close()
    store = open_store(path)
    await store.create(play())
    await store.close()
    assert rows(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]


async def test_a_further_step_is_taken_once_and_keeps_the_objects(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await make_store(path)
    for _ in range(2):
        store = open_store(path, (*MIGRATIONS, MADE_UP))
        assert await store.get(Play, "play-demo-1") is not None
        await store.close()
    assert rows(path, "SELECT text FROM remarks") == [("play-demo-1 was here",)]
    assert rows(path, "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]


async def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await make_store(path)
    with pytest.raises(StoreCorruptError, match="no such table: nowhere"):
        open_store(path, (*MIGRATIONS, MADE_UP, BROKEN))
    store = open_store(path)
    assert await store.get(Play, "play-demo-1") is not None
    await store.close()


async def test_a_newer_file_asks_for_an_upgrade_and_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await open_store(path, (*MIGRATIONS, MADE_UP)).close()
    with pytest.raises(ConfigError, match=r"written by a newer coderun .* upgrade coderun"):
        open_store(path)
    assert rows(path, "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]


async def test_unknown_columns_ask_for_an_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await make_store(path)
    change(path, "ALTER TABLE objects ADD COLUMN mood TEXT")
    with pytest.raises(ConfigError, match=r"columns that this coderun does not know \(objects\.mood\).*upgrade coderun"):
        open_store(path)


async def test_missing_columns_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await make_store(path)
    change(path, "ALTER TABLE deliveries DROP COLUMN outcome")
    with pytest.raises(StoreCorruptError, match=r"columns are missing \(deliveries\.outcome\)"):
        open_store(path)


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "cookies.db"
    change(path, "CREATE TABLE cookies (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="another program's SQLite database"):
        open_store(path)
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("not a database, but longer than the header of one would be\n" * 40)
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError, match=r"is damaged .*NOTADB.*keep a copy"):
        open_store(path)
    assert path.read_bytes() == before


async def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.mkdir()
    with pytest.raises(StoreUnavailableError, match=r"cannot open the store .*state\.db"):
        open_store(path)


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match=r"cannot open the store .*check that its folder exists and may be written"):
        open_store(tmp_path / "file" / "state.db")


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state.db")
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailableError, match="it has been closed"):
        await store.get(Play, "a")


async def test_namespaces_do_not_see_each_other(tmp_path: Path) -> None:
    one = open_store(tmp_path / "state.db")
    two = SqliteStore.open(tmp_path / "state.db", clock=SettableClock(), namespace="elsewhere")
    await one.create(play())
    assert await two.find(Play) == []
    assert (await two.create(play())).metadata.namespace == "elsewhere"
    await one.close()
    await two.close()

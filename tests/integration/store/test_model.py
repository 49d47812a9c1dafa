"""Whatever is done to the store in whatever order, it gives what a plain dictionary would."""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.contracts.store_contract import SettableClock, in_stage, labelled, of_priority, play

from coderun.model.errors import AlreadyExistsError, NotFoundError, WriteConflictError
from coderun.model.play import Play
from coderun.store.sqlite import SqliteStore

NAMES = st.sampled_from(["a", "b", "c"])
WORDS = st.sampled_from(["", "x", "y"])
CLIENTS = st.integers(0, 1)


class StoreMachine(RuleBasedStateMachine):
    """Two clients of one file beside a dictionary; `held` are objects as they were read some time ago."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = SettableClock()
        path = Path(self.folder.name) / "state.db"
        self.clients = [SqliteStore.open(path, clock=self.clock) for _ in range(2)]
        self.expected: dict[str, Play] = {}
        self.held: dict[str, Play] = {}
        self.versions: set[str] = set()

    def teardown(self) -> None:
        for client in self.clients:
            self.loop.run(client.close())
        self.loop.close()
        self.folder.cleanup()

    def note(self, stored: Play, *, new: bool) -> None:
        version = stored.metadata.resource_version
        assert (version not in self.versions) is new
        self.versions.add(version)
        self.expected[stored.name] = stored

    @rule(seconds=st.integers(-100_000, 100_000))
    def move_the_clock(self, seconds: int) -> None:
        self.clock.now += timedelta(seconds=seconds)

    @rule(client=CLIENTS, name=NAMES, word=WORDS)
    def create(self, client: int, name: str, word: str) -> None:
        try:
            made = self.loop.run(self.clients[client].create(play(name, labels={"word": word})))
        except AlreadyExistsError:
            assert name in self.expected
            return
        assert name not in self.expected
        times = [other.metadata.creation_timestamp for other in self.expected.values()]
        assert all(made.metadata.creation_timestamp >= time for time in times if made.metadata.creation_timestamp and time)
        self.note(made, new=True)

    @rule(client=CLIENTS, name=NAMES)
    def read(self, client: int, name: str) -> None:
        read = self.loop.run(self.clients[client].get(Play, name))
        assert read == self.expected.get(name)
        if read is not None:
            self.held[name] = read

    @rule(client=CLIENTS, name=NAMES, priority=st.integers(0, 2), word=WORDS)
    def update(self, client: int, name: str, priority: int, word: str) -> None:
        if name not in self.held:
            return
        changed = labelled(of_priority(self.held[name], priority), {"word": word})
        old = self.expected.get(name)
        try:
            written = self.loop.run(self.clients[client].update(in_stage(changed, "never written")))
        except NotFoundError:
            assert old is None
        except WriteConflictError:
            assert old is not None
            assert old.metadata.resource_version != self.held[name].metadata.resource_version
        else:
            assert old is not None
            respecified = changed.spec != old.spec
            assert written.metadata.generation == old.metadata.generation + respecified
            assert (written.spec, written.metadata.labels, written.status) == (changed.spec, {"word": word}, old.status)
            self.note(written, new=respecified or old.metadata.labels != {"word": word})

    @rule(client=CLIENTS, name=NAMES, stage=WORDS)
    def update_status(self, client: int, name: str, stage: str) -> None:
        if name not in self.held:
            return
        changed = in_stage(self.held[name], stage)
        old = self.expected.get(name)
        try:
            written = self.loop.run(self.clients[client].update_status(of_priority(changed, 9)))
        except NotFoundError:
            assert old is None
        except WriteConflictError:
            assert old is not None
            assert old.metadata.resource_version != self.held[name].metadata.resource_version
        else:
            assert old is not None
            meta = msgspec.structs.replace(old.metadata, resource_version=written.metadata.resource_version)
            assert written == msgspec.structs.replace(in_stage(old, stage), metadata=meta)
            self.note(written, new=old.status.stage != stage)

    @rule(client=CLIENTS, name=NAMES, with_uid=st.booleans())
    def delete(self, client: int, name: str, with_uid: bool) -> None:
        uid = self.held[name].metadata.uid if with_uid and name in self.held else ""
        self.loop.run(self.clients[client].delete(Play, name, uid=uid))
        if name in self.expected and uid in {"", self.expected[name].metadata.uid}:
            del self.expected[name]

    @invariant()
    def finding_gives_what_is_there(self) -> None:
        for client in self.clients:
            assert self.loop.run(client.find(Play)) == [self.expected[name] for name in sorted(self.expected)]
            for word in ("", "x", "y"):
                found = {one.name for one in self.loop.run(client.find(Play, labels={"word": word}))}
                assert found == {name for name, one in self.expected.items() if one.metadata.labels == {"word": word}}


StoreMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestStoreAgainstADictionary = StoreMachine.TestCase

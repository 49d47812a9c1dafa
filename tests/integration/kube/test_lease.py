"""Leader election on the fake API server: one leads, and one that has lost the Lease writes nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from tests.fakes.apiserver import FakeApiServer, Fault, FaultKind
from tests.integration.kube.cluster import api_of, fake_cluster
from tests.integration.kube.test_informer import DEADLINE, config_map, until

from coderun.kube.api import Api
from coderun.kube.errors import NotLeadingError
from coderun.kube.lease import Election, LeaseTimings
from coderun.kube.objects import Bare
from coderun.kube.resources import CONFIGMAPS

TIMINGS = LeaseTimings(duration=3, deadline=2.0, pause=0.05)


class Clock:
    """A monotonic clock that runs with the loop's, and can be put forward: a process that slept."""

    def __init__(self) -> None:
        self.slept = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.slept


class Candidate:
    """An election and what it leads: it counts how often it began, and leads until it is told to stop."""

    def __init__(self, api: Api, identity: str) -> None:
        self.clock = Clock()
        self.election = Election(
            api, namespace="default", name="coderun-controller", identity=identity, timings=TIMINGS, monotonic=self.clock
        )
        self.api = api.fenced(self.election.gate)
        self.begun = 0
        self.abandoned = 0
        self.task: asyncio.Task[None] | None = None

    async def lead(self) -> None:
        self.begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.abandoned += 1

    def start(self) -> None:
        self.task = asyncio.create_task(self.election.run(self.lead))

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def write(self, name: str) -> None:
        await self.api.create(CONFIGMAPS, "default", config_map(name), Bare)


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_cluster() as server:
        yield server


@pytest.fixture
async def one(server: FakeApiServer, tmp_path: Path) -> AsyncIterator[Candidate]:
    async with api_of(server, tmp_path) as api:
        candidate = Candidate(api, "one")
        candidate.start()
        yield candidate
        await candidate.stop()


@pytest.fixture
async def two(server: FakeApiServer, tmp_path: Path) -> AsyncIterator[Candidate]:
    async with api_of(server, tmp_path) as api:
        candidate = Candidate(api, "two")
        yield candidate
        if candidate.task is not None:
            await candidate.stop()


def holder(server: FakeApiServer) -> str:
    lease = server.objects.get("leases.coordination.k8s.io", "default", "coderun-controller")
    assert lease is not None
    return str(lease["spec"].get("holderIdentity", ""))


@pytest.mark.lesson(29)
async def test_one_leads_and_the_other_waits(server: FakeApiServer, one: Candidate, two: Candidate) -> None:
    await until(lambda: one.begun)
    two.start()
    await until(lambda: two.election.leader == "one")
    await one.write("a")
    with pytest.raises(NotLeadingError):
        await two.write("b")
    assert (holder(server), two.begun) == ("one", 0)


async def test_a_leader_that_stops_gives_the_lease_back_at_once(server: FakeApiServer, one: Candidate, two: Candidate) -> None:
    await until(lambda: one.begun)
    two.start()
    await one.stop()
    assert one.abandoned == 1
    await until(lambda: two.begun)
    assert holder(server) == "two"
    lease = server.objects.get("leases.coordination.k8s.io", "default", "coderun-controller")
    assert lease is not None
    assert lease["spec"]["leaseTransitions"] == 2


async def test_when_the_work_ends_by_itself_the_lease_is_given_back(server: FakeApiServer, tmp_path: Path) -> None:
    async def work() -> None:
        return

    async with api_of(server, tmp_path) as api, asyncio.timeout(DEADLINE):
        await Election(api, namespace="default", name="coderun-controller", identity="one", timings=TIMINGS).run(work)
    assert not holder(server)


async def test_what_the_work_raises_is_raised_after_the_lease_was_given_back(server: FakeApiServer, tmp_path: Path) -> None:
    async def work() -> None:
        raise ValueError("broken")

    async with api_of(server, tmp_path) as api, asyncio.timeout(DEADLINE):
        election = Election(api, namespace="default", name="coderun-controller", identity="one", timings=TIMINGS)
        with pytest.raises(ValueError, match="broken"):
            await election.run(work)
    assert not holder(server)


@pytest.mark.lesson(29)
async def test_a_leader_that_cannot_renew_stops_writing_before_another_may_lead(
    server: FakeApiServer, one: Candidate, two: Candidate
) -> None:
    await until(lambda: one.begun)
    two.start()
    server.faults.add(Fault(kind=FaultKind.ERROR, verb="update", path="leases/coderun-controller", status=503, count=1_000_000))
    await until(lambda: one.abandoned)
    assert two.begun == 0
    with pytest.raises(NotLeadingError):
        await one.write("late")
    server.faults.clear()
    await until(lambda: one.begun + two.begun == 2)
    assert not server.objects.all("configmaps", "default")


@pytest.mark.lesson(29, 31)
async def test_a_leader_that_slept_through_its_lease_writes_nothing_when_it_wakes(
    server: FakeApiServer, one: Candidate, two: Candidate
) -> None:
    await until(lambda: one.begun)
    server.faults.add(Fault(kind=FaultKind.HANG, verb="create", path="configmaps"))
    hanging = asyncio.ensure_future(one.write("in-flight"))
    await until(lambda: server.faults.met)
    one.clock.slept = 1000.0  # the machine was suspended; nothing in this process has noticed
    with pytest.raises(NotLeadingError):
        await one.write("late")
    with pytest.raises(NotLeadingError):
        await hanging
    await until(lambda: one.abandoned)
    assert not server.objects.all("configmaps", "default")


async def test_a_lease_is_taken_over_only_after_it_has_not_moved_for_its_duration(
    server: FakeApiServer, two: Candidate
) -> None:
    server.objects.create(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "coderun-controller", "namespace": "default"},
            "spec": {"holderIdentity": "gone", "leaseDurationSeconds": 60, "renewTime": "2020-01-01T00:00:00.000000Z"},
        }
    )
    two.start()
    await until(lambda: two.election.leader == "gone")
    assert two.begun == 0  # however old its times are: clocks of other machines prove nothing
    two.clock.slept = 61.0
    await until(lambda: two.begun)
    assert holder(server) == "two"


async def test_a_lease_that_another_holds_is_not_given_back_by_us(
    server: FakeApiServer, one: Candidate, two: Candidate
) -> None:
    await until(lambda: one.begun)
    spec = {"holderIdentity": "usurper", "leaseDurationSeconds": 60}
    server.objects.patch("leases.coordination.k8s.io", "default", "coderun-controller", {"spec": spec})
    await until(lambda: one.abandoned)
    await one.stop()
    assert holder(server) == "usurper"


async def test_of_many_candidates_one_leads_at_a_time(server: FakeApiServer, tmp_path: Path) -> None:
    async with api_of(server, tmp_path) as api:
        candidates = [Candidate(api, f"c-{number}") for number in range(5)]
        for each in candidates:
            each.start()
        try:
            for turn in range(1, 5):
                await until(partial(_has_begun, candidates, turn))
                leading = [each for each in candidates if each.begun > each.abandoned]
                assert [each.election.is_leading for each in leading] == [True]
                await leading[0].stop()
                leading[0].task = None
        finally:
            for each in candidates:
                if each.task is not None:
                    await each.stop()


def _has_begun(candidates: list[Candidate], times: int) -> bool:
    return sum(each.begun for each in candidates) == times

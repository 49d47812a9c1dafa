"""A cluster's controller dies after every write of a whole play: it ends as it would have, and no agent runs twice.

Each life of the controller ends right after its n-th write, and another begins; with 1 no life writes more than once, so that
every write of the play is the last of somebody.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.acceptance.cluster_kit import NAMESPACE, ClusterWorld, cluster_world
from tests.acceptance.github_kit import AGENTS, REPOSITORY
from tests.acceptance.kit import reasons, until
from tests.acceptance.mortal_controller import Life

from coderun.kube.api import MANAGER
from coderun.model.coderun import RunPhase
from coderun.model.names import LABEL_JOB
from coderun.model.play import PlayPhase

LEASES = "leases.coordination.k8s.io"
MOST_LIVES = 120
LEAST_WRITES = 25


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ClusterWorld]:
    async with cluster_world(tmp_path / "world") as made:
        yield made


@pytest.mark.lesson(8, 11, 43)
@pytest.mark.parametrize("point", [1, 2, 3])
async def test_a_play_whose_controller_dies_after_every_write_ends_as_any_other(world: ClusterWorld, point: int) -> None:
    world.play_task()

    lives: list[Life] = []
    while not _is_done(world):
        assert len(lives) < MOST_LIVES, f"{[life.writes for life in lives]}\n{world.tell()}"
        life = Life(world, len(lives) + 1, point)
        lives.append(life)
        await until(lambda life=life: life.is_over or _is_done(world), "an end", within=120, tell=world.tell)  # type: ignore[misc]
        await life.bury()
        _let_the_lease_expire(world)

    writes = [write for life in lives for write in life.writes]
    assert len(writes) >= LEAST_WRITES
    # What was under way beside the last write of a life has arrived as well.
    assert all(len(life.writes) >= point for life in lives[:-1])
    play, pull = world.play_now(), world.on_hub()
    assert play is not None
    # That a run was created is not noted again by who finds it there; the list of runs has it in any case.
    decisions = [reason for reason in reasons(play) if reason != "RunCreated"]
    assert decisions == ["Started", "PullRequestFound", "StagePassed", "StagePassed", "StagePassed", "Merged"]
    assert world.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]
    assert [run.status.phase for run in world.runs_of(play)] == [RunPhase.SUCCEEDED] * len(AGENTS)
    assert (len(pull.reviews), pull.merged_at is not None) == (1, True)
    assert len(world.fake.repo(REPOSITORY).pulls) == 1
    for kind in ("jobs.batch", "pods", "secrets", "configmaps"):
        made = [one for one in world.server.objects.all(kind, NAMESPACE) if LABEL_JOB in one["metadata"].get("labels", {})]
        assert len(made) == len(AGENTS), kind
        assert {one["metadata"]["ownerReferences"][0]["controller"] for one in made} == {True}
    assert len(world.server.objects.all("persistentvolumeclaims", NAMESPACE)) == len(AGENTS)


def _let_the_lease_expire(world: ClusterWorld) -> None:
    """As time does; nobody has to wait for it here."""
    if world.server.objects.get(LEASES, NAMESPACE, MANAGER) is not None:
        world.server.objects.delete(LEASES, NAMESPACE, MANAGER)


def _is_done(world: ClusterWorld) -> bool:
    play = world.play_now()
    return play is not None and play.status.phase is PlayPhase.SUCCEEDED

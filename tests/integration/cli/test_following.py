"""How long `coderun play` stays, where there is no terminal: until nothing moves without a person."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.acceptance.kit import Place, task


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path / "world")
    made.settings["play"] = {"autoMerge": False}
    made.init(task(1, "Sell tea"), task(3, "Sell it all", dependencies=[1]))
    yield made
    await made.clear_up()


async def test_a_play_behind_another_that_waits_for_a_person_is_not_waited_for(place: Place) -> None:
    first = await place.coderun("play", "--task", "1")
    assert (first.code, "what would move it" in first.out) == (3, True), first.said

    dependent = await place.coderun("play", "--task", "3")
    assert dependent.code == 3, dependent.said
    assert "task 1 must be merged first" in dependent.out

    asked_for = await place.coderun("play", "--tasks", "1,3")
    assert asked_for.code == 3, asked_for.said
    assert place.occasions() == [("implementation", 1, 1), ("quality", 1, 1), ("testing", 1, 1)]


async def test_a_play_that_gets_the_slot_of_one_that_waits_for_a_person_is_followed_to_its_own_end(place: Place) -> None:
    place.write_tasks(task(1, "Sell tea"), task(2, "Sell milk"), task(4, "Sell cups"))

    several = await place.coderun("play", "--tasks", "1,2")
    assert several.code == 3, several.said
    assert ("task 1: #1 Waiting" in several.out, "task 2: #2 Waiting" in several.out) == (True, True), several.said

    behind = place.start("play", "--task", "4")
    assert await behind.ended() == 3, behind.said
    assert "task 4: #3 Waiting" in behind.said, behind.said

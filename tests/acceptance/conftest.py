from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.acceptance.kit import Place, task

IN_THE_FAST_TESTS = {
    "test_a_task_goes_from_implementation_to_merge_by_itself",
    "test_a_task_goes_from_implementation_to_merge_in_three_pods",
    "test_a_task_goes_from_implementation_to_merge_with_all_webhooks_lost",
    "test_a_review_that_asks_for_changes_sends_the_task_back_with_what_was_said",
    "test_a_push_by_a_person_in_testing_restarts_quality_and_takes_the_label_off",
    "test_an_agent_that_ends_while_nobody_controls_is_found_with_its_result",
    "test_a_paused_play_lets_its_run_end_and_starts_no_other_until_it_is_resumed",
    "test_the_users_tree_index_stash_and_branches_are_not_touched",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole plays take seconds each: of this tier the fast tests have a few, which show the main job and the ways back."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.name.partition("[")[0] not in IN_THE_FAST_TESTS:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
async def bare_place(tmp_path: Path) -> AsyncIterator[Place]:
    """A user's world in which nothing has been set up yet."""
    place = Place(tmp_path / "world")
    yield place
    await place.clear_up()


@pytest.fixture
def place(bare_place: Place) -> Place:
    """A user's world with a repository of one task."""
    bare_place.init(task(1, "Sell tea"))
    return bare_place

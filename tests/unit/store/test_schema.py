"""Which steps a file still needs."""

import pytest

from coderun.model.errors import ConfigError
from coderun.store.schema import missing_steps

STEPS = (("one",), ("two", "two and a half"), ("three",))


@pytest.mark.parametrize(
    ("found", "missing"),
    [
        (0, ((1, ("one",)), (2, ("two", "two and a half")), (3, ("three",)))),
        (1, ((2, ("two", "two and a half")), (3, ("three",)))),
        (2, ((3, ("three",)),)),
        (3, ()),
    ],
)
def test_a_file_gets_the_steps_it_has_not_had(found: int, missing: object) -> None:
    assert missing_steps(found, STEPS, path="state.db") == missing


def test_a_newer_file_asks_for_an_upgrade() -> None:
    with pytest.raises(
        ConfigError, match=r"state\.db: it was written by a newer coderun \(its version is 4, .* up to 3\); upgrade"
    ):
        missing_steps(4, STEPS, path="state.db")

"""What became of a delivery, in words."""

from datetime import UTC, datetime

import pytest

from coderun.events.outcome import outcome_of
from coderun.model.deliveries import Delivery, Hint

SHOP = "github.com/acme/shop"


def delivery(repository: str = SHOP) -> Delivery:
    return Delivery(id="github-1", event="push", repository=repository, received_at=datetime(2026, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    ("hints", "plays", "outcome"),
    [
        ((Hint(number=5),), {"play-b", "play-a"}, "hint for play-a, play-b"),
        (
            (Hint(number=5),),
            {f"play-{n:02}" for n in range(12)},
            f"hint for {', '.join(f'play-{n:02}' for n in range(10))} and 2 more",
        ),
        (
            (Hint(number=5, tasks=frozenset({8, 7}), branch="x"), Hint(number=5)),
            (),
            "concerns no open play (#5, task 7, task 8, branch x)",
        ),
        ((), (), "points at no pull request, task or branch"),
        (
            (Hint(number=5, remarks=("label 'task-7x' is no task label",)),),
            {"play-a"},
            "hint for play-a; label 'task-7x' is no task label",
        ),
    ],
)
def test_the_outcome_names_the_plays_or_what_nobody_plays(hints: tuple[Hint, ...], plays: set[str], outcome: str) -> None:
    assert outcome_of(delivery(), hints, plays, is_played=True) == outcome


@pytest.mark.parametrize(
    ("repository", "outcome"),
    [("", "concerns no repository"), ("github.com/acme/other", "repository github.com/acme/other is not played here")],
)
def test_a_delivery_of_elsewhere_is_told_as_that(repository: str, outcome: str) -> None:
    assert outcome_of(delivery(repository), (Hint(number=5),), (), is_played=False) == outcome


def test_the_outcome_is_fit_for_a_terminal_and_short() -> None:
    hints = [Hint(branch="x" * 500 + "\x1b[31m", remarks=(f"r{n}",)) for n in range(50)]
    text = outcome_of(delivery(), hints, (), is_played=True)
    assert text.isprintable()
    assert len(text) < 200

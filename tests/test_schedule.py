"""Budgets and the learning rate, with the values written out."""

from __future__ import annotations

import pytest

from chargen.errors import ChargenError
from chargen.training.schedule import Budget, learning_rate_factor


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(), 0.0),
        (Budget(minutes=2), 0.25),
        (Budget(steps=100), 0.4),
        (Budget(epochs=1.5), 40 / 75),
        (Budget(minutes=2, steps=100), 0.4),
        (Budget(minutes=0.5, epochs=100), 1.0),
        (Budget(epochs=0.001), 40.0),  # of a single step, the least that there is
    ],
)
def test_a_budgets_fraction_is_that_of_its_tightest_limit(budget: Budget, expected: float) -> None:
    assert budget.fraction(step=40, seconds=30, steps_per_epoch=50) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(minutes=1), 10),
        (Budget(minutes=30), 60),
        (Budget(minutes=600), 200),
        (Budget(steps=50), 10),
        (Budget(steps=3000), 30),
        (Budget(epochs=20), 20),
        (Budget(minutes=30, steps=1200), 12),
        (Budget(steps=15_000), 150),
        (Budget(), 10),
    ],
)
def test_evaluations_are_spread_over_the_budget(budget: Budget, expected: int) -> None:
    assert budget.evaluations(steps_per_epoch=100) == expected


@pytest.mark.parametrize("limits", [{"minutes": 0.0}, {"epochs": -1.0}, {"steps": 0}, {"minutes": float("nan")}])
def test_a_budget_of_nothing_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ChargenError, match="must be more than 0"):
        Budget(**limits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fraction", "factor"),
    [
        (0.0, 0.0),
        (0.005, 0.25),
        (0.02, 1.0),
        (0.265, 0.75),
        (0.51, 0.5),
        (0.755, 0.25),
        (1.0, 0.0),
        (1.1, 0.0),
    ],
)
def test_the_learning_rate_rises_in_a_line_and_falls_in_one(fraction: float, factor: float) -> None:
    assert learning_rate_factor(fraction) == pytest.approx(factor, abs=1e-6)

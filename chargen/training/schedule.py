"""Budget, evaluations and learning rate: pure functions of how far a training has come."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chargen.errors import ChargenError


@dataclass(frozen=True)
class Budget:
    """The limits of a training. It ends at whichever is reached first; without any limit it never ends.

    Raises:
        ChargenError: A limit is not above 0.

    >>> Budget(minutes=3, steps=100).fraction(step=50, seconds=36.0, steps_per_epoch=10)
    0.5
    >>> Budget(minutes=3).evaluations(steps_per_epoch=10), Budget(minutes=30).evaluations(steps_per_epoch=10)
    (10, 60)
    """

    minutes: float | None = None  # of wall-clock time in the loop, evaluations included
    epochs: float | None = None  # passes over the training set
    steps: int | None = None  # updates of the weights

    def __post_init__(self) -> None:
        for name in ("minutes", "epochs", "steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ChargenError(f"{name} is {value}, but a budget must be more than 0")

    def fraction(self, step: int, seconds: float, steps_per_epoch: int) -> float:
        """Fraction of the budget spent: 0 at the start, 1 or more when it is used up.

        Args:
            step: Updates made so far.
            seconds: Seconds of training so far.
            steps_per_epoch: Steps that read the training set once.
        """
        spent = [0.0]
        if self.minutes is not None:
            spent.append(seconds / (60 * self.minutes))
        if self.steps is not None:
            spent.append(step / self.steps)
        if self.epochs is not None:
            spent.append(step / max(1, round(self.epochs * steps_per_epoch)))
        return max(spent)

    def evaluations(self, steps_per_epoch: int) -> int:
        """Evaluations to spread over the budget: one per half-minute or 100 steps, but from 10 to 200 in all."""
        counts = []
        if self.minutes is not None:
            counts.append(2 * self.minutes)
        if self.steps is not None or self.epochs is not None:
            steps = min(self.steps or math.inf, (self.epochs or math.inf) * steps_per_epoch)
            counts.append(steps / 100)
        return round(min(200, max(10, min(counts, default=10))))


def learning_rate_factor(fraction: float, warmup: float = 0.02) -> float:
    """Fraction of the peak learning rate to use: linear warm-up, then linear decay to zero.

    Args:
        fraction: Fraction of the budget spent, 0 or more.
        warmup: Fraction of the budget that the warm-up takes.

    Linear decay to zero: Bergsma et al. 2025, arXiv:2502.15938.

    >>> [round(learning_rate_factor(fraction), 2) for fraction in (0, 0.01, 0.02, 0.51, 1)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if fraction < warmup:
        return fraction / warmup
    return 1 - min(1.0, (fraction - warmup) / (1 - warmup))

"""How long, how fast, how often: pure functions of how much of the budget is spent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chargen.errors import ChargenError


@dataclass(frozen=True)
class Budget:
    """What a training may spend. Of several limits the one reached first counts; with none there is no budget."""

    minutes: float | None = None  # of wall-clock time in the loop, evaluations included
    epochs: float | None = None  # passes over the training text
    steps: int | None = None  # updates of the weights

    def __post_init__(self) -> None:
        for name in ("minutes", "epochs", "steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ChargenError(f"{name} is {value}, but a budget must be more than 0")

    def fraction(self, step: int, seconds: float, steps_per_epoch: int) -> float:
        """Share of the budget spent, 0 to 1 and beyond, after `step` updates in `seconds`."""
        spent = [0.0]
        if self.minutes is not None:
            spent.append(seconds / (60 * self.minutes))
        if self.steps is not None:
            spent.append(step / self.steps)
        if self.epochs is not None:
            spent.append(step / max(1, round(self.epochs * steps_per_epoch)))
        return max(spent)

    def evaluations(self, steps_per_epoch: int) -> int:
        """How many evaluations to spread over the budget: ten of a short one, one a half-minute of a long one."""
        counts = []
        if self.minutes is not None:
            counts.append(2 * self.minutes)
        if self.steps is not None or self.epochs is not None:
            steps = min(self.steps or math.inf, (self.epochs or math.inf) * steps_per_epoch)
            counts.append(steps / 100)
        return round(min(200, max(10, min(counts, default=10))))


def learning_rate_factor(fraction: float, warmup: float = 0.02) -> float:
    """Share of the peak learning rate: a linear rise, then a linear fall to nothing.

    Falling to nothing in a line: Bergsma et al. 2025, arXiv:2502.15938. `warmup` is the rise's share of the budget.
    """
    if fraction < warmup:
        return fraction / warmup
    return 1 - min(1.0, (fraction - warmup) / (1 - warmup))

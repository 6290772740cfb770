"""Where a training is, and whether it has diverged."""

from __future__ import annotations

import math
from dataclasses import dataclass

AVERAGED = 50  # steps
EXPLODED = 1.5  # times the average loss, and a nat, are too much
STRIKES = 10  # losses in a row that are too much: the training has diverged, not met a strange batch


@dataclass
class Progress:
    """Where a training is; saved with the weights, so that a resumed one goes on from there."""

    step: int = 0
    seconds: float = 0.0  # of training, in all sittings
    tokens: int = 0
    best: float | None = None  # highest merit so far, on the part of the validation set that is measured on the way
    stale: int = 0  # evaluations since one that was clearly better
    evaluation_tokens: int = 0  # size of that part, set at the first evaluation
    average_loss: float | None = None  # of the last steps, nats
    strikes: int = 0  # of the last losses in a row were too much
    rollbacks: int = 0  # each halves the learning rate

    def count(self, loss: float, tokens: int) -> None:
        """Take a step's loss and tokens into account."""
        self.step += 1
        self.tokens += tokens
        if not math.isfinite(loss):
            self.strikes = STRIKES
            return
        before = loss if self.average_loss is None else self.average_loss
        self.strikes = self.strikes + 1 if loss > EXPLODED * before + 1 else 0
        self.average_loss = before + (loss - before) / AVERAGED

    @property
    def has_diverged(self) -> bool:
        """Whether going on from here is hopeless."""
        return self.strikes >= STRIKES

"""How far a training has come, and whether it has diverged."""

from __future__ import annotations

import math
from dataclasses import dataclass

# A loss spikes if it exceeds SPIKE times the running average by more than 1 nat. The nat is for losses near 0, where
# a factor alone means little.
AVERAGED_STEPS = 50  # time constant of the running average, in steps
SPIKE = 1.5  # factor
MAX_SPIKES = 10  # consecutive spikes after which the training has diverged, rather than met a few strange batches


@dataclass
class Progress:
    """How far a training has come; saved with the weights, so that a resumed one goes on from there.

    >>> progress = Progress()
    >>> progress.count(loss=2.0, tokens=4096)
    >>> progress.step, progress.tokens, progress.average_loss, progress.has_diverged
    (1, 4096, 2.0, False)
    >>> progress.count(loss=math.nan, tokens=4096)
    >>> progress.has_diverged
    True
    """

    step: int = 0  # updates of the weights so far
    seconds: float = 0.0  # of training, those before a resume included
    tokens: int = 0  # read so far
    best: float | None = None  # highest score so far, from the evaluations during training
    stale: int = 0  # evaluations since the last clear improvement
    evaluation_tokens: int = 0  # read by each of these evaluations; set at the first
    average_loss: float | None = None  # running average of the training loss, nats
    strikes: int = 0  # consecutive spikes of the loss
    rollbacks: int = 0  # each halves the learning rate

    def count(self, loss: float, tokens: int) -> None:
        """Add a step.

        Args:
            loss: The step's loss in nats; one that is not finite means divergence at once.
            tokens: Tokens the step read.
        """
        self.step += 1
        self.tokens += tokens
        if not math.isfinite(loss):
            self.strikes = MAX_SPIKES
            return
        before = loss if self.average_loss is None else self.average_loss
        self.strikes = self.strikes + 1 if loss > SPIKE * before + 1 else 0
        self.average_loss = before + (loss - before) / AVERAGED_STEPS

    @property
    def has_diverged(self) -> bool:
        """Whether the loss is not finite or has spiked MAX_SPIKES times in a row."""
        return self.strikes >= MAX_SPIKES

"""What the loop is given: a task, which is a model and its data, and how to move the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn


@dataclass(frozen=True)
class Optimisation:
    """How weights move."""

    learning_rate: float  # peak
    optimizer: str = "adamw"  # one of optimizers.OPTIMIZERS
    weight_decay: float = 0.0  # of matrices, each step by so much of the learning rate
    clip: float = 1.0  # largest joint norm of the gradients
    precision: str = "fp32"  # of the products that an optimizer makes, fp32 or bf16
    patience: int | None = None  # evaluations without a better one before stopping early


class Task(Protocol):
    """A model and its data, as the loop sees them."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches that read the training set once."""

    def losses(self, step: int) -> tuple[list[Callable[[], Tensor]], int]:
        """The batch of a step in shards, and the tokens in it, those of all processes counted.

        A function for each shard gives its part of the mean loss in nats; any thread may call it, once.
        """

    def bits(self, nats: float) -> float | None:
        """A loss in bits per character, where that means something."""

    def evaluate(self, most_tokens: int, *, last: bool = False) -> dict[str, Any]:
        """Figures on the validation set or so many tokens of it; `val_loss`, in nats, is what training lowers.

        last: these are the figures that a person is told in the end.
        """

    def weights(self) -> dict[str, np.ndarray]:
        """What the run stores of the model as it was evaluated last."""

    def merit(self, figures: Mapping[str, Any]) -> float:
        """How good these figures are: the weights whose merit is the highest are the run's."""

    def carried(self) -> dict[str, Tensor]:
        """What passes from step to step beside weights, by name: the recurrent state of all processes."""

    def carry(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `carried` gave."""

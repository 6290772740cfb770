"""What the loop trains: the contract of a task, and the settings of its optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn


@dataclass(frozen=True)
class OptimizerSettings:
    """How each step moves the weights."""

    learning_rate: float  # at its peak
    optimizer: str = "adamw"  # one of options.OPTIMIZERS
    weight_decay: float = 0.0  # of matrices: each step takes off this fraction times the learning rate
    clip: float = 1.0  # largest joint norm of all gradients
    precision: str = "fp32"  # of the optimizer's own matrix products, fp32 or bf16
    patience: int | None = None  # evaluations without improvement before stopping early; None: never


class Task(Protocol):
    """A model and its data, as the loop sees them."""

    @property
    def model(self) -> nn.Module:
        """The model to train."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps that read the training set once."""

    def losses(self, step: int) -> tuple[list[Callable[[], Tensor]], int]:
        """A step's batch, divided into shards.

        Args:
            step: Number of the step, from 0 and across epochs.

        Returns:
            A function for each shard of this process, which gives the shard's part of the mean loss in nats (call
            it once, in any thread); and the number of tokens in the batch, summed over all processes.
        """

    def bits(self, nats: float) -> float | None:
        """Convert a training loss to bits per character; None where the loss is not about characters."""

    def evaluate(self, most_tokens: int, *, last: bool = False) -> dict[str, Any]:
        """Measure the model on the validation set.

        Args:
            most_tokens: How much of the set to read; a task may read its own fixed part instead.
            last: Whether this is the final evaluation, reported to the user; it may be more thorough.

        Returns:
            Figures by name; `val_loss`, in nats, is the one that training minimises.
        """

    def weights(self) -> dict[str, np.ndarray]:
        """The weights to store in the run, as they were at the last evaluation."""

    def score(self, figures: Mapping[str, Any]) -> float:
        """How good these figures are, higher being better; the run keeps the weights with the highest score."""

    def state_dict(self) -> dict[str, Tensor]:
        """The recurrent state carried from step to step, of all processes; empty for a task that carries none."""

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""

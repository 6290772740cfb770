"""Recurrent layers: a cell run over time, and the same cell spelled out for one step.

`step` is the slow, readable twin of `forward`; a test holds them equal. A new cell is a class here, in `CELLS`, and a
row in `specs.SPECS`. Weights of torch.nn's cells have its names, shapes and gate order.

Shapes: T steps, B streams, I inputs, H hidden, G gates. A state is a tuple of tensors (B, ·), the output first.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from chargen.models.specs import CellSpec

State = tuple[Tensor, ...]


class Cell(nn.Module):
    """One recurrent layer, read forwards: what every cell has in common. State goes in and comes out."""

    spec: ClassVar[CellSpec]
    input_size: int
    hidden_size: int

    @property
    def output_size(self) -> int:
        """Numbers it gives a step."""
        return self.hidden_size

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams."""
        zeros = next(self.parameters()).new_zeros(batch, self.hidden_size)
        return (zeros,) * len(self.spec.state)

    def initialise(self) -> None:
        """Give the weights the random values that a training begins with."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    def compact(self) -> None:
        """Lay the weights out as the kernel wants them, after they were copied. Not all cells need it."""

    def forward(self, inputs: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """Outputs (T, B, H) and the state after them, from inputs (T, B, I) and the state before.

        `mask`: factors of the weight `spec.recurrent`, the same at every step of the call (DropConnect on the
        recurrence, Merity et al. 2017, arXiv:1708.02182).
        """
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of the cell's equations: inputs (B, I) and a state to outputs (B, H) and the next state."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")

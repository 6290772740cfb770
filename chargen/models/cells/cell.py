"""The interface of recurrent cells: run over time (`forward`) or for one step (`step`).

`step` is the slow, readable twin of `forward`; a test checks that they agree. A new cell is a class in this folder, a
row in `registry.CELLS` and a row in `specs.SPECS`. Cells that torch.nn has too use its weight names, shapes and gate
order.

Shapes: T steps, B streams, I inputs, H hidden, G gates. A state is a tuple of tensors (B, ·), the output first.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from chargen.models.specs import CellSpec

State = tuple[Tensor, ...]
Gates = dict[str, Tensor]  # by the names in the cell's spec


class Cell(nn.Module):
    """One recurrent layer, which reads forwards. The state is an argument and a result."""

    spec: ClassVar[CellSpec]
    input_size: int
    hidden_size: int

    @property
    def output_size(self) -> int:
        """Size of each step's output."""
        return self.hidden_size * self.spec.outputs

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams."""
        zeros = next(self.parameters()).new_zeros(batch, self.hidden_size)
        return (zeros,) * len(self.spec.state)

    def initialise(self) -> None:
        """Set the weights to the random values that training starts from."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    def compact(self) -> None:
        """Lay out the weights in memory as the kernel needs them, after they were copied. Few cells need this."""

    def forward(self, inputs: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """Run the cell over time.

        Args:
            inputs: (T, B, I).
            state: Before the first step.
            mask: Factors for the weight named `spec.recurrent`, the same at every step (weight drop; Merity et al.
                2017, arXiv:1708.02182).

        Returns:
            Outputs (T, B, H), and the state after the last step.
        """
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    def forward_with_resets(
        self, inputs: Tensor, state: State, resets: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """`forward`, but a stream's state is zero before each step where `resets` (T, B) is true."""
        edges = sorted({0, *resets.any(dim=1).nonzero()[:, 0].tolist(), len(inputs)})
        outputs = []
        for start, stop in pairwise(edges):
            part, state = self(inputs[start:stop], reset(state, resets[start]), mask)
            outputs.append(part)
        return torch.cat(outputs), state

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one step: inputs (B, I) and a state to outputs (B, H) and the next state."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    def gates(self, inputs: Tensor, state: State) -> Gates:
        """What is between 0 and 1 in a step's equations, each (B, H): from inputs (B, I) and the state before it."""
        return {}

    def kept(self, gates: Gates) -> Tensor | None:
        """The share (B, H) of the memory that a step keeps, from its gates; None: the cell has no such gate."""
        return gates.get("f")


def reset(state: State, streams: Tensor) -> State:
    """A copy of the state that is zero for the streams where `streams` (B,) is true.

    >>> reset((torch.ones(2, 1),), torch.tensor([True, False]))[0].flatten().tolist()
    [0.0, 1.0]
    """
    return tuple(part.masked_fill(streams[:, None], 0.0) for part in state)

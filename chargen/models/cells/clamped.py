"""A layer with some of its outputs held at a value. `cells_numpy/clamped.py` is its twin."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from chargen.models.cells.cell import Cell, State


class Clamped(Cell):
    """A layer that, after each step, sets some units of its output, which is also the first part of its state.

    So the layer above (or the projection) reads what is held, and so does the next step of a cell that reads its own
    output. Other parts of the state, such as an LSTM's c, go on by the equations.
    """

    def __init__(self, cell: Cell, values: Mapping[int, float]) -> None:
        """Set up.

        Args:
            cell: The layer; its weights are shared.
            values: By number of the unit.
        """
        super().__init__()
        self.cell = cell
        self.input_size, self.hidden_size = cell.input_size, cell.hidden_size
        weight = next(cell.parameters())
        self.register_buffer("units", torch.tensor(list(values), device=weight.device))
        self.register_buffer("values", torch.tensor(list(values.values()), dtype=weight.dtype, device=weight.device))

    @property
    def output_size(self) -> int:
        """Size of each step's output."""
        return self.cell.output_size

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams."""
        return self.cell.initial_state(batch)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Cell.step`."""
        outputs, after = self.cell.step(inputs, state)
        units, values = self.get_buffer("units"), self.get_buffer("values")
        held = outputs.index_copy(1, units, values.to(outputs.dtype).expand(len(outputs), -1))
        return held, (held, *after[1:])

    def forward(self, inputs: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """See `Cell.forward`; step by step, since each step reads what is held."""
        outputs = []
        for one in inputs.unbind():
            output, state = self.step(one, state)
            outputs.append(output)
        return torch.stack(outputs), state

"""Cells whose weights are parameters of their own, and which torch's operations run step by step.

Shapes: T steps, B streams, I inputs, H hidden, G gates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from chargen.models.cells.cell import Cell, Gates, State
from chargen.models.cells.lstm_equations import lstm_activations, lstm_equations, without_candidate

Weights = dict[str, Tensor]


class SteppedCell(Cell):
    """A cell with the weights that its spec names. Subclasses give `advance`, and `products` if it saves work."""

    def __init__(self, input_size: int, hidden_size: int, **settings: Any) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.settings = input_size, hidden_size, settings
        for name, shape in self.spec.weight_shapes(input_size, hidden_size, **settings).items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    def weights(self, mask: Tensor | None = None) -> Weights:
        """The weights by name, the recurrent one multiplied by `mask`, if any."""
        weights: Weights = dict(self.named_parameters())
        if mask is not None and self.spec.recurrent:
            weights[self.spec.recurrent] = weights[self.spec.recurrent] * mask
        return weights

    def initialise_gates(self, name: str, *, orthogonal: bool = False) -> None:
        """Initialise a weight (G·H, ·) gate by gate: Glorot, or orthogonal for one that multiplies the state."""
        for gate in torch.split(self.get_parameter(name).detach(), self.hidden_size):
            (nn.init.orthogonal_ if orthogonal else nn.init.xavier_uniform_)(gate)

    def products(self, inputs: Tensor, weights: Weights) -> Tensor:
        """What needs the inputs (…, I) alone, and is computed for all steps at once."""
        return inputs

    def advance(self, products: Tensor, state: State, weights: Weights) -> State:
        """The next state, from the products of one step (B, ·)."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    def forward(self, inputs: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """See `Cell.forward`."""
        weights, outputs = self.weights(mask), []
        for products in self.products(inputs, weights).unbind():
            state = self.advance(products, state, weights)
            outputs.append(state[0])
        return torch.stack(outputs), state

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Cell.step`."""
        weights = self.weights()
        after = self.advance(self.products(inputs, weights), state, weights)
        return after[0], after


class SteppedLSTM(SteppedCell):
    """An LSTM but for what its gates read. Subclasses give `gate_products`."""

    def gate_products(self, products: Tensor, state: State, weights: Weights) -> Tensor:
        """The gates i f g o before activation (B, 4·H), from what `advance` is given."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    def advance(self, products: Tensor, state: State, weights: Weights) -> State:
        """The next (h, c); the equations are in the class docstring."""
        return lstm_equations(self.gate_products(products, state, weights), state[1])

    def gates(self, inputs: Tensor, state: State) -> Gates:
        """See `Cell.gates`."""
        weights = self.weights()
        products = self.gate_products(self.products(inputs, weights), state, weights)
        return without_candidate(lstm_activations(products))


def open_forget_gate(bias: Tensor, hidden_size: int) -> None:
    """Set an LSTM's bias (4·H,) to zero, but the forget gate's to 1, so that it is open (Jozefowicz et al. 2015)."""
    with torch.no_grad():
        bias.zero_()[hidden_size : 2 * hidden_size] = 1.0

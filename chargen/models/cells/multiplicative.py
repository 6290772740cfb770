"""The multiplicative LSTM, the cell of the sentiment neuron (Radford et al. 2017, arXiv:1704.01444)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from chargen.models.cells.cell import State
from chargen.models.cells.stepped import SteppedLSTM, Weights, open_forget_gate
from chargen.models.specs import SPECS


class MultiplicativeLSTM(SteppedLSTM):
    """An LSTM whose recurrent weights differ for each input (Krause et al. 2016, arXiv:1609.07959).

    A product m of input and state takes the place of h in the gates, i f g o:

        m = (W_mx·x) · (W_mh·h)
        gates = W_x·x + W_m·m + b
        c' = sigmoid(f)·c + sigmoid(i)·tanh(g)
        h' = sigmoid(o)·tanh(c')

    >>> cell = MultiplicativeLSTM(input_size=3, hidden_size=5)
    >>> outputs, (h, c) = cell(torch.zeros(4, 2, 3), cell.initial_state(2))
    >>> outputs.shape, c.shape
    (torch.Size([4, 2, 5]), torch.Size([2, 5]))
    """

    spec = SPECS["mlstm"]

    def initialise(self) -> None:
        """Initialise weights of the input by Glorot, those of the state as orthogonal, and open the forget gate."""
        for name in ("weight_x", "weight_mx"):
            self.initialise_gates(name)
        for name in ("weight_m", "weight_mh"):
            self.initialise_gates(name, orthogonal=True)
        open_forget_gate(self.get_parameter("bias"), self.hidden_size)

    def products(self, inputs: Tensor, weights: Weights) -> Tensor:
        """W_x·x + b and W_mx·x side by side (…, 5·H)."""
        weight = torch.cat([weights["weight_x"], weights["weight_mx"]])
        return linear(inputs, weight, pad(weights["bias"], (0, self.hidden_size)))

    def gate_products(self, products: Tensor, state: State, weights: Weights) -> Tensor:
        """See the base class."""
        x_gates, m_x = products.split([4 * self.hidden_size, self.hidden_size], dim=-1)
        m = m_x * linear(state[0], weights["weight_mh"])
        gates: Tensor = x_gates + linear(m, weights["weight_m"])
        return gates

"""The Grid LSTM in two dimensions, time and depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from chargen.models.cells.cell import Gates, State
from chargen.models.cells.lstm_equations import lstm_activations, lstm_equations, without_candidate
from chargen.models.cells.stepped import SteppedCell, Weights, open_forget_gate
from chargen.models.specs import SPECS


class GridLSTM(SteppedCell):
    """A layer of a Grid LSTM (Kalchbrenner et al. 2015, arXiv:1507.01526), with an LSTM along depth too.

    Each block has an h and an m (an LSTM's c) that come along time, and others that come along depth, from the layer
    below. Both LSTMs read both h:

        h'_time,  m'_time  = LSTM_time(W_time·[h_time, h_depth] + b_time, m_time)
        h'_depth, m'_depth = LSTM_depth(W_depth·[h_time, h_depth] + b_depth, m_depth)

    The output is h'_depth and m'_depth side by side (B, 2·H), which the next layer reads as its own. The first layer
    makes its h_depth and m_depth from the input: W_in·x + b_in.

    >>> cell = GridLSTM(input_size=3, hidden_size=5)
    >>> outputs, state = cell(torch.zeros(4, 2, 3), cell.initial_state(2))
    >>> outputs.shape, GridLSTM(cell.output_size, hidden_size=5)(outputs, cell.initial_state(2))[0].shape
    (torch.Size([4, 2, 10]), torch.Size([4, 2, 10]))
    """

    spec = SPECS["grid-lstm"]

    def initialise(self) -> None:
        """Initialise the half of each gate that reads along its own dimension as orthogonal, the rest by Glorot."""
        own = {"weight_time": slice(0, self.hidden_size), "weight_depth": slice(self.hidden_size, None)}
        for name, columns in own.items():
            self.initialise_gates(name)
            for gate in torch.split(self.get_parameter(name).detach(), self.hidden_size):
                nn.init.orthogonal_(gate[:, columns])
        for name in ("bias_time", "bias_depth"):
            open_forget_gate(self.get_parameter(name), self.hidden_size)
        if "weight_in" in self._parameters:
            self.initialise_gates("weight_in")

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams: the output, and the h and m of time."""
        zeros = self.get_parameter("bias_time").new_zeros
        return zeros(batch, self.output_size), zeros(batch, self.hidden_size), zeros(batch, self.hidden_size)

    def products(self, inputs: Tensor, weights: Weights) -> Tensor:
        """The h and m of depth side by side (…, 2·H)."""
        if "weight_in" not in weights:
            return inputs
        return linear(inputs, weights["weight_in"], weights["bias_in"])

    def advance(self, products: Tensor, state: State, weights: Weights) -> State:
        """The next (output, h, m); the equations are in the class docstring."""
        time_gates, depth_gates = self._gate_products(products, state, weights)
        m_depth = products[..., self.hidden_size :]
        depth = torch.cat(lstm_equations(depth_gates, m_depth), dim=-1)
        return depth, *lstm_equations(time_gates, state[2])

    def gates(self, inputs: Tensor, state: State) -> Gates:
        """The gates of the LSTM along time, and after them those of the one along depth, as `depth i` and so on."""
        weights = self.weights()
        products = self._gate_products(self.products(inputs, weights), state, weights)
        time, depth = (without_candidate(lstm_activations(part)) for part in products)
        return time | {f"depth {name}": gate for name, gate in depth.items()}

    def _gate_products(self, products: Tensor, state: State, weights: Weights) -> tuple[Tensor, Tensor]:
        """The gates along time and along depth before activation, each (B, 4·H)."""
        h, h_depth = state[1], products[..., : self.hidden_size]
        both = torch.cat([h, h_depth.to(h.dtype)], dim=-1)  # (B, 2·H)
        time = linear(both, weights["weight_time"], weights["bias_time"])
        return time, linear(both, weights["weight_depth"], weights["bias_depth"])

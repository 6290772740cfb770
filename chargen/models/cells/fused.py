"""The cells of torch.nn, run over time by its fused kernels: LSTM, GRU and simple recurrent networks.

The equations write x_gates for W_ih·x + b_ih and h_gates for W_hh·h + b_hh, both (B, G·H); · between vectors is
elementwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from chargen.models.cells.cell import Cell, Gates, State
from chargen.models.cells.lstm_equations import lstm_activations, lstm_equations, without_candidate
from chargen.models.cells.packing import Packing
from chargen.models.scan import gru_scan
from chargen.models.specs import SPECS


class FusedCell(nn.RNNBase, Cell):
    """A cell of torch.nn, run by its fused kernel. Subclasses give the kernel and the equations.

    >>> cell = GRU(input_size=3, hidden_size=5)
    >>> outputs, (h,) = cell(torch.zeros(4, 2, 3), cell.initial_state(2))
    >>> outputs.shape, h.shape
    (torch.Size([4, 2, 5]), torch.Size([2, 5]))
    """

    mode_name: ClassVar[str]  # torch.nn's name for the cell
    kernel: ClassVar[Callable[..., Any]]  # torch's function that runs the cell over time

    weight_ih_l0: nn.Parameter  # (G·H, I)
    weight_hh_l0: nn.Parameter  # (G·H, H)
    bias_ih_l0: nn.Parameter  # (G·H,)
    bias_hh_l0: nn.Parameter  # (G·H,)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(self.mode_name, input_size, hidden_size)

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise each gate: Glorot input weights, orthogonal recurrent weights, zero biases.

        Orthogonal: Saxe et al. 2014, arXiv:1312.6120.
        """
        for weight in torch.split(self.weight_ih_l0, self.hidden_size):
            nn.init.xavier_uniform_(weight)
        for weight in torch.split(self.weight_hh_l0, self.hidden_size):
            self.initialise_recurrence(weight)
        self.bias_ih_l0.zero_()
        self.bias_hh_l0.zero_()

    def compact(self) -> None:
        """Put the weights side by side in memory, or cuDNN would copy them at every call."""
        self.flatten_parameters()

    def initialise_recurrence(self, weight: Tensor) -> None:
        """Initialise the recurrent weight (H, H) of one gate in place."""
        nn.init.orthogonal_(weight)

    def forward(self, inputs: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """See `Cell.forward`; `mask` is (G·H, H)."""
        return self.forward_with(self.masked_weights(mask), inputs, state)

    def masked_weights(self, mask: Tensor | None) -> list[nn.Parameter]:
        """The layer's weights, the recurrent one multiplied by `mask`, if any."""
        (weights,) = self.all_weights
        if mask is None:
            return weights
        return [weights[0], cast("nn.Parameter", weights[1] * mask), *weights[2:]]

    def forward_with(self, weights: list[nn.Parameter], inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """`forward` with other weights than the layer's own: weight_ih, weight_hh, bias_ih and bias_hh."""
        hidden = tuple(part[None] for part in state)  # each (1, B, H)
        # has_biases, num_layers, dropout, train, bidirectional, batch_first
        flags = (True, 1, 0.0, self.training, False, False)
        outputs, *after = type(self).kernel(inputs, hidden if len(hidden) > 1 else hidden[0], weights, *flags)
        return outputs, tuple(part[0] for part in after)

    def forward_with_resets(
        self, inputs: Tensor, state: State, resets: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """See `Cell.forward_with_resets`; on a GPU in one call, since each call costs much there."""
        if inputs.device.type == "cpu":
            return super().forward_with_resets(inputs, state, resets, mask)
        return self.forward_packed(Packing.at(resets), inputs, state, mask)

    def forward_packed(
        self, packing: Packing, inputs: Tensor, state: State, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """`forward_with_resets`, by the kernel for sequences of different lengths."""
        hidden = tuple(part[None] for part in packing.pack_state(state))  # each (1, P, H)
        flags = (True, 1, 0.0, self.training, False)
        outputs, *after = type(self).kernel(
            packing.pack(inputs),
            packing.sizes,
            hidden if len(hidden) > 1 else hidden[0],
            self.masked_weights(mask),
            *flags,
        )
        return packing.unpack(outputs), packing.last_state(tuple(part[0] for part in after))

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one step: inputs (B, I) and a state to outputs (B, H) and the next state."""
        after = self.equations(*self._products(inputs, state), *state)
        return after[0], after

    def gates(self, inputs: Tensor, state: State) -> Gates:
        """See `Cell.gates`."""
        return self.activations(*self._products(inputs, state))

    def _products(self, inputs: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """x_gates and h_gates, each (B, G·H)."""
        x_gates = linear(inputs, self.weight_ih_l0, self.bias_ih_l0)
        return x_gates, linear(state[0], self.weight_hh_l0, self.bias_hh_l0)

    def activations(self, x_gates: Tensor, h_gates: Tensor) -> Gates:
        """The gates after their sigmoid, each (B, H); none in a simple network."""
        return {}

    def equations(self, x_gates: Tensor, h_gates: Tensor, *state: Tensor) -> State:
        """The next state, from the products of the input and of h with the gates' weights, each (B, G·H)."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")


class LSTM(FusedCell):
    """Long short-term memory with a forget gate (Gers et al. 2000); gates in the order i f g o.

    With i, f, g, o = x_gates + h_gates:

        c' = sigmoid(f)·c + sigmoid(i)·tanh(g)
        h' = sigmoid(o)·tanh(c')
    """

    spec = SPECS["lstm"]
    mode_name = "LSTM"
    kernel = staticmethod(torch.lstm)

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise as other cells, but the forget gate's bias to 1, so that it is open (Jozefowicz et al. 2015)."""
        super().initialise()
        self.bias_ih_l0[self.hidden_size : 2 * self.hidden_size] = 1.0

    def equations(self, x_gates: Tensor, h_gates: Tensor, *state: Tensor) -> State:
        """The next (h, c); the equations are in the class docstring."""
        return lstm_equations(x_gates + h_gates, state[1])

    def activations(self, x_gates: Tensor, h_gates: Tensor) -> Gates:
        """i, f and o after their sigmoid."""
        return without_candidate(lstm_activations(x_gates + h_gates))


class GRU(FusedCell):
    """Gated recurrent unit (Cho et al. 2014, in cuDNN's variant); gates in the order r z n.

    The reset gate applies after the recurrent product, as in torch.nn:

        r = sigmoid(r_x + r_h)
        z = sigmoid(z_x + z_h)
        n = tanh(n_x + r·n_h)
        h' = (1 - z)·n + z·h

    where r_x, z_x, n_x = x_gates and r_h, z_h, n_h = h_gates.
    """

    spec = SPECS["gru"]
    mode_name = "GRU"
    kernel = staticmethod(torch.gru)

    def forward_with(self, weights: list[nn.Parameter], inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """As for other cells, but by `gru_scan` where that is faster."""
        if not _scan_is_faster(inputs):
            return super().forward_with(weights, inputs, state)
        return self.scan(weights, inputs, state)

    def forward_with_resets(
        self, inputs: Tensor, state: State, resets: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """See `Cell.forward_with_resets`; by `gru_scan` where that is faster."""
        if not _scan_is_faster(inputs):
            return super().forward_with_resets(inputs, state, resets, mask)
        return self.scan(self.masked_weights(mask), inputs, state, resets)

    def scan(
        self, weights: list[nn.Parameter], inputs: Tensor, state: State, resets: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """`forward` or `forward_with_resets`, by `gru_scan`, in the precision of autocast.

        The recurrent biases of r and z are added to x_gates, once for all steps.
        """
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weights[0].dtype
        weight_ih, weight_hh, bias_ih, bias_hh = (weight.to(dtype) for weight in weights)
        rz, n = bias_hh.split([2 * self.hidden_size, self.hidden_size])
        x_gates = linear(inputs.to(dtype), weight_ih, bias_ih + pad(rz, (0, self.hidden_size)))  # (T, B, 3·H)
        keep = None if resets is None else (~resets)[..., None].to(dtype)  # (T, B, 1)
        outputs = gru_scan(x_gates, state[0].to(dtype), weight_hh, n, keep)
        return outputs, (outputs[-1],)

    def equations(self, x_gates: Tensor, h_gates: Tensor, *state: Tensor) -> State:
        """The next (h,); the equations are in the class docstring."""
        gates, size = self.activations(x_gates, h_gates), 2 * self.hidden_size
        z, n = gates["z"], (x_gates[..., size:] + gates["r"] * h_gates[..., size:]).tanh()
        return ((1 - z) * n + z * state[0],)

    def activations(self, x_gates: Tensor, h_gates: Tensor) -> Gates:
        """Gates r and z, after their sigmoid."""
        size = 2 * self.hidden_size
        r, z = (x_gates[..., :size] + h_gates[..., :size]).sigmoid().chunk(2, dim=-1)
        return {"r": r, "z": z}

    def kept(self, gates: Gates) -> Tensor | None:
        """See `Cell.kept`."""
        return gates["z"]


class RNN(FusedCell):
    """Simple recurrent network (Elman 1990): h' = tanh(x_gates + h_gates)."""

    spec = SPECS["rnn"]
    mode_name = "RNN_TANH"
    kernel = staticmethod(torch.rnn_tanh)

    def equations(self, x_gates: Tensor, h_gates: Tensor, *state: Tensor) -> State:
        """The next (h,)."""
        return ((x_gates + h_gates).tanh(),)


class ReluRNN(FusedCell):
    """Simple recurrent network with relu (Le et al. 2015, arXiv:1504.00941): h' = relu(x_gates + h_gates)."""

    spec = SPECS["rnn-relu"]
    mode_name = "RNN_RELU"
    kernel = staticmethod(torch.rnn_relu)

    def initialise_recurrence(self, weight: Tensor) -> None:
        """Initialise to the identity, which neither amplifies nor shrinks the state."""
        nn.init.eye_(weight)

    def equations(self, x_gates: Tensor, h_gates: Tensor, *state: Tensor) -> State:
        """The next (h,)."""
        return ((x_gates + h_gates).relu(),)


def _scan_is_faster(inputs: Tensor) -> bool:
    """Whether `gru_scan` is faster than torch's kernel: in training on a CPU."""
    return inputs.device.type == "cpu" and torch.is_grad_enabled()

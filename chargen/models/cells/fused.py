"""The cells of torch.nn, run over time by its fused kernels: LSTM, GRU and simple recurrent networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from chargen.models.cells.cell import Cell, State
from chargen.models.scan import gru_scan
from chargen.models.specs import SPECS


class FusedCell(nn.RNNBase, Cell):
    """A cell of torch.nn, run by its fused kernel. Subclasses give the kernel and the equations."""

    mode_name: ClassVar[str]  # what torch.nn calls the cell
    fused: ClassVar[Callable[..., Any]]  # the kernel over time

    weight_ih_l0: nn.Parameter  # (G·H, I)
    weight_hh_l0: nn.Parameter  # (G·H, H)
    bias_ih_l0: nn.Parameter  # (G·H,)
    bias_hh_l0: nn.Parameter  # (G·H,)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(self.mode_name, input_size, hidden_size)

    @torch.no_grad()
    def initialise(self) -> None:
        """Glorot inputs and orthogonal recurrences gate by gate, biases zero.

        Orthogonal: Saxe et al. 2014, arXiv:1312.6120.
        """
        for weight in torch.split(self.weight_ih_l0, self.hidden_size):
            nn.init.xavier_uniform_(weight)
        for weight in torch.split(self.weight_hh_l0, self.hidden_size):
            self.initialise_recurrence(weight)
        self.bias_ih_l0.zero_()
        self.bias_hh_l0.zero_()

    def compact(self) -> None:
        """Side by side, since cuDNN would mend that at every call."""
        self.flatten_parameters()

    def initialise_recurrence(self, weight: Tensor) -> None:
        """Give one gate's recurrent weight (H, H) its first values."""
        nn.init.orthogonal_(weight)

    def forward(self, inputs: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """See `Cell.forward`; `mask` is (G·H, H)."""
        (weights,) = self.all_weights
        if mask is not None:
            weights = [weights[0], cast("nn.Parameter", weights[1] * mask), *weights[2:]]
        return self.over_time(inputs, state, weights)

    def over_time(self, inputs: Tensor, state: State, weights: list[nn.Parameter]) -> tuple[Tensor, State]:
        """`forward` by torch's kernel, with these weights in place of the layer's own."""
        hidden = tuple(part[None] for part in state)
        # has_biases, num_layers, dropout, train, bidirectional, batch_first
        flags = (True, 1, 0.0, self.training, False, False)
        outputs, *after = type(self).fused(inputs, hidden if len(hidden) > 1 else hidden[0], weights, *flags)
        return outputs, tuple(part[0] for part in after)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of the cell's equations: inputs (B, I) and a state to outputs (B, H) and the next state."""
        given = linear(inputs, self.weight_ih_l0, self.bias_ih_l0)  # (B, G·H)
        carried = linear(state[0], self.weight_hh_l0, self.bias_hh_l0)  # (B, G·H)
        after = self.equations(given, carried, *state)
        return after[0], after

    def equations(self, given: Tensor, carried: Tensor, *state: Tensor) -> State:
        """The next state from the input's and the last h's products with the gates' weights, each (B, G·H)."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")


class LSTM(FusedCell):
    """Long short-term memory with a forget gate (Gers et al. 2000); gates in the order i f g o."""

    spec = SPECS["lstm"]
    mode_name = "LSTM"
    fused = staticmethod(torch.lstm)

    @torch.no_grad()
    def initialise(self) -> None:
        """With the forget gate open: a bias of 1 (Jozefowicz et al. 2015)."""
        super().initialise()
        self.bias_ih_l0[self.hidden_size : 2 * self.hidden_size] = 1.0

    def equations(self, given: Tensor, carried: Tensor, *state: Tensor) -> State:
        """C' = f·c + i·g and h' = o·tanh(c')."""
        i, f, g, o = (given + carried).chunk(4, dim=-1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class GRU(FusedCell):
    """Gated recurrent unit, reset applied after the product (cuDNN's variant of Cho et al. 2014); gates r z n."""

    spec = SPECS["gru"]
    mode_name = "GRU"
    fused = staticmethod(torch.gru)

    def over_time(self, inputs: Tensor, state: State, weights: list[nn.Parameter]) -> tuple[Tensor, State]:
        """By `gru_scan` where that is faster: in training, on a CPU."""
        if not (inputs.device.type == "cpu" and torch.is_grad_enabled()):
            return super().over_time(inputs, state, weights)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weights[0].dtype
        return self.scan(inputs.to(dtype), state[0].to(dtype), *(weight.to(dtype) for weight in weights))

    def scan(
        self, inputs: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
    ) -> tuple[Tensor, State]:
        """`forward` by `gru_scan`: outputs (T, B, H) and the state from inputs (T, B, I) and h (B, H), of one dtype.

        The biases of r and z join those of the inputs' product, so that no step need add them.
        """
        rz, reset = bias_hh.split([2 * self.hidden_size, self.hidden_size])
        given = linear(inputs, weight_ih, bias_ih + pad(rz, (0, self.hidden_size)))  # (T, B, 3·H)
        outputs = gru_scan(given, h, weight_hh, reset)
        return outputs, (outputs[-1],)

    def equations(self, given: Tensor, carried: Tensor, *state: Tensor) -> State:
        """H' = (1 - z)·n + z·h, with n = tanh(given + r·carried)."""
        r_given, z_given, n_given = given.chunk(3, dim=-1)
        r_carried, z_carried, n_carried = carried.chunk(3, dim=-1)
        r = (r_given + r_carried).sigmoid()
        z = (z_given + z_carried).sigmoid()
        n = (n_given + r * n_carried).tanh()
        return ((1 - z) * n + z * state[0],)


class RNN(FusedCell):
    """The simple recurrent network of Elman (1990), with tanh."""

    spec = SPECS["rnn"]
    mode_name = "RNN_TANH"
    fused = staticmethod(torch.rnn_tanh)

    def equations(self, given: Tensor, carried: Tensor, *state: Tensor) -> State:
        """H' = tanh(given + carried)."""
        return ((given + carried).tanh(),)


class ReluRNN(FusedCell):
    """The simple recurrent network with relu, from an identity recurrence (Le et al. 2015, arXiv:1504.00941)."""

    spec = SPECS["rnn-relu"]
    mode_name = "RNN_RELU"
    fused = staticmethod(torch.rnn_relu)

    def compact(self) -> None:
        """Side by side, since cuDNN would mend that at every call."""
        self.flatten_parameters()

    def initialise_recurrence(self, weight: Tensor) -> None:
        """The identity, since it neither grows nor shrinks what is carried."""
        nn.init.eye_(weight)

    def equations(self, given: Tensor, carried: Tensor, *state: Tensor) -> State:
        """H' = relu(given + carried)."""
        return ((given + carried).relu(),)

"""Cells whose gates do not read the state, so that all steps are computed at once: minGRU, minLSTM and QRNN.

What is left to do step by step is h' = (1 - u)·h + u·n (`models/linear_scan.py`). It runs in float32, whatever the
precision.

Shapes: T steps, B streams, I inputs, H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from chargen.models.cells.cell import Gates, State
from chargen.models.cells.stepped import SteppedCell
from chargen.models.linear_scan import linear_scan
from chargen.models.specs import SPECS


class _Parallel(SteppedCell):
    """A cell that runs over time by `scan`. It has no recurrent weight that a mask could apply to."""

    def forward(self, inputs: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """See `Cell.forward`."""
        return self.scan(inputs, state, None)

    def forward_with_resets(
        self, inputs: Tensor, state: State, resets: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """See `Cell.forward_with_resets`."""
        return self.scan(inputs, state, resets)

    def scan(self, inputs: Tensor, state: State, resets: Tensor | None) -> tuple[Tensor, State]:
        """`forward`, or `forward_with_resets` if there are any: nothing is kept where the state is reset."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")


class _Minimal(_Parallel):
    """A cell that keeps a share of its state and adds a candidate, both from the input alone."""

    weight_x: nn.Parameter  # (G·H, I)
    bias: nn.Parameter  # (G·H,)

    def initialise(self) -> None:
        """Initialise each gate by Glorot, with zero biases."""
        self.initialise_gates("weight_x")

    def coefficients(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The share of the candidate in the new state, and the candidate, each (…, H)."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    def scan(self, inputs: Tensor, state: State, resets: Tensor | None) -> tuple[Tensor, State]:
        """See the base class."""
        u, n = self.coefficients(inputs)
        outputs = linear_scan(u, n, state[0].to(u.dtype), resets).to(inputs.dtype)
        return outputs, (outputs[-1],)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Cell.step`."""
        u, n = self.coefficients(inputs)
        after = ((1 - u) * state[0] + u * n).to(inputs.dtype)
        return after, (after,)

    def _gates(self, inputs: Tensor) -> tuple[Tensor, ...]:
        products = linear(inputs, self.weight_x, self.bias)
        return _precise(products).chunk(len(self.spec.gates), dim=-1)


class MinGRU(_Minimal):
    """A GRU without state in its gates (Feng et al. 2024, arXiv:2410.01201), with the candidate of their appendix B.

    With z and h_x the products of the input with their weights:

        h' = (1 - sigmoid(z))·h + sigmoid(z)·g(h_x)

    where g(x) = x + 0.5 for x ≥ 0 and sigmoid(x) otherwise, which is positive.

    >>> cell = MinGRU(input_size=3, hidden_size=5)
    >>> cell(torch.zeros(2, 1, 3), cell.initial_state(1))[0][:, 0, 0]
    tensor([0.2500, 0.3750], grad_fn=<SelectBackward0>)
    """

    spec = SPECS["mingru"]

    def coefficients(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class; the equations are in the class docstring."""
        z, candidate = self._gates(inputs)
        return z.sigmoid(), positive(candidate)

    def gates(self, inputs: Tensor, state: State) -> Gates:
        """See `Cell.gates`."""
        return {"z": self._gates(inputs)[0].sigmoid()}

    def kept(self, gates: Gates) -> Tensor | None:
        """See `Cell.kept`."""
        return 1 - gates["z"]


class MinLSTM(_Minimal):
    """An LSTM without state in its gates and without c (Feng et al. 2024, arXiv:2410.01201).

    With f, i and h_x the products of the input with their weights, and g as for `MinGRU`:

        h' = f'·h + i'·g(h_x)    where f' = sigmoid(f) / (sigmoid(f) + sigmoid(i)) and i' = 1 - f'
    """

    spec = SPECS["minlstm"]

    def coefficients(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class; the equations are in the class docstring."""
        _, i, candidate = self._shares(inputs)
        return i, positive(candidate)

    def gates(self, inputs: Tensor, state: State) -> Gates:
        """See `Cell.gates`: f' and i', which sum to 1."""
        f, i, _ = self._shares(inputs)
        return {"f": f, "i": i}

    def _shares(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of the state, f'; of the candidate, i'; and h_x. Not quotients, which small gates make 0/0."""
        f, i, candidate = self._gates(inputs)
        log_odds = softplus(-f) - softplus(-i)  # of i' against f', as -softplus(-x) is the logarithm of sigmoid(x)
        return (-log_odds).sigmoid(), log_odds.sigmoid(), candidate


class QRNN(_Parallel):
    """A quasi-recurrent network, convolution of two steps and fo-pooling (Bradbury et al. 2016, arXiv:1611.01576).

    With gates z f o = W_x·x + W_before·(x of the step before) + b:

        c' = sigmoid(f)·c + (1 - sigmoid(f))·tanh(z)
        h' = sigmoid(o)·c'

    >>> cell = QRNN(input_size=3, hidden_size=5)
    >>> [tuple(part.shape) for part in cell.initial_state(2)]  # h, c, and the x of the step before
    [(2, 5), (2, 5), (2, 3)]
    """

    spec = SPECS["qrnn"]

    weight_x: nn.Parameter  # (3·H, I)
    weight_before: nn.Parameter  # (3·H, I)
    bias: nn.Parameter  # (3·H,)

    def initialise(self) -> None:
        """Initialise each gate by Glorot, with zero biases."""
        self.initialise_gates("weight_x")
        self.initialise_gates("weight_before")

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams."""
        zeros = self.bias.new_zeros
        return zeros(batch, self.hidden_size), zeros(batch, self.hidden_size), zeros(batch, self.input_size)

    def scan(self, inputs: Tensor, state: State, resets: Tensor | None) -> tuple[Tensor, State]:
        """See the base class; neither c nor the input before is kept."""
        _, c, before = state
        before = torch.cat([before[None].to(inputs.dtype), inputs[:-1]])
        if resets is not None:
            before = before.masked_fill(resets[..., None], 0.0)
        z, f, o = self._gates(inputs, before)
        cells = linear_scan(1 - f, z, c.to(f.dtype), resets)
        outputs, cells = (o * cells).to(inputs.dtype), cells.to(inputs.dtype)
        return outputs, (outputs[-1], cells[-1], inputs[-1])

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Cell.step`."""
        _, c, before = state
        z, f, o = self._gates(inputs, before)
        c = f * c + (1 - f) * z
        outputs, c = (o * c).to(inputs.dtype), c.to(inputs.dtype)
        return outputs, (outputs, c, inputs)

    def gates(self, inputs: Tensor, state: State) -> Gates:
        """See `Cell.gates`."""
        _, f, o = self._gates(inputs, state[2])
        return {"f": f, "o": o}

    def _gates(self, inputs: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gates after activation, each (…, H)."""
        x_gates = linear(inputs, self.weight_x, self.bias)
        products = x_gates + linear(before, self.weight_before)
        z, f, o = _precise(products).chunk(3, dim=-1)
        return z.tanh(), f.sigmoid(), o.sigmoid()


def positive(x: Tensor) -> Tensor:
    """The g of minGRU: x + 0.5 for x ≥ 0 and sigmoid(x) otherwise.

    >>> positive(torch.tensor([1.0, 0.0])).tolist()
    [1.5, 0.5]
    """
    return x.relu() + (-(-x).relu()).sigmoid()  # a `torch.where` takes ten times as long


def _precise(values: Tensor) -> Tensor:
    return values.float() if values.dtype == torch.bfloat16 else values

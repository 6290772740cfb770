"""The cells of torch.nn in NumPy; `cells/fused.py` has their readable twins."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np

from chargen.models.cells_numpy.layer import Array, Layer, State, finish_sigmoid, matmul_transposed, reordered


class GatedLayer(Layer):
    """A layer of torch.nn. Its gates are reordered: those with a sigmoid come first, their weights halved."""

    gate_order: ClassVar[tuple[int, ...]] = (0,)  # indices of torch.nn's gates, in the order used here
    num_sigmoids: ClassVar[int] = 0  # gates with a sigmoid
    num_states: ClassVar[int] = 1  # arrays in a state

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """See `Layer`."""
        super().__init__(weights)
        weight_ih, weight_hh, bias_ih, bias_hh = (
            reordered(weights[f"{name}_l0"], self.gate_order, self.num_sigmoids)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        self.hidden_size = weight_hh.shape[1]
        self.weight_ih, self.weight_hh, self.bias = weight_ih, weight_hh, bias_ih + bias_hh
        self.x_size = self.scratch_size = len(self.bias)

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams."""
        return tuple(np.zeros((batch, self.hidden_size), dtype=np.float32) for _ in range(self.num_states))

    def x_gates(self, x: Array) -> Array:
        """The product (…, G·H) of inputs (…, I) with the gates' weights, including the bias."""
        products: Array = x @ self.weight_ih.T
        products += self.bias
        return products


class _SummedLayer(GatedLayer):
    """A layer whose gates depend only on x_gates + h_gates, so that a step needs a single matrix product."""

    @cached_property
    def weight(self) -> Array:
        """Both matrices side by side (G·H, I + H); made only if `step` is used."""
        return np.concatenate([self.weight_ih, self.weight_hh], axis=1)

    def advance(self, x_gates: Array, state: State, new: State, gates: Array) -> None:
        """See `Layer.advance`."""
        matmul_transposed(state[0], self.weight_hh, gates)
        gates += x_gates
        self.activate(gates, state, new)

    def step(self, x: Array, state: State, new: State) -> None:
        """See `Layer.step`."""
        gates = self.scratch(len(x))
        x_and_h = self._scratch.array("x and h", len(x), self.weight.shape[1])
        np.concatenate([x, state[0]], axis=1, out=x_and_h)
        matmul_transposed(x_and_h, self.weight, gates)
        gates += self.bias
        self.activate(gates, state, new)

    def activate(self, gates: Array, state: State, new: State) -> None:
        """Write into `new` the state that follows from gates (B, G·H) before activation, which are overwritten."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")


class TanhLayer(_SummedLayer):
    """A simple recurrent layer."""

    def activate(self, gates: Array, state: State, new: State) -> None:
        """See the base class."""
        np.tanh(gates, out=new[0])


class ReluLayer(_SummedLayer):
    """A simple recurrent layer with relu."""

    def activate(self, gates: Array, state: State, new: State) -> None:
        """See the base class."""
        np.maximum(gates, 0, out=new[0])


class LSTMLayer(_SummedLayer):
    """An LSTM."""

    gate_order = (0, 1, 3, 2)  # i f o g
    num_sigmoids = 3
    num_states = 2

    def activate(self, gates: Array, state: State, new: State) -> None:
        """See the base class."""
        activate_lstm(gates, state[1], *new)


class GRULayer(GatedLayer):
    """A GRU with reset after the product, as in torch.nn: n = tanh(n_x + r·(n_h + bias_hn)), h' = n + z·(h - n)."""

    gate_order = (0, 1, 2)  # r z n
    num_sigmoids = 2

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """See `Layer`."""
        super().__init__(weights)
        split = 2 * self.hidden_size
        self.bias[split:] = weights["bias_ih_l0"][split:]
        self.bias_hn = weights["bias_hh_l0"][split:]  # kept apart, since r multiplies it

    def advance(self, x_gates: Array, state: State, new: State, gates: Array) -> None:
        """See `Layer.advance`."""
        split, h, new_h = 2 * self.hidden_size, state[0], new[0]
        matmul_transposed(h, self.weight_hh, gates)
        rz, n = gates[:, :split], gates[:, split:]
        rz += x_gates[:, :split]
        np.tanh(rz, out=rz)
        finish_sigmoid(rz)
        r, z = gates[:, : self.hidden_size], gates[:, self.hidden_size : split]
        n += self.bias_hn
        n *= r
        n += x_gates[:, split:]
        np.tanh(n, out=n)
        np.subtract(h, n, out=new_h)
        new_h *= z
        new_h += n


def activate_lstm(gates: Array, c: Array, new_h: Array, new_c: Array) -> None:
    """An LSTM's next state: c' = f·c + i·g, h' = o·tanh(c').

    Args:
        gates: Before activation, in the order i f o g, the first three halved (B, 4·H). Overwritten.
        c: Before the step (B, H).
        new_h: Is overwritten by the new h (B, H).
        new_c: Is overwritten by the new c (B, H).
    """
    hidden = c.shape[1]
    np.tanh(gates, out=gates)
    finish_sigmoid(gates[:, : 3 * hidden])
    i, f, o, g = (gates[:, n * hidden : (n + 1) * hidden] for n in range(4))
    np.multiply(f, c, out=new_c)
    np.multiply(i, g, out=g)
    new_c += g
    np.tanh(new_c, out=new_h)
    new_h *= o

"""Cells without state in their gates in NumPy: minGRU, minLSTM and QRNN; `cells/parallel.py` has their twins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from chargen.models.cells_numpy.layer import Array, Layer, State, finish_sigmoid, reordered


class _MinimalLayer(Layer):
    """A layer whose gates need the input alone."""

    order: ClassVar[tuple[int, ...]]  # of the cell's gates, those with a sigmoid first
    num_sigmoids: ClassVar[int]

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """See `Layer`."""
        super().__init__(weights)
        self.weight = reordered(weights["weight_x"], self.order, self.num_sigmoids)
        self.bias = reordered(weights["bias"], self.order, self.num_sigmoids)
        self.hidden_size = len(self.bias) // len(self.order)
        self.x_size = self.scratch_size = len(self.bias)

    def x_gates(self, x: Array) -> Array:
        """The gates before activation (…, G·H)."""
        products: Array = x @ self.weight.T
        products += self.bias
        return products

    def advance(self, x_gates: Array, state: State, new: State, gates: Array) -> None:
        """See `Layer.advance`."""
        split = self.num_sigmoids * self.hidden_size
        share, candidate = gates[:, : self.hidden_size], positive(x_gates[:, split:])
        np.tanh(self.half_log_odds(x_gates[:, :split]), out=share)
        finish_sigmoid(share)
        candidate -= state[0]
        candidate *= share
        np.add(state[0], candidate, out=new[0])

    def half_log_odds(self, halves: Array) -> Array:
        """Half the log-odds (B, H) of the candidate's share in the new state, from the halved gates."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")


class MinGRULayer(_MinimalLayer):
    """A minGRU."""

    order = (0, 1)  # z h
    num_sigmoids = 1

    def half_log_odds(self, halves: Array) -> Array:
        """See the base class."""
        return halves


class MinLSTMLayer(_MinimalLayer):
    """A minLSTM."""

    order = (0, 1, 2)  # f i h
    num_sigmoids = 2

    def half_log_odds(self, halves: Array) -> Array:
        """See the base class; -logaddexp(0, -x) is the logarithm of sigmoid(x)."""
        f, i = halves[:, : self.hidden_size], halves[:, self.hidden_size :]
        odds: Array = np.float32(0.5) * (np.logaddexp(0, -2 * f) - np.logaddexp(0, -2 * i))
        return odds


class QRNNLayer(Layer):
    """A QRNN. Its state holds, in place of the input before, that input's products with the gates (B, 3·H)."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """See `Layer`."""
        super().__init__(weights)
        names = ("weight_x", "weight_before", "bias")
        weight_x, before, bias = (reordered(weights[name], (1, 2, 0), 2) for name in names)  # f o z
        self.weight, self.bias = np.concatenate([weight_x, before]), bias
        self.hidden_size = len(bias) // 3
        self.x_size, self.scratch_size = 2 * len(bias), len(bias)

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams: h, c, and the products of the input before."""
        sizes = (self.hidden_size, self.hidden_size, self.scratch_size)
        return tuple(np.zeros((batch, size), dtype=np.float32) for size in sizes)

    def x_gates(self, x: Array) -> Array:
        """The products for this step and, after them, for the next one (…, 6·H)."""
        products: Array = x @ self.weight.T
        products[..., : self.scratch_size] += self.bias
        return products

    def advance(self, x_gates: Array, state: State, new: State, gates: Array) -> None:
        """See `Layer.advance`."""
        size = self.hidden_size
        np.add(x_gates[:, : self.scratch_size], state[2], out=gates)
        new[2][...] = x_gates[:, self.scratch_size :]
        np.tanh(gates, out=gates)
        finish_sigmoid(gates[:, : 2 * size])
        f, o, z = gates[:, :size], gates[:, size : 2 * size], gates[:, 2 * size :]
        np.subtract(state[1], z, out=new[1])  # c' = z + f·(c - z)
        new[1][...] *= f
        new[1][...] += z
        np.multiply(o, new[1], out=new[0])


def positive(x: Array) -> Array:
    """The g of minGRU: x + 0.5 for x ≥ 0 and sigmoid(x) otherwise.

    >>> positive(np.float32([1, 0])).tolist()
    [1.5, 0.5]
    """
    half = np.float32(0.5)
    return np.where(x >= 0, x + half, half * np.tanh(half * x) + half)

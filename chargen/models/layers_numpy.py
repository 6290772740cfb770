"""Recurrent layers in NumPy, for the language model and the classifier that run without torch.

The sigmoid, being 0.5 tanh(x/2) + 0.5, has its inner half folded into the weights, so that one call of tanh serves
all gates. `cells` is the readable twin, and tests hold the two together.

T steps, B streams, H hidden, G gates of a cell. A layer's state is a tuple of float32 arrays (B, ·), the output
first: hidden and cell for an LSTM, hidden alone for the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.integer[Any]]
State = tuple[Array, ...]  # of one layer

GEMV_STREAMS = 6  # up to here, OpenBLAS reads the weights once for each stream faster than all at once


class Layer:
    """One recurrent layer. Its gates are ordered so that those with a sigmoid come first, with halved weights.

    Only `step` and `work` use arrays of the layer itself: threads that call them need a layer each.
    """

    gates: ClassVar[tuple[int, ...]] = (0,)  # torch.nn's gates in the order used here
    sigmoids: ClassVar[int] = 0  # how many of them, from the first
    states: ClassVar[int] = 1  # arrays of a state

    def __init__(self, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array) -> None:
        self.hidden = weight_hh.shape[1]
        self.weight_ih = self._arrange(weight_ih)  # (G*H, in)
        self.weight_hh = self._arrange(weight_hh)  # (G*H, H)
        self.bias = self._arrange(bias_ih) + self._arrange(bias_hh)  # (G*H,)
        self._gates = np.empty((0, len(self.bias)), dtype=np.float32)

    def _arrange(self, rows: Array) -> Array:
        blocks = rows.reshape(len(self.gates), self.hidden, -1)[list(self.gates)]
        blocks[: self.sigmoids] *= 0.5
        return blocks.reshape(rows.shape)

    def initial_state(self, batch: int) -> State:
        """The state of streams that have read nothing."""
        return tuple(np.zeros((batch, self.hidden), dtype=np.float32) for _ in range(self.states))

    def inputs(self, x: Array) -> Array:
        """The input product (…, G*H) of x (…, in), bias included."""
        given: Array = x @ self.weight_ih.T
        given += self.bias
        return given

    def advance(self, inputs: Array, state: State, new: State, gates: Array) -> None:
        """Write into `new` the state that follows `state` after an input product (B, G*H).

        gates: an array (B, G*H) to compute in.
        """
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    def step(self, x: Array, state: State, new: State) -> None:
        """Write into `new` the state that follows `state` after an input x (B, in)."""
        self.advance(self.inputs(x), state, new, self.work(len(x)))

    def run(self, inputs: Array, state: State) -> tuple[Array, State]:
        """Outputs (T, B, H) after each of the input products (T, B, G*H), from `state` on, and the last state."""
        return self._over(inputs, len(inputs), state)

    def read(self, vectors: Array, rows: Ids, state: State) -> tuple[Array, State]:
        """As `run`, of inputs that are given as rows (T, B) of vectors (N, in)."""
        if 2 * len(vectors) <= rows.size:
            table = self.inputs(vectors)  # (N, G*H)
            inputs = (table[step] for step in rows)
        else:  # all products of many vectors would leave the processor's cache before they are used
            inputs = (self.inputs(vectors[step]) for step in rows)
        return self._over(inputs, len(rows), state)

    def _over(self, inputs: Iterable[Array], steps: int, state: State) -> tuple[Array, State]:
        batch = len(state[0])
        outputs = np.empty((steps, *state[0].shape), dtype=np.float32)
        gates = np.empty((batch, len(self.bias)), dtype=np.float32)  # of this call: threads share the layer
        others = [tuple(map(np.empty_like, state[1:])) for _ in range(2)]  # what is no output, written in turns
        for step, row in enumerate(inputs):
            new = (outputs[step], *others[step % 2])
            self.advance(row, state, new, gates)
            state = new
        return outputs, (state[0].copy(), *state[1:])

    def work(self, batch: int) -> Array:
        """An array (B, G*H) of the layer's own to compute one step in, made anew only when B changes."""
        if len(self._gates) != batch:
            self._gates = np.empty((batch, len(self.bias)), dtype=np.float32)
        return self._gates


class _SummedLayer(Layer):
    """A layer whose gates depend on the sum of both products only, so that a step can do them as one."""

    joined: Array = np.empty((0, 0), dtype=np.float32)  # input and state (B, in + H) side by side, to compute with

    @cached_property
    def weight(self) -> Array:
        """Both matrices side by side (G*H, in + H); a layer that is only given input products needs none."""
        return np.concatenate([self.weight_ih, self.weight_hh], axis=1)

    def advance(self, inputs: Array, state: State, new: State, gates: Array) -> None:
        product(state[0], self.weight_hh, gates)
        gates += inputs
        self.activate(gates, state, new)

    def step(self, x: Array, state: State, new: State) -> None:
        gates = self.work(len(x))
        if len(self.joined) != len(x):
            self.joined = np.empty((len(x), self.weight.shape[1]), dtype=np.float32)
        np.concatenate([x, state[0]], axis=1, out=self.joined)
        product(self.joined, self.weight, gates)
        gates += self.bias
        self.activate(gates, state, new)

    def activate(self, gates: Array, state: State, new: State) -> None:
        """Write into `new` what the summed products (B, G*H), which are used up, make of `state`."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")


class _TanhLayer(_SummedLayer):
    def activate(self, gates: Array, state: State, new: State) -> None:
        np.tanh(gates, out=new[0])


class _ReluLayer(_SummedLayer):
    def activate(self, gates: Array, state: State, new: State) -> None:
        np.maximum(gates, 0, out=new[0])


class _LSTMLayer(_SummedLayer):
    """c' = f c + i g, h' = o tanh(c')."""

    gates = (0, 1, 3, 2)  # i f o g
    sigmoids = 3
    states = 2

    def activate(self, gates: Array, state: State, new: State) -> None:
        np.tanh(gates, out=gates)
        _finish_sigmoid(gates[:, : 3 * self.hidden])
        i, f, o, g = (gates[:, n * self.hidden : (n + 1) * self.hidden] for n in range(4))
        hidden, cell = new
        np.multiply(f, state[1], out=cell)
        np.multiply(i, g, out=g)
        cell += g
        np.tanh(cell, out=hidden)
        hidden *= o


class _GRULayer(Layer):
    """n = tanh(x_n + r (h_n + b_hn)), h' = n + z (h - n): reset applies after the product, as in torch.nn."""

    gates = (0, 1, 2)  # r z n
    sigmoids = 2

    def __init__(self, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array) -> None:
        super().__init__(weight_ih, weight_hh, bias_ih, bias_hh)
        split = 2 * self.hidden
        self.bias[split:] = bias_ih[split:]
        self.bias_hn = bias_hh[split:]  # inside the reset, so it cannot join the others

    def advance(self, inputs: Array, state: State, new: State, gates: Array) -> None:
        split, hidden, n = 2 * self.hidden, state[0], new[0]
        product(hidden, self.weight_hh, gates)
        resets = gates[:, :split]
        resets += inputs[:, :split]
        np.tanh(resets, out=resets)
        _finish_sigmoid(resets)
        r, z, reset = gates[:, : self.hidden], gates[:, self.hidden : split], gates[:, split:]
        reset += self.bias_hn
        reset *= r
        reset += inputs[:, split:]
        np.tanh(reset, out=reset)
        np.subtract(hidden, reset, out=n)
        n *= z
        n += reset


LAYERS: dict[str, type[Layer]] = {"lstm": _LSTMLayer, "gru": _GRULayer, "rnn": _TanhLayer, "rnn-relu": _ReluLayer}
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def has_twin(cell: str) -> bool:
    """Whether NumPy can run a cell; torch runs the others."""
    return cell in LAYERS


def stack(cell: str, weights: Mapping[str, Array], prefix: str) -> list[Layer]:
    """The layers whose weights are named `prefix`.0.weight_ih_l0 and so on, from the first."""
    layers: list[Layer] = []
    while f"{prefix}.{len(layers)}.weight_ih_l0" in weights:
        layers.append(LAYERS[cell](*(weights[f"{prefix}.{len(layers)}.{name}_l0"] for name in WEIGHTS)))
    return layers


def _finish_sigmoid(gates: Array) -> None:
    """0.5 tanh(x/2) + 0.5, in place, where the weights have halved x and tanh is done."""
    gates *= 0.5
    gates += 0.5


def product(x: Array, weight: Array, out: Array) -> None:
    """Write x (B, K) times weight (M, K) transposed into out (B, M)."""
    if 1 < len(x) <= GEMV_STREAMS:
        for row, result in zip(x, out, strict=True):
            np.dot(weight, row, out=result)
    else:
        np.matmul(x, weight.T, out=out)

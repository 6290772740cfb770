"""Recurrent layers in NumPy, for language models and classifiers that run without torch.

sigmoid(x) = 0.5·tanh(x/2) + 0.5. The x/2 is folded into the weights, so one call of tanh serves all gates. The cells
in `cells` are the readable twins; tests check that both agree.

Shapes: T steps, B streams, I inputs, H hidden, G gates. A layer's state is a tuple of float32 arrays (B, ·), the
output first: (h, c) for an LSTM, (h,) for other cells.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.integer[Any]]
State = tuple[Array, ...]  # of one layer

GEMV_STREAMS = 6  # up to this many streams, OpenBLAS is faster with one matrix-vector product for each


class Scratch(threading.local):
    """Arrays to compute in, each thread's own, allocated again only if a shape changes."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def array(self, name: str, *shape: int) -> Array:
        """The array of this name and shape, whatever is in it.

        >>> scratch = Scratch()
        >>> scratch.array("gates", 2, 3) is scratch.array("gates", 2, 3)
        True
        """
        array = self._arrays.get(name)
        if array is None or array.shape != shape:
            array = self._arrays[name] = np.empty(shape, dtype=np.float32)
        return array


class Layer:
    """One recurrent layer. Its gates are reordered so that those with a sigmoid come first; their weights are halved.

    Threads may share a layer.
    """

    gate_order: ClassVar[tuple[int, ...]] = (0,)  # indices of torch.nn's gates, in the order used here
    num_sigmoids: ClassVar[int] = 0  # gates with a sigmoid
    num_states: ClassVar[int] = 1  # arrays in a state

    def __init__(self, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array) -> None:
        """Set up from torch.nn's weights.

        Args:
            weight_ih: (G·H, I).
            weight_hh: (G·H, H).
            bias_ih: (G·H,).
            bias_hh: (G·H,).
        """
        self.hidden_size = weight_hh.shape[1]
        self.weight_ih = self._reorder(weight_ih)
        self.weight_hh = self._reorder(weight_hh)
        self.bias = self._reorder(bias_ih) + self._reorder(bias_hh)
        self._scratch = Scratch()

    def _reorder(self, rows: Array) -> Array:
        """A copy of rows (G·H, ·) in the order used here, the sigmoids' halved."""
        blocks = rows.reshape(len(self.gate_order), self.hidden_size, -1)[list(self.gate_order)]
        blocks[: self.num_sigmoids] *= 0.5
        return blocks.reshape(rows.shape)

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams."""
        return tuple(np.zeros((batch, self.hidden_size), dtype=np.float32) for _ in range(self.num_states))

    def x_gates(self, x: Array) -> Array:
        """The product (…, G·H) of inputs (…, I) with the gates' weights, including the bias."""
        products: Array = x @ self.weight_ih.T
        products += self.bias
        return products

    def advance(self, x_gates: Array, state: State, new: State, gates: Array) -> None:
        """Compute the next state.

        Args:
            x_gates: From the method of this name (B, G·H).
            state: Before the step.
            new: Is overwritten by the state after the step.
            gates: Scratch memory (B, G·H).
        """
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    def step(self, x: Array, state: State, new: State) -> None:
        """Compute the next state from inputs (B, I), and write it into `new`."""
        self.advance(self.x_gates(x), state, new, self.scratch(len(x)))

    def run(self, x_gates: Array, state: State) -> tuple[Array, State]:
        """Run the layer over time: x_gates (T, B, G·H) and a state to outputs (T, B, H) and the last state."""
        return self._run(x_gates, len(x_gates), state)

    def run_indexed(self, vectors: Array, indices: Ids, state: State) -> tuple[Array, State]:
        """Run the layer over time, on inputs given by their indices.

        Args:
            vectors: Distinct inputs (N, I).
            indices: Of each step's inputs in `vectors` (T, B).
            state: Before the first step.

        Returns:
            Outputs (T, B, H), and the state after the last step.
        """
        if 2 * len(vectors) <= indices.size:
            table = self.x_gates(vectors)  # (N, G·H)
            x_gates = (table[row] for row in indices)
        else:  # the products of so many vectors would leave the processor's cache before they are used
            x_gates = (self.x_gates(vectors[row]) for row in indices)
        return self._run(x_gates, len(indices), state)

    def _run(self, x_gates: Iterable[Array], steps: int, state: State) -> tuple[Array, State]:
        """As `run`, on x_gates (B, G·H) of each step."""
        batch = len(state[0])
        outputs = np.empty((steps, *state[0].shape), dtype=np.float32)
        gates = self.scratch(batch)
        buffers = [tuple(map(np.empty_like, state[1:])) for _ in range(2)]  # for c: last step's and this step's
        for step, x_gates_t in enumerate(x_gates):
            new = (outputs[step], *buffers[step % 2])
            self.advance(x_gates_t, state, new, gates)
            state = new
        return outputs, (state[0].copy(), *state[1:])

    def scratch(self, batch: int) -> Array:
        """Scratch memory (B, G·H) of this thread for one step."""
        return self._scratch.array("gates", batch, len(self.bias))


class _SummedLayer(Layer):
    """A layer whose gates depend only on x_gates + h_gates, so that a step needs a single matrix product."""

    @cached_property
    def weight(self) -> Array:
        """Both matrices side by side (G·H, I + H); made only if `step` is used."""
        return np.concatenate([self.weight_ih, self.weight_hh], axis=1)

    def advance(self, x_gates: Array, state: State, new: State, gates: Array) -> None:
        matmul_transposed(state[0], self.weight_hh, gates)
        gates += x_gates
        self.activate(gates, state, new)

    def step(self, x: Array, state: State, new: State) -> None:
        gates = self.scratch(len(x))
        x_and_h = self._scratch.array("x and h", len(x), self.weight.shape[1])
        np.concatenate([x, state[0]], axis=1, out=x_and_h)
        matmul_transposed(x_and_h, self.weight, gates)
        gates += self.bias
        self.activate(gates, state, new)

    def activate(self, gates: Array, state: State, new: State) -> None:
        """Write into `new` the state that follows from gates (B, G·H) before activation, which are overwritten."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")


class _TanhLayer(_SummedLayer):
    def activate(self, gates: Array, state: State, new: State) -> None:
        np.tanh(gates, out=new[0])


class _ReluLayer(_SummedLayer):
    def activate(self, gates: Array, state: State, new: State) -> None:
        np.maximum(gates, 0, out=new[0])


class _LSTMLayer(_SummedLayer):
    """An LSTM: c' = f·c + i·g, h' = o·tanh(c')."""

    gate_order = (0, 1, 3, 2)  # i f o g
    num_sigmoids = 3
    num_states = 2

    def activate(self, gates: Array, state: State, new: State) -> None:
        np.tanh(gates, out=gates)
        _finish_sigmoid(gates[:, : 3 * self.hidden_size])
        i, f, o, g = (gates[:, n * self.hidden_size : (n + 1) * self.hidden_size] for n in range(4))
        hidden, cell = new
        np.multiply(f, state[1], out=cell)
        np.multiply(i, g, out=g)
        cell += g
        np.tanh(cell, out=hidden)
        hidden *= o


class _GRULayer(Layer):
    """A GRU with reset after the product, as in torch.nn: n = tanh(n_x + r·(n_h + bias_hn)), h' = n + z·(h - n)."""

    gate_order = (0, 1, 2)  # r z n
    num_sigmoids = 2

    def __init__(self, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array) -> None:
        super().__init__(weight_ih, weight_hh, bias_ih, bias_hh)
        split = 2 * self.hidden_size
        self.bias[split:] = bias_ih[split:]
        self.bias_hn = bias_hh[split:]  # kept apart, since r multiplies it

    def advance(self, x_gates: Array, state: State, new: State, gates: Array) -> None:
        split, h, new_h = 2 * self.hidden_size, state[0], new[0]
        matmul_transposed(h, self.weight_hh, gates)
        rz, n = gates[:, :split], gates[:, split:]
        rz += x_gates[:, :split]
        np.tanh(rz, out=rz)
        _finish_sigmoid(rz)
        r, z = gates[:, : self.hidden_size], gates[:, self.hidden_size : split]
        n += self.bias_hn
        n *= r
        n += x_gates[:, split:]
        np.tanh(n, out=n)
        np.subtract(h, n, out=new_h)
        new_h *= z
        new_h += n


LAYERS: dict[str, type[Layer]] = {"lstm": _LSTMLayer, "gru": _GRULayer, "rnn": _TanhLayer, "rnn-relu": _ReluLayer}
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def runs_in_numpy(cell: str) -> bool:
    """Whether NumPy can run a cell; torch can run any.

    >>> runs_in_numpy("gru")
    True
    """
    return cell in LAYERS


def build_layers(cell: str, weights: Mapping[str, Array], prefix: str) -> list[Layer]:
    """Build the layers of a stack.

    Args:
        cell: One of LAYERS.
        weights: By name, as torch models store them.
        prefix: Of the weights' names, before the layer's number: {prefix}.0.weight_ih_l0 and so on.

    Returns:
        The layers, the first one first; none if no name has the prefix.
    """
    layers: list[Layer] = []
    while f"{prefix}.{len(layers)}.weight_ih_l0" in weights:
        layers.append(LAYERS[cell](*(weights[f"{prefix}.{len(layers)}.{name}_l0"] for name in WEIGHTS)))
    return layers


def _finish_sigmoid(gates: Array) -> None:
    """Turn tanh(x/2) into sigmoid(x), in place."""
    gates *= 0.5
    gates += 0.5


def matmul_transposed(x: Array, weight: Array, out: Array) -> None:
    """Write x (B, K) times the transpose of weight (M, K) into `out` (B, M).

    >>> out = np.empty((1, 2), np.float32)
    >>> matmul_transposed(np.float32([[1, 2]]), np.float32([[3, 4], [5, 6]]), out)
    >>> out.tolist()
    [[11.0, 17.0]]
    """
    if 1 < len(x) <= GEMV_STREAMS:
        for row, result in zip(x, out, strict=True):
            np.dot(weight, row, out=result)
    else:
        np.matmul(x, weight.T, out=out)

"""The interface of recurrent layers in NumPy, for language models and classifiers that run without torch.

sigmoid(x) = 0.5·tanh(x/2) + 0.5. The x/2 is folded into the weights, so one call of tanh serves all gates. The cells
in `models/cells` are the readable twins; tests check that both agree.

Shapes: T steps, B streams, I inputs, H hidden, G gates. A layer's state is a tuple of float32 arrays (B, ·), the
output first: (h, c) for an LSTM, (h,) for a GRU.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
    """One recurrent layer. Threads may share it.

    Subclasses set up from the weights that the cell's spec names, say how large their products and scratch memory
    are, and give `x_gates` and `advance`.
    """

    hidden_size: int  # H
    x_size: int  # P, size of what `x_gates` gives for each input
    scratch_size: int  # S, size of the scratch memory that `advance` needs for each stream

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """Set up from a layer's weights by name, as torch models store them."""
        self._scratch = Scratch()

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams."""
        return (np.zeros((batch, self.hidden_size), dtype=np.float32),)

    def x_gates(self, x: Array) -> Array:
        """What a step needs of its input alone: (…, P) from inputs (…, I), including the bias."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    def advance(self, x_gates: Array, state: State, new: State, gates: Array) -> None:
        """Compute the next state.

        Args:
            x_gates: From the method of this name (B, P).
            state: Before the step.
            new: Is overwritten by the state after the step.
            gates: Scratch memory (B, S).
        """
        raise NotImplementedError(f"{type(self).__name__} is abstract")

    def step(self, x: Array, state: State, new: State) -> None:
        """Compute the next state from inputs (B, I), and write it into `new`."""
        self.advance(self.x_gates(x), state, new, self.scratch(len(x)))

    def run(self, x_gates: Array, state: State) -> tuple[Array, State]:
        """Run the layer over time: x_gates (T, B, P) and a state to outputs (T, B, ·) and the last state."""
        return self._run(x_gates, len(x_gates), state)

    def run_indexed(self, vectors: Array, indices: Ids, state: State) -> tuple[Array, State]:
        """Run the layer over time, on inputs given by their indices.

        Args:
            vectors: Distinct inputs (N, I).
            indices: Of each step's inputs in `vectors` (T, B).
            state: Before the first step.

        Returns:
            Outputs (T, B, ·), and the state after the last step.
        """
        if 2 * len(vectors) <= indices.size:
            table = self.x_gates(vectors)  # (N, P)
            x_gates = (table[row] for row in indices)
        else:  # the products of so many vectors would leave the processor's cache before they are used
            x_gates = (self.x_gates(vectors[row]) for row in indices)
        return self._run(x_gates, len(indices), state)

    def _run(self, x_gates: Iterable[Array], steps: int, state: State) -> tuple[Array, State]:
        """As `run`, on x_gates (B, P) of each step."""
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
        """Scratch memory (B, S) of this thread for one step."""
        return self._scratch.array("gates", batch, self.scratch_size)


def reordered(rows: Array, order: Sequence[int], sigmoids: int) -> Array:
    """A copy of gates' rows (G·H, ·) in another order, in which the first ones have a sigmoid and are halved.

    >>> reordered(np.float32([[2], [4], [6]]), order=(2, 0, 1), sigmoids=1).tolist()
    [[3.0], [2.0], [4.0]]
    """
    blocks = rows.reshape(len(order), len(rows) // len(order), -1)[list(order)]
    blocks[:sigmoids] *= np.float32(0.5)
    return blocks.reshape(rows.shape)


def finish_sigmoid(gates: Array) -> None:
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

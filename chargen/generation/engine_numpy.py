"""A language model in NumPy, one symbol at a time, at the speed of reading its weights once.

What makes it fast: the first layer's input product is looked up in a table with a row for each symbol; each layer
above it is one matrix-vector product of its input and state side by side; the weights lie in memory as that product
reads them; and the sigmoid, being 0.5 tanh(x/2) + 0.5, has its inner half folded into the weights, so that one call
of tanh serves all gates. `models/` is the readable twin, and tests hold the two together.

B streams, T steps, V vocabulary, E embedding, H hidden, L layers, G gates of a cell. State is one float32 array
(S, L, B, H): S is 2 for an LSTM (hidden, cell), else 1 (hidden).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from chargen.generation.kernel_threads import KernelThreads
from chargen.models.config import LanguageModelConfig

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.integer[Any]]

TABLE_BYTES = 64 << 20  # larger tables (big vocabularies) would be slower to fill than they save in a sample
GEMV_STREAMS = 6  # up to here, OpenBLAS reads the weights once for each stream faster than all at once
CHUNK_ROWS = 512  # T x B that are read at once, so that a long prompt needs no more memory than a short one
# Now and then OpenBLAS computes with what lies beside a short array, to no effect but a warning of NumPy's.
quietly = np.errstate(invalid="ignore")


class NumpyEngine:
    """A language model that reads and continues B streams of ids. It remembers nothing between calls but its weights.

    State goes in and comes out and is never changed in place, so a caller may keep one and continue from it twice.
    Work arrays are reused from call to call: use one engine in each thread.
    """

    def __init__(self, config: LanguageModelConfig, weights: Mapping[str, np.ndarray]) -> None:
        encoder = config.encoder
        kind = LAYERS[encoder.cell]
        self.layers = [
            kind(*(weights[f"encoder.layers.{layer}.{name}_l0"] for name in WEIGHTS))
            for layer in range(encoder.num_layers)
        ]
        self.embedding = weights["encoder.embedding.weight"]  # (V, E)
        self.projection = self.embedding if config.tied else weights["projection.weight"]  # (V, H)
        self.projection_bias = weights["projection.bias"]  # (V,)
        self.state_shape = (kind.states, encoder.num_layers, encoder.hidden_size)
        first = self.layers[0]
        small = encoder.vocab_size * first.bias.nbytes <= TABLE_BYTES
        self.table = first.inputs(self.embedding) if small else None  # (V, G*H)
        self.rows = np.empty((0, 0), dtype=np.float32)  # those of a step's ids (B, G*H)
        self.stepping, self.reading = KernelThreads(), KernelThreads(warm_up=1)

    def start(self, batch: int) -> Array:
        """The state (S, L, B, H) of streams that have read nothing."""
        states, layers, hidden = self.state_shape
        return np.zeros((states, layers, batch, hidden), dtype=np.float32)

    def select(self, state: Array, streams: Ids) -> Array:
        """The state of some streams, in any order and number: `[0] * 8` makes eight of one."""
        return state[:, :, streams]

    @quietly
    def step(self, ids: Ids, state: Array) -> tuple[Array, Array]:
        """Read ids (B,); gives logits (B, V) for what follows, and the new state."""
        new = np.empty_like(state)
        with self.stepping.of(len(ids)):
            if self.table is None:
                self.layers[0].step(self.embedding[ids], state[:, 0], new[:, 0])
            else:
                if len(self.rows) != len(ids):
                    self.rows = np.empty((len(ids), self.table.shape[1]), dtype=np.float32)
                # Ids are the engine's own symbols; to clip them spares a buffer that checking them would need.
                self.table.take(ids, axis=0, out=self.rows, mode="clip")
                self.layers[0].advance(self.rows, state[:, 0], new[:, 0])
            for n in range(1, len(self.layers)):
                self.layers[n].step(new[0, n - 1], state[:, n], new[:, n])
            return self._project(new[0, -1]), new

    @quietly
    def read(self, ids: Ids, state: Array) -> tuple[Array, Array]:
        """Read ids (T, B), T at least 1; gives logits (B, V) for what follows, and the new state."""
        steps = max(1, CHUNK_ROWS // ids.shape[1])
        for start in range(0, len(ids), steps):
            outputs, state = self._run(ids[start : start + steps], state)
        return self._project(outputs[-1]), state

    @quietly
    def read_all(self, ids: Ids, state: Array) -> tuple[Array, Array]:
        """Read ids (T, B); gives logits (T, B, V) after each of them, and the new state."""
        outputs, state = self._run(ids, state)
        return outputs @ self.projection.T + self.projection_bias, state

    def _run(self, ids: Ids, state: Array) -> tuple[Array, Array]:
        """Outputs (T, B, H) of the last layer for ids (T, B), and the new state."""
        new = np.empty_like(state)
        with self.reading.of(ids.size):
            inputs = self.layers[0].inputs(self.embedding[ids]) if self.table is None else self.table[ids]
            states = self.layers[0].run(inputs, state[:, 0])
            new[:, 0] = states[-1]
            for n in range(1, len(self.layers)):
                states = self.layers[n].run(self.layers[n].inputs(states[1:, 0]), state[:, n])
                new[:, n] = states[-1]
        return states[1:, 0], new

    def _project(self, outputs: Array) -> Array:
        logits = np.empty((len(outputs), len(self.projection)), dtype=np.float32)
        _product(outputs, self.projection, logits)
        logits += self.projection_bias
        return logits


WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _Layer:
    """One recurrent layer. Its gates are ordered so that those with a sigmoid come first, with halved weights."""

    gates: ClassVar[tuple[int, ...]] = (0,)  # torch.nn's gates in the order used here
    sigmoids: ClassVar[int] = 0  # how many of them, from the first
    states: ClassVar[int] = 1

    def __init__(self, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array) -> None:
        self.hidden = weight_hh.shape[1]
        self.weight_ih = self._arrange(weight_ih)  # (G*H, in)
        self.weight_hh = self._arrange(weight_hh)  # (G*H, H)
        self.bias = self._arrange(bias_ih) + self._arrange(bias_hh)  # (G*H,)
        self.work = np.empty((0, len(self.bias)), dtype=np.float32)

    def _arrange(self, rows: Array) -> Array:
        blocks = rows.reshape(len(self.gates), self.hidden, -1)[list(self.gates)]
        blocks[: self.sigmoids] *= 0.5
        return blocks.reshape(rows.shape)

    def inputs(self, x: Array) -> Array:
        """The input product (…, G*H) of x (…, in), bias included."""
        product: Array = x @ self.weight_ih.T
        product += self.bias
        return product

    def advance(self, inputs: Array, state: Array, new: Array) -> None:
        """Write into `new` what follows `state`, both (S, B, H), after an input product (B, G*H)."""
        raise NotImplementedError

    def step(self, x: Array, state: Array, new: Array) -> None:
        """Write into `new` what follows `state`, both (S, B, H), after an input x (B, in)."""
        self.advance(self.inputs(x), state, new)

    def run(self, inputs: Array, state: Array) -> Array:
        """The states (T+1, S, B, H) from `state` (S, B, H) on, after each of the input products (T, B, G*H)."""
        states = np.empty((len(inputs) + 1, *state.shape), dtype=np.float32)
        states[0] = state
        for step, row in enumerate(inputs):
            self.advance(row, states[step], states[step + 1])
        return states

    def _work(self, batch: int) -> Array:
        """An array (B, G*H) to compute in, made anew only when B changes."""
        if len(self.work) != batch:
            self.work = np.empty((batch, len(self.bias)), dtype=np.float32)
        return self.work


class _SummedLayer(_Layer):
    """A layer whose gates depend on the sum of both products only, so that a step can do them as one."""

    joined: Array = np.empty((0, 0), dtype=np.float32)  # input and state (B, in + H) side by side, to compute with

    @cached_property
    def weight(self) -> Array:
        """Both matrices side by side (G*H, in + H); a layer that is only given input products needs none."""
        return np.concatenate([self.weight_ih, self.weight_hh], axis=1)

    def advance(self, inputs: Array, state: Array, new: Array) -> None:
        gates = self._work(len(inputs))
        _product(state[0], self.weight_hh, gates)
        gates += inputs
        self.activate(gates, state, new)

    def step(self, x: Array, state: Array, new: Array) -> None:
        gates = self._work(len(x))
        if len(self.joined) != len(x):
            self.joined = np.empty((len(x), self.weight.shape[1]), dtype=np.float32)
        np.concatenate([x, state[0]], axis=1, out=self.joined)
        _product(self.joined, self.weight, gates)
        gates += self.bias
        self.activate(gates, state, new)

    def activate(self, gates: Array, state: Array, new: Array) -> None:
        """Write into `new` what the summed products (B, G*H), which are used up, make of `state`."""
        raise NotImplementedError


class _TanhLayer(_SummedLayer):
    def activate(self, gates: Array, state: Array, new: Array) -> None:
        np.tanh(gates, out=new[0])


class _ReluLayer(_SummedLayer):
    def activate(self, gates: Array, state: Array, new: Array) -> None:
        np.maximum(gates, 0, out=new[0])


class _LSTMLayer(_SummedLayer):
    """c' = f c + i g, h' = o tanh(c')."""

    gates = (0, 1, 3, 2)  # i f o g
    sigmoids = 3
    states = 2

    def activate(self, gates: Array, state: Array, new: Array) -> None:
        np.tanh(gates, out=gates)
        _finish_sigmoid(gates[:, : 3 * self.hidden])
        i, f, o, g = (gates[:, n * self.hidden : (n + 1) * self.hidden] for n in range(4))
        hidden, cell = new
        np.multiply(f, state[1], out=cell)
        np.multiply(i, g, out=g)
        cell += g
        np.tanh(cell, out=hidden)
        hidden *= o


class _GRULayer(_Layer):
    """n = tanh(x_n + r (h_n + b_hn)), h' = n + z (h - n): reset applies after the product, as in torch.nn."""

    gates = (0, 1, 2)  # r z n
    sigmoids = 2

    def __init__(self, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array) -> None:
        super().__init__(weight_ih, weight_hh, bias_ih, bias_hh)
        split = 2 * self.hidden
        self.bias[split:] = bias_ih[split:]
        self.bias_hn = bias_hh[split:]  # inside the reset, so it cannot join the others

    def advance(self, inputs: Array, state: Array, new: Array) -> None:
        gates, split = self._work(len(inputs)), 2 * self.hidden
        hidden, n = state[0], new[0]
        _product(hidden, self.weight_hh, gates)
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


LAYERS: dict[str, type[_Layer]] = {"lstm": _LSTMLayer, "gru": _GRULayer, "rnn": _TanhLayer, "rnn-relu": _ReluLayer}


def _finish_sigmoid(gates: Array) -> None:
    """0.5 tanh(x/2) + 0.5, in place, where the weights have halved x and tanh is done."""
    gates *= 0.5
    gates += 0.5


def _product(x: Array, weight: Array, out: Array) -> None:
    """Write x (B, K) times weight (M, K) transposed into out (B, M)."""
    if 1 < len(x) <= GEMV_STREAMS:
        for row, result in zip(x, out, strict=True):
            np.dot(weight, row, out=result)
    else:
        np.matmul(x, weight.T, out=out)

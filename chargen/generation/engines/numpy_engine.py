"""A language model in NumPy, hardly slower per token than reading its weights from memory.

Why it is fast: the first layer's input products are looked up in a table with a row for each token; each layer above
needs one matrix product, of its input and state side by side; weights are stored in the order in which that product
reads them; and one call of tanh serves all gates (`models/cells_numpy`). `models/language_model.py` is the
readable twin; tests check that both agree.

Shapes: B streams, T steps, V vocabulary, E embedding, H hidden, G gates. A state is a tuple of the layers'
states, each a tuple of float32 arrays (B, ·).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from itertools import pairwise

import numpy as np

from chargen.generation.engines.kernel_threads import KernelThreads
from chargen.models.cells_numpy.clamped import ClampedLayer
from chargen.models.cells_numpy.connections import Connections
from chargen.models.cells_numpy.layer import Array, Ids, Layer, Scratch, State, matmul_transposed
from chargen.models.cells_numpy.registry import build_layers
from chargen.models.config import LanguageModelConfig
from chargen.models.units import Clamps, clamps_by_layer

StackState = tuple[State, ...]  # one per layer

TABLE_BYTES = 64 << 20  # a larger table (for a large vocabulary) takes longer to fill than it saves
CHUNK_ROWS = 512  # T·B to read at once, so that a long prompt needs no more memory than a short one
# OpenBLAS sometimes computes with memory beside a short array, which only causes a warning.
quietly = np.errstate(invalid="ignore")


class NumpyEngine:
    """A language model that runs in NumPy.

    States are never changed in place, so a caller may keep one and continue from it several times. Threads may share
    an engine.
    """

    def __init__(self, config: LanguageModelConfig, weights: Mapping[str, np.ndarray]) -> None:
        """Set up an engine.

        Args:
            config: Sizes and parts of the model.
            weights: By name, with the shapes of `config.weight_shapes`.
        """
        self.encoder = encoder = config.encoder
        self.layers: list[Layer] = build_layers(encoder, weights, "layers")
        self.embedding = weights["encoder.embedding.weight"]  # (V, E)
        self.projection = self.embedding if config.tied else weights["projection.weight"]  # (V, H)
        self.projection_bias = weights["projection.bias"]  # (V,)
        self.output_size = encoder.output_size
        self.bos_id = encoder.bos_id
        self.connections = Connections(encoder, weights)
        is_small = encoder.vocab_size * self.layers[0].x_size * self.embedding.itemsize <= TABLE_BYTES
        self.table = self._x_gates(self.embedding) if is_small else None  # (V, P)
        self._scratch = Scratch()
        self.stepping, self.reading = KernelThreads(), KernelThreads(warm_up=1)

    def start(self, batch: int) -> StackState:
        """The state of B streams before anything is read."""
        return tuple(layer.initial_state(batch) for layer in self.layers)

    def select(self, state: StackState, streams: Ids) -> StackState:
        """The state of some streams, by their indices: [0, 0, 0] copies the first one three times."""
        return tuple(tuple(part[streams] for part in layer) for layer in state)

    def clamped(self, clamps: Clamps) -> NumpyEngine:
        """An engine of the same weights that holds some units; see `Engine.clamped`."""
        held = copy(self)
        held.layers = list(self.layers)
        for number, values in clamps_by_layer(clamps, self.encoder).items():
            held.layers[number] = ClampedLayer(self.layers[number], values)
        return held

    @quietly
    def step(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (B,); returns logits (B, V) for the next token, and the new state."""
        state = self._reset(ids, state)
        first, new = self.layers[0], tuple(tuple(map(np.empty_like, layer)) for layer in state)
        with self.stepping.for_work(len(ids)):
            if self.table is None:
                first.step(self.connections.normed(0, self.embedding[ids]), state[0], new[0])
            else:
                x_gates = self._scratch.array("x_gates", len(ids), self.table.shape[1])
                # Ids are always valid; mode="clip" avoids the buffer that take would need to check them.
                self.table.take(ids, axis=0, out=x_gates, mode="clip")
                first.advance(x_gates, state[0], new[0], first.scratch(len(ids)))
            outputs = self._connect_first(ids, new[0][0])
            for n in range(1, len(self.layers)):
                self.layers[n].step(self.connections.normed(n, outputs), state[n], new[n])
                outputs = self.connections.connect(n, outputs, new[n][0])
            return self._project(self.connections.normed(len(new), outputs)), new

    @quietly
    def read(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (T, B), T at least 1; returns logits (B, V) for the next token, and the new state."""
        steps = max(1, CHUNK_ROWS // ids.shape[1])
        for start in range(0, len(ids), steps):
            outputs, state = self._run(ids[start : start + steps], state)
        return self._project(outputs[-1]), state

    @quietly
    def read_all(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (T, B); returns logits (T, B, V) for the token after each id, and the new state."""
        outputs, state = self._run(ids, state)
        return outputs @ self.projection.T + self.projection_bias, state

    @quietly
    def mean_outputs(self, ids: Sequence[Ids], state: StackState) -> Array:
        """Average the last layer's outputs over each text; see `EmbeddingEngine.mean_outputs`."""
        lengths = np.array([len(text) for text in ids])
        sums = np.zeros((len(ids), self.output_size))  # float64, (B, H)
        start, active = 0, np.arange(len(ids))  # texts that have not ended
        while True:
            goes_on = lengths[active] > start
            active, state = active[goes_on], self.select(state, np.flatnonzero(goes_on))
            if not len(active):
                break
            steps = min(max(1, CHUNK_ROWS // len(active)), int(lengths[active].max()) - start)
            chunk = np.zeros((steps, len(active)), np.int64)  # (T, B), zeros after each text's end
            for column, i in enumerate(active.tolist()):
                part = ids[i][start : start + steps]
                chunk[: len(part), column] = part
            with np.errstate(over="ignore"):  # outputs at padding may overflow, but are never used
                outputs, state = self._run(chunk, state)
            is_text = start + np.arange(steps)[:, None] < lengths[active]  # (T, B)
            sums[active] += outputs.sum(0, np.float64, where=is_text[..., None])
            start += steps
        means: Array = (sums / np.maximum(lengths, 1)[:, None]).astype(np.float32)
        return means

    def _reset(self, ids: Ids, state: StackState) -> StackState:
        """The state before ids (B,) are read: zero where a document begins."""
        if self.bos_id is None or self.bos_id not in ids:
            return state
        goes_on = (ids != self.bos_id)[:, None]
        return tuple(tuple(np.where(goes_on, part, np.float32(0)) for part in layer) for layer in state)

    def _run(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (T, B); returns outputs (T, B, H) of the last layer, and the new state."""
        begins = () if self.bos_id is None else np.flatnonzero((ids == self.bos_id).any(axis=1)).tolist()
        parts = []
        for start, stop in pairwise(sorted({0, *begins, len(ids)})):
            outputs, state = self._run_on(ids[start:stop], self._reset(ids[start], state))
            parts.append(outputs)
        return (parts[0] if len(parts) == 1 else np.concatenate(parts)), state

    def _run_on(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """`_run`, of a part in which no document begins after the first step."""
        after = []
        with self.reading.for_work(ids.size):
            x_gates = self._x_gates(self.embedding[ids]) if self.table is None else self.table[ids]
            found, last = self.layers[0].run(x_gates, state[0])
            outputs = self._connect_first(ids, found)
            after.append(last)
            for n in range(1, len(self.layers)):
                x_gates = self.layers[n].x_gates(self.connections.normed(n, outputs))
                found, last = self.layers[n].run(x_gates, state[n])
                outputs = self.connections.connect(n, outputs, found)
                after.append(last)
        return self.connections.normed(len(after), outputs), tuple(after)

    def _x_gates(self, embedded: Array) -> Array:
        """What the first layer needs of embeddings (…, E) alone (…, P)."""
        return self.layers[0].x_gates(self.connections.normed(0, embedded))

    def _connect_first(self, ids: Ids, outputs: Array) -> Array:
        """What goes on from the first layer, whose inputs are looked up only if a path leads around it."""
        return self.connections.connect(0, self.embedding[ids], outputs) if self.connections.has_path(0) else outputs

    def _project(self, outputs: Array) -> Array:
        logits = np.empty((len(outputs), len(self.projection)), dtype=np.float32)
        matmul_transposed(outputs, self.projection, logits)
        logits += self.projection_bias
        return logits

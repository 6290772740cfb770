"""A language model in NumPy, one symbol at a time, at the speed of reading its weights once.

What makes it fast: the first layer's input product is looked up in a table with a row for each symbol; each layer
above it is one matrix-vector product of its input and state side by side; the weights lie in memory as that product
reads them; and one call of tanh serves all gates (`models/layers_numpy.py`). `models/language_model.py` is the
readable twin, and tests hold the two together.

B streams, T steps, V vocabulary, E embedding, H hidden, G gates of a cell. State is a tuple with that of each layer,
which is a tuple of float32 arrays (B, ·).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from chargen.generation.engines.kernel_threads import KernelThreads
from chargen.models.config import LanguageModelConfig
from chargen.models.layers_numpy import Array, Ids, State, product, stack

StackState = tuple[State, ...]  # one per layer

TABLE_BYTES = 64 << 20  # larger tables (big vocabularies) would be slower to fill than they save in a sample
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
        self.layers = stack(encoder.cell, weights, "encoder.layers")
        self.embedding = weights["encoder.embedding.weight"]  # (V, E)
        self.projection = self.embedding if config.tied else weights["projection.weight"]  # (V, H)
        self.projection_bias = weights["projection.bias"]  # (V,)
        self.output_size = encoder.hidden_size
        first = self.layers[0]
        small = encoder.vocab_size * first.bias.nbytes <= TABLE_BYTES
        self.table = first.inputs(self.embedding) if small else None  # (V, G*H)
        self.rows = np.empty((0, 0), dtype=np.float32)  # those of a step's ids (B, G*H)
        self.stepping, self.reading = KernelThreads(), KernelThreads(warm_up=1)

    def start(self, batch: int) -> StackState:
        """The state of streams that have read nothing."""
        return tuple(layer.initial_state(batch) for layer in self.layers)

    def select(self, state: StackState, streams: Ids) -> StackState:
        """The state of some streams, in any order and number: `[0] * 8` makes eight of one."""
        return tuple(tuple(part[streams] for part in layer) for layer in state)

    @quietly
    def step(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (B,); gives logits (B, V) for what follows, and the new state."""
        first, new = self.layers[0], tuple(tuple(map(np.empty_like, layer)) for layer in state)
        with self.stepping.of(len(ids)):
            if self.table is None:
                first.step(self.embedding[ids], state[0], new[0])
            else:
                if len(self.rows) != len(ids):
                    self.rows = np.empty((len(ids), self.table.shape[1]), dtype=np.float32)
                # Ids are the engine's own symbols; to clip them spares a buffer that checking them would need.
                self.table.take(ids, axis=0, out=self.rows, mode="clip")
                first.advance(self.rows, state[0], new[0], first.work(len(ids)))
            for n in range(1, len(self.layers)):
                self.layers[n].step(new[n - 1][0], state[n], new[n])
            return self._project(new[-1][0]), new

    @quietly
    def read(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (T, B), T at least 1; gives logits (B, V) for what follows, and the new state."""
        steps = max(1, CHUNK_ROWS // ids.shape[1])
        for start in range(0, len(ids), steps):
            outputs, state = self._run(ids[start : start + steps], state)
        return self._project(outputs[-1]), state

    @quietly
    def read_all(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (T, B); gives logits (T, B, V) after each of them, and the new state."""
        outputs, state = self._run(ids, state)
        return outputs @ self.projection.T + self.projection_bias, state

    @quietly
    def mean_outputs(self, ids: Sequence[Ids], state: StackState) -> Array:
        """The mean (B, H) of the last layer's outputs over each text's ids (N,), of any lengths; zeros for none.

        state: that in which each text begins. At most CHUNK_ROWS outputs are held at once.
        """
        lengths = np.array([len(text) for text in ids])
        sums = np.zeros((len(ids), self.output_size))  # float64, (B, H)
        start, left = 0, np.arange(len(ids))  # streams that have not ended
        while True:
            going = lengths[left] > start
            left, state = left[going], self.select(state, np.flatnonzero(going))
            if not len(left):
                break
            steps = min(max(1, CHUNK_ROWS // len(left)), int(lengths[left].max()) - start)
            chunk = np.zeros((steps, len(left)), np.int64)  # (T, B), zeros after each text's end
            for column, stream in enumerate(left.tolist()):
                part = ids[stream][start : start + steps]
                chunk[: len(part), column] = part
            with np.errstate(over="ignore"):  # padding, which never counts, may overflow
                outputs, state = self._run(chunk, state)
            own = start + np.arange(steps)[:, None] < lengths[left]  # (T, B)
            sums[left] += outputs.sum(0, np.float64, where=own[..., None])
            start += steps
        means: Array = (sums / np.maximum(lengths, 1)[:, None]).astype(np.float32)
        return means

    def _run(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Outputs (T, B, H) of the last layer for ids (T, B), and the new state."""
        after = []
        with self.reading.of(ids.size):
            inputs = self.layers[0].inputs(self.embedding[ids]) if self.table is None else self.table[ids]
            outputs, last = self.layers[0].run(inputs, state[0])
            after.append(last)
            for layer, before in zip(self.layers[1:], state[1:], strict=True):
                outputs, last = layer.run(layer.inputs(outputs), before)
                after.append(last)
        return outputs, tuple(after)

    def _project(self, outputs: Array) -> Array:
        logits = np.empty((len(outputs), len(self.projection)), dtype=np.float32)
        product(outputs, self.projection, logits)
        logits += self.projection_bias
        return logits

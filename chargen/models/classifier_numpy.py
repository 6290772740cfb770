"""The classifier in NumPy, which labels a text sooner than torch is imported. `classifier` is the readable twin.

T steps, B texts, N distinct vectors, E embedding, H hidden, G gates of a cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from chargen.models.config import ClassifierConfig
from chargen.models.layers_numpy import Array, Ids, Layer, stack
from chargen.text.labelled import batches_by_length, pad
from chargen.workers import numpy_workers


class NumpyClassifier:
    """A classifier that labels texts given as ids. It keeps nothing but its weights, so threads may share it."""

    def __init__(self, config: ClassifierConfig, weights: Mapping[str, np.ndarray]) -> None:
        """`weights`: by name and shape as `config.weight_shapes` lists them."""
        cell, self.config = config.encoder.cell, config
        self.embedding = weights["encoder.embedding.weight"]  # (V, E)
        directions = [stack(cell, weights, f"encoder.{name}") for name in ("layers", "backward_layers")]
        # The layers of one depth: one that reads forwards, and for bidirectional encoders one that reads back.
        self.depths: list[tuple[Layer, ...]] = list(zip(*filter(None, directions), strict=True))
        self.head = weights["head.weight"]  # (labels, pooled size)
        self.head_bias = weights["head.bias"]  # (labels,)

    def logits(self, texts: Sequence[np.ndarray], batch_size: int = 64) -> Array:
        """Logits (texts, labels) of texts given as ids of any lengths, at least one symbol each."""
        logits = np.empty((len(texts), self.config.num_labels), np.float32)

        def judge(chosen: np.ndarray) -> None:
            logits[chosen] = self._judge(*pad([texts[i] for i in chosen]))

        batches = batches_by_length(texts, batch_size)
        with numpy_workers(len(batches)) as workers:
            workers.map(judge, batches)
        return logits

    def _judge(self, ids: Ids, lengths: Ids) -> Array:
        """Logits (B, labels) of texts padded to ids (T, B), the first `lengths` (B,) steps of each its own."""
        # Padding, which never counts, may overflow; for invalid numbers that are none see `quietly` in engine_numpy.
        with np.errstate(invalid="ignore", over="ignore"):
            pooled = pool(self._encode(ids, lengths), lengths, self.config.pooling)
            logits: Array = pooled @ self.head.T + self.head_bias
        return logits

    def _encode(self, ids: Ids, lengths: Ids) -> list[Array]:
        """Outputs (T, B, H) of the last layer in each direction, in the order in which that one reads."""
        symbols, rows = np.unique(ids.ravel(), return_inverse=True)
        rows = rows.reshape(ids.shape)  # (T, B)
        vectors = self.embedding[symbols]  # (N, E), each symbol's once
        back = turned_round(lengths, len(ids)), np.arange(len(lengths))
        outputs: list[Array] = []
        for depth, layers in enumerate(self.depths):
            if depth:
                aligned = [outputs[0], *(turned[back] for turned in outputs[1:])]
                vectors = np.concatenate(aligned, axis=-1).reshape(ids.size, -1)  # (T·B, H), or 2·H
                rows = np.arange(ids.size).reshape(ids.shape)
            outputs = [
                layer.read(vectors, order, layer.start(len(lengths)))[1:, 0]
                for layer, order in zip(layers, (rows, rows[back]), strict=False)
            ]
        return outputs


def turned_round(lengths: Ids, steps: int) -> Ids:
    """The step (T, B) that each step of a text of `lengths` (B,) becomes when the text is read from its end.

    Padding stays where it is, so that to turn twice changes nothing.

    >>> turned_round(np.array([3, 2]), 3).tolist()
    [[2, 1], [1, 0], [0, 2]]
    """
    step = np.arange(steps)[:, None]  # (T, 1)
    return np.where(step < lengths, lengths - 1 - step, step)


def pool(outputs: Sequence[Array], lengths: Ids, pooling: str) -> Array:
    """Outputs (T, B, H) of each direction, padding overwritten, to one vector (B, pooled size) a text.

    Each is in the order in which it was read, so that its last step has seen all of the text. See `classifier.pool`.
    """
    padding = np.arange(len(outputs[0]))[:, None] >= lengths  # (T, B)

    def over_time(kind: str, values: Array) -> Array:
        if kind == "final":
            return values[lengths - 1, np.arange(len(lengths))]
        values[padding] = 0 if kind == "mean" else -np.inf
        if kind == "max":
            return np.asarray(values.max(axis=0))
        return np.asarray(values.sum(axis=0) / lengths[:, None].astype(np.float32))

    kinds = ("final", "mean", "max") if pooling == "concat" else (pooling,)
    return np.concatenate([over_time(kind, values) for kind in kinds for values in outputs], axis=-1)

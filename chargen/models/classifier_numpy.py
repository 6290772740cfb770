"""The classifier in NumPy, which labels a text sooner than torch is imported. `classifier` is the readable twin.

T steps, B texts, N distinct vectors, E embedding, H hidden, G gates of a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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

        def judge(ids: Ids, lengths: Ids) -> Array:
            judged: Array = self._pooled(ids, lengths) @ self.head.T + self.head_bias
            return judged

        return _of_each(texts, judge, self.config.num_labels, batch_size)

    def embed(self, texts: Sequence[np.ndarray], batch_size: int = 64) -> Array:
        """What the head reads of each text: the pooled outputs (texts, pooled size) of the last layer."""
        return _of_each(texts, self._pooled, self.config.pooled_size, batch_size)

    def _pooled(self, ids: Ids, lengths: Ids) -> Array:
        """Pooled outputs (B, ·) of texts padded to ids (T, B), the first `lengths` (B,) steps of each its own."""
        return pool(self._encode(ids, lengths), lengths, self.config.pooling)

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
                layer.read(vectors, order, layer.initial_state(len(lengths)))[0]
                for layer, order in zip(layers, (rows, rows[back]), strict=False)
            ]
        return outputs


def _of_each(texts: Sequence[np.ndarray], read: Callable[[Ids, Ids], Array], size: int, batch_size: int) -> Array:
    """What `read` makes (texts, size) of texts given as ids, called with batches of them as `pad` gives them."""
    results = np.empty((len(texts), size), np.float32)

    def fill(chosen: np.ndarray) -> None:
        # Padding, which never counts, may overflow; for invalid numbers that are none see `quietly` in engine_numpy.
        with np.errstate(invalid="ignore", over="ignore"):
            results[chosen] = read(*pad([texts[i] for i in chosen]))

    batches = batches_by_length(texts, batch_size)
    with numpy_workers(len(batches)) as workers:
        workers.map(fill, batches)
    return results


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

"""The classifier in NumPy, which labels a text in less time than importing torch takes.

`classifier.Classifier` is the readable twin; tests check that both agree.

Shapes: T steps, B texts in a batch, N texts in all, V vocabulary, E embedding, H hidden, F pooled outputs, K labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from chargen.models.cells_numpy.connections import Connections
from chargen.models.cells_numpy.layer import Array, Ids, Layer
from chargen.models.cells_numpy.registry import build_layers
from chargen.models.config import ClassifierConfig
from chargen.text.labelled import batches_by_length, pad
from chargen.workers import numpy_workers


class NumpyClassifier:
    """A classifier that runs in NumPy. Threads may share it, since calls change none of its arrays."""

    def __init__(self, config: ClassifierConfig, weights: Mapping[str, np.ndarray]) -> None:
        """Set up a classifier.

        Args:
            config: Sizes and parts of the model.
            weights: By name, with the shapes of `config.weight_shapes`.
        """
        self.config = config
        self.embedding = weights["encoder.embedding.weight"]  # (V, E)
        stacks = [build_layers(config.encoder, weights, stack) for stack in config.encoder.stacks]
        # The layers at each depth: one forward layer and, if bidirectional, one backward layer.
        self.depths: list[tuple[Layer, ...]] = list(zip(*stacks, strict=True))
        self.connections = Connections(config.encoder, weights)
        self.head = weights["head.weight"]  # (K, F)
        self.head_bias = weights["head.bias"]  # (K,)

    def logits(self, texts: Sequence[np.ndarray], batch_size: int = 64) -> Array:
        """Compute logits.

        Args:
            texts: Ids of each text, at least one token each.
            batch_size: Texts of similar length read at once.

        Returns:
            Logits (N, K), float32.
        """

        def compute(ids: Ids, lengths: Ids) -> Array:
            logits: Array = self._pooled(ids, lengths) @ self.head.T + self.head_bias
            return logits

        return _in_batches(texts, compute, self.config.num_labels, batch_size)

    def embed(self, texts: Sequence[np.ndarray], batch_size: int = 64) -> Array:
        """Compute pooled outputs (N, F) of the last layer, which the head reads; arguments as for `logits`."""
        return _in_batches(texts, self._pooled, self.config.pooled_size, batch_size)

    def _pooled(self, ids: Ids, lengths: Ids) -> Array:
        """Pooled outputs (B, F) of padded texts (T, B) with `lengths` (B,)."""
        return pool(self._encode(ids, lengths), lengths, self.config.pooling)

    def _encode(self, ids: Ids, lengths: Ids) -> list[Array]:
        """Outputs (T, B, H) of the last layer in each direction, in the order in which it reads."""
        tokens, indices = np.unique(ids.ravel(), return_inverse=True)
        indices = indices.reshape(ids.shape)  # (T, B), of each step's vector
        vectors = self.embedding[tokens]  # one per distinct token (·, E)
        reverse = reversed_indices(lengths, len(ids)), np.arange(len(lengths))
        outputs: list[Array] = []
        for depth, layers in enumerate(self.depths):
            if depth:
                vectors = _joined(outputs, reverse).reshape(ids.size, -1)  # (T·B, H), or (T·B, 2·H)
                indices = np.arange(ids.size).reshape(ids.shape)
            normed = self.connections.normed(depth, vectors)
            outputs = [
                layer.run_indexed(normed, order, layer.initial_state(len(lengths)))[0]
                for layer, order in zip(layers, (indices, indices[reverse]), strict=False)
            ]
            if self.connections.has_path(depth):
                connected = self.connections.connect(depth, vectors[indices], _joined(outputs, reverse))
                outputs = _parted(connected, len(layers), reverse)
        if self.config.encoder.layer_norm:
            last = self.connections.normed(len(self.depths), _joined(outputs, reverse))
            outputs = _parted(last, len(outputs), reverse)
        return outputs


def _joined(outputs: Sequence[Array], reverse: tuple[Ids, Ids]) -> Array:
    """Outputs of each direction (T, B, H) side by side, step beside step (T, B, ·)."""
    return np.concatenate([outputs[0], *(backward[reverse] for backward in outputs[1:])], axis=-1)


def _parted(joined: Array, directions: int, reverse: tuple[Ids, Ids]) -> list[Array]:
    """The inverse of `_joined`."""
    forward, *backward = np.split(joined, directions, axis=-1)
    return [forward, *(outputs[reverse] for outputs in backward)]


def _in_batches(
    texts: Sequence[np.ndarray], compute: Callable[[Ids, Ids], Array], size: int, batch_size: int
) -> Array:
    """Results (N, size) of `compute`, a function of a batch's ids (T, B) and lengths (B,)."""
    results = np.empty((len(texts), size), np.float32)

    def fill(chosen: np.ndarray) -> None:
        # Outputs at padding may overflow, but are never used. On "invalid" see `quietly` in numpy_engine.
        with np.errstate(invalid="ignore", over="ignore"):
            results[chosen] = compute(*pad([texts[i] for i in chosen]))

    batches = batches_by_length(texts, batch_size)
    with numpy_workers(len(batches)) as workers:
        workers.map(fill, batches)
    return results


def reversed_indices(lengths: Ids, steps: int) -> Ids:
    """Indices (T, B) of steps that reverse each text; padding stays where it is.

    Args:
        lengths: Tokens (B,) of each text.
        steps: T.

    >>> reversed_indices(np.array([3, 2]), 3).tolist()
    [[2, 1], [1, 0], [0, 2]]
    """
    step = np.arange(steps)[:, None]  # (T, 1)
    return np.where(step < lengths, lengths - 1 - step, step)


def pool(outputs: Sequence[Array], lengths: Ids, pooling: str) -> Array:
    """Pool each text's outputs over time into one vector, ignoring padding; see `classifier.pool`.

    Args:
        outputs: Of each direction (T, B, H), in the order in which it read, so that the last step has read the whole
            text. Padding is overwritten.
        lengths: Tokens (B,) of each text.
        pooling: One of `config.POOLINGS`.

    Returns:
        Vectors (B, F).

    >>> pool([np.array([[[1.0]], [[3.0]], [[9.0]]])], np.array([2]), "concat").tolist()  # final, mean, max
    [[3.0, 2.0, 3.0]]
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

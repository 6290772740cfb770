"""Batches as pure functions of the step, so that a resumed training needs only the step's number to go on.

Shapes: N tokens, B streams or texts, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Streams:
    """A text of ids (N,) read by B parallel streams, T tokens per step, for truncated back-propagation through time.

    Within an epoch every stream goes on where its last sequence ended, and the recurrent state goes with it. Each
    epoch starts at another random offset, so that sequences and streams begin elsewhere in the text.

    >>> streams = Streams(np.arange(12), streams=2, sequence_length=3)
    >>> streams.steps_per_epoch
    2
    >>> streams.indices(0).shape  # (T + 1, B)
    (4, 2)
    """

    ids: np.ndarray  # (N,), any integer type, may be memory-mapped
    streams: int  # B
    sequence_length: int  # T
    seed: int = 0

    @property
    def steps_per_epoch(self) -> int:
        """Steps that read the whole text once, up to a remainder shorter than one step."""
        return len(self.ids) // (self.streams * self.sequence_length)

    def is_fresh(self, step: int) -> bool:
        """Whether an epoch begins at this step, so that the recurrent state must be zero."""
        return step % self.steps_per_epoch == 0

    def indices(self, step: int) -> np.ndarray:
        """Positions in the text of a step's tokens.

        Args:
            step: Number of the step, from 0 and across epochs.

        Returns:
            Indices into `ids` (T + 1, B): rows 0 … T-1 are inputs, rows 1 … T their targets.
        """
        epoch, sequence = divmod(step, self.steps_per_epoch)
        offset = int(np.random.default_rng((self.seed, epoch)).integers(len(self.ids)))
        stride = self.steps_per_epoch * self.sequence_length  # tokens per stream and epoch
        first = offset + np.arange(self.streams) * stride + sequence * self.sequence_length  # (B,)
        return (first + np.arange(self.sequence_length + 1)[:, None]) % len(self.ids)


def fit_streams(tokens: int, streams: int, sequence_length: int) -> tuple[int, int]:
    """Shrink the batch of a short text until an epoch has eight steps.

    Streams shrink first, since many streams would each read only a snippet of a short text.

    Args:
        tokens: Length of the text.
        streams: Streams wanted.
        sequence_length: Tokens per stream and step wanted.

    Returns:
        Streams and sequence length, at most those wanted and at least 1.

    >>> fit_streams(100_000, 128, 32), fit_streams(2_000, 128, 32), fit_streams(80, 128, 32)
    ((128, 32), (7, 32), (1, 10))
    """
    streams = max(1, min(streams, tokens // (8 * sequence_length)))
    return streams, max(1, min(sequence_length, tokens // 8))


@dataclass(frozen=True, eq=False)
class Texts:
    """Labelled texts in batches of B texts of similar length, in another order each epoch.

    >>> texts = Texts([np.arange(n) for n in (5, 1, 4)], np.array([0, 1, 0]), batch_size=2)
    >>> texts.steps_per_epoch, sorted(np.concatenate([texts.batch(0), texts.batch(1)]).tolist())
    (2, [0, 1, 2])
    """

    texts: list[np.ndarray]  # ids of each text, at least one token each
    labels: np.ndarray  # (texts,)
    batch_size: int  # B
    seed: int = 0
    crop: int | None = None  # longest random stretch, in tokens, that a step reads of a text; None: whole texts
    pool: int = 32  # batches whose texts are sorted by length together: more mean less padding, but less mixing

    @property
    def steps_per_epoch(self) -> int:
        """Steps that read every text once."""
        return -(-len(self.texts) // self.batch_size)

    def batch(self, step: int) -> np.ndarray:
        """Indices (B,) of the texts that a step reads, the shorter ones first; the last batch may be smaller."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if epoch not in self._batches:
            self._batches.clear()  # drops the epoch before
            self._batches[epoch] = self._shuffled(epoch)
        return self._batches[epoch][number]

    def read(self, step: int) -> list[np.ndarray]:
        """The ids of each text of a step's batch: whole, or a stretch of `crop` tokens drawn anew each epoch."""
        chosen = self.batch(step)
        rng = np.random.default_rng((self.seed, step, 1))
        whole = np.array([len(self.texts[i]) for i in chosen])
        starts = rng.integers(whole - self.lengths[chosen] + 1)
        return [self.texts[i][start : start + self.lengths[i]] for i, start in zip(chosen, starts, strict=True)]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens read of each text (texts,), after cropping."""
        whole = np.array([len(text) for text in self.texts])
        return whole if self.crop is None else np.minimum(whole, self.crop)

    @cached_property
    def _batches(self) -> dict[int, list[np.ndarray]]:
        return {}

    def _shuffled(self, epoch: int) -> list[np.ndarray]:
        """Indices of each batch of an epoch: pools of shuffled texts, sorted by length, cut, and shuffled again."""
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(len(self.texts))
        pools = np.arange(len(order)) // (self.pool * self.batch_size)
        order = order[np.lexsort((self.lengths[order], pools))]
        starts = rng.permutation(self.steps_per_epoch) * self.batch_size
        return [order[start : start + self.batch_size] for start in starts]

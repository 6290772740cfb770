"""Batches as pure functions of the step: a resumed training needs only the step's number to go on where it was.

Shapes: N tokens, B streams or texts, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Streams:
    """A text of ids (N,) read by B parallel streams, T steps a batch, for truncated back-propagation through time.

    Each epoch turns the text by another random offset, so that windows and streams begin at other places; within an
    epoch every stream reads on where its last window ended, and the recurrent state goes with it.
    """

    ids: np.ndarray  # (N,), any integer type, may be memory-mapped
    streams: int  # B
    window: int  # T
    seed: int = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches that read the whole text once, up to a remainder shorter than one."""
        return len(self.ids) // (self.streams * self.window)

    def is_fresh(self, step: int) -> bool:
        """Whether the streams begin anew at this step, so that the state must be zero."""
        return step % self.steps_per_epoch == 0

    def places(self, step: int) -> np.ndarray:
        """Where in the text a step's tokens are, (T + 1, B): the last not read, the first not predicted."""
        epoch, window = divmod(step, self.steps_per_epoch)
        offset = int(np.random.default_rng((self.seed, epoch)).integers(len(self.ids)))
        stride = self.steps_per_epoch * self.window  # tokens a stream reads an epoch
        first = offset + np.arange(self.streams) * stride + window * self.window  # (B,)
        return (first + np.arange(self.window + 1)[:, None]) % len(self.ids)


def fit_streams(tokens: int, streams: int, window: int) -> tuple[int, int]:
    """The largest streams and window, at most those asked for, that give a text of `tokens` eight steps an epoch.

    Streams go first, since a short text in many streams is read in snippets; then the window.
    """
    streams = max(1, min(streams, tokens // (8 * window)))
    return streams, max(1, min(window, tokens // 8))


@dataclass(frozen=True, eq=False)
class Texts:
    """Labelled texts in batches of B of about one length, in another order each epoch."""

    texts: list[np.ndarray]  # ids of each text, at least one symbol each
    labels: np.ndarray  # (texts,)
    batch_size: int  # B
    seed: int = 0
    crop: int | None = None  # tokens of a text that a step reads at most, a random stretch; None: all
    pool: int = 32  # batches whose texts are sorted by length together: more mix less, but pad less

    @property
    def steps_per_epoch(self) -> int:
        """Batches that read every text once."""
        return -(-len(self.texts) // self.batch_size)

    def batch(self, step: int) -> np.ndarray:
        """Which texts (B,) a step reads, the shorter ones first."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch not in self._batches:
            self._batches.clear()  # of the epoch before
            self._batches[epoch] = self._shuffled(epoch)
        return self._batches[epoch][place]

    def read(self, step: int) -> list[np.ndarray]:
        """The ids of each text of a step's batch: all of them, or a stretch drawn anew each epoch."""
        chosen = self.batch(step)
        rng = np.random.default_rng((self.seed, step, 1))
        whole = np.array([len(self.texts[i]) for i in chosen])
        starts = rng.integers(whole - self.lengths[chosen] + 1)
        return [self.texts[i][start : start + self.lengths[i]] for i, start in zip(chosen, starts, strict=True)]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens that are read of each text (texts,)."""
        whole = np.array([len(text) for text in self.texts])
        return whole if self.crop is None else np.minimum(whole, self.crop)

    @cached_property
    def _batches(self) -> dict[int, list[np.ndarray]]:
        return {}

    def _shuffled(self, epoch: int) -> list[np.ndarray]:
        """The texts of each batch of an epoch: pools of shuffled texts, sorted by length, cut, and shuffled again."""
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(len(self.texts))
        pools = np.arange(len(order)) // (self.pool * self.batch_size)
        order = order[np.lexsort((self.lengths[order], pools))]
        starts = rng.permutation(self.steps_per_epoch) * self.batch_size
        return [order[start : start + self.batch_size] for start in starts]

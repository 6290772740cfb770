"""Loss of a language model on a text: nats per token, bits per character, perplexity.

Nats are summed over the predicted tokens, then divided by the characters that these decode to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from chargen.models.language_model import LanguageModel
from chargen.models.stack import StackState
from chargen.text.stats import xz_bits
from chargen.text.tokenizers.base import PAGE, Tokenizer
from chargen.workers import ONE_WORKER, Workers, divide

IGNORED = -100  # target that cross_entropy leaves out
SHARD_STREAMS = 16  # streams that one worker reads at once


@dataclass(frozen=True)
class TextLoss:
    """Cross-entropy of a text under a language model that reads it from the start.

    >>> loss = TextLoss(nats=2 * math.log(2), tokens=2, characters=4)
    >>> round(loss.bits_per_character, 3), round(loss.perplexity, 3)
    (0.5, 2.0)
    """

    nats: float  # sum over the predicted tokens, which are all but the first
    tokens: int
    characters: int  # that those tokens decode to

    @property
    def nats_per_token(self) -> float:
        """Mean cross-entropy in nats."""
        return self.nats / self.tokens

    @property
    def bits_per_character(self) -> float:
        """Total nats / (ln 2 × characters); comparable across tokenizers."""
        return self.nats / (math.log(2) * self.characters)

    @property
    def perplexity(self) -> float:
        """The exponential of the nats per token; comparable only under one tokenizer."""
        return math.exp(min(self.nats_per_token, 700))  # a float would overflow

    def figures(self) -> dict[str, float | int]:
        """All metrics by name."""
        return {
            "nats_per_token": self.nats_per_token,
            "bits_per_character": self.bits_per_character,
            "perplexity": self.perplexity,
            "tokens": self.tokens,
            "characters": self.characters,
        }


def text_loss(model: LanguageModel, tokenizer: Tokenizer, ids: np.ndarray, workers: Workers = ONE_WORKER) -> TextLoss:
    """Cross-entropy of `ids`, each predicted from all before it.

    Args:
        model: The language model.
        tokenizer: Its tokenizer.
        ids: The text (N,), N at least 2.
        workers: Threads to compute on.
    """
    return TextLoss(sum_nats(model, ids, workers=workers), len(ids) - 1, tokenizer.count_characters(ids[1:]))


def sum_nats(
    model: LanguageModel, ids: np.ndarray, *, streams: int = 64, window: int = 128, workers: Workers = ONE_WORKER
) -> float:
    """Total cross-entropy of `ids` in nats, each predicted from all before it.

    The text is cut into parallel streams for speed. No stream starts cold: each starts from the state that the last
    two windows of the stream before it lead to.

    Args:
        model: The language model.
        ids: The text (N,), N at least 2.
        streams: Limit on the number of parallel streams.
        window: Tokens of each stream read at once.
        workers: Threads to compute on.
    """
    device = next(model.parameters()).device
    targets = len(ids) - 1
    streams = max(1, min(streams, targets // (4 * window)))
    length = -(-targets // streams)  # tokens per stream

    def tokens(shard: slice, start: int, stop: int) -> Tensor:
        """Ids (T, B) of steps `start` to `stop` of some streams; IGNORED past the end of the text."""
        indices = np.arange(shard.start, shard.stop) * length + np.arange(start, stop)[:, None]
        inside = indices < len(ids)
        found = np.where(inside, ids[np.minimum(indices, targets)].astype(np.int64), IGNORED)
        return torch.from_numpy(found).to(device)

    @torch.inference_mode()
    def warm_up(shard: slice) -> StackState:
        start = max(0, length - 2 * window)
        _, ends = model.encoder(tokens(shard, start, length).clamp(min=0))
        return cast("StackState", ends)

    @torch.inference_mode()
    def read(shard: slice, state: StackState) -> float:
        total = 0.0
        for start in range(0, length, window):
            chunk = tokens(shard, start, min(start + window, length) + 1)
            logits, state = model(chunk[:-1].clamp(min=0), state)
            following = chunk[1:].flatten()
            losses = cross_entropy(logits.flatten(0, 1).float(), following, ignore_index=IGNORED, reduction="sum")
            total += losses.item()
        return total

    was_training = model.training
    model.eval()
    shards = divide(streams, -(-streams // SHARD_STREAMS) if device.type == "cpu" else 1)
    state = model.encoder.initial_state(streams)
    if streams > 1:
        state = _shifted(workers.map(warm_up, shards))
    parts = [tuple(tuple(part[shard] for part in layer) for layer in state) for shard in shards]
    total = math.fsum(workers.map(lambda shard: read(*shard), zip(shards, parts, strict=True)))
    model.train(was_training)
    return total


def xz_bits_per_character(tokenizer: Tokenizer, ids: np.ndarray) -> float:
    """Bits per character of `xz` on the text of ids (N,); EOS counts as a line break.

    >>> from chargen.text.tokenizers.byte import ByteTokenizer
    >>> xz_bits_per_character(ByteTokenizer(), np.full(10_000, ord("a"))) < 0.2
    True
    """
    return xz_bits(_decoded(tokenizer, ids)) / tokenizer.count_characters(ids)


def _decoded(tokenizer: Tokenizer, ids: np.ndarray) -> Iterator[str]:
    """The text of ids (N,), a page at a time, with a line break for each EOS."""
    decoder = tokenizer.decoder()
    for start in range(0, len(ids), PAGE):
        page = ids[start : start + PAGE].tolist()
        yield "".join("\n" if token == tokenizer.eos_id else decoder.feed(token) for token in page)
    yield decoder.flush()


def _shifted(shards: Sequence[StackState]) -> StackState:
    """Join the states of all streams and pass each to the next stream; the first starts from zero."""

    def shifted(*parts: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(parts[0][:1]), *parts])[:-1]

    return tuple(tuple(map(shifted, *layers)) for layers in zip(*shards, strict=True))

"""Figures of a language model on a text: nats, bits per character, perplexity.

Sum the nats over the tokens predicted, and divide by the characters they spell.
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

IGNORED = -100  # cross_entropy's mark for a target that does not count
SHARD_STREAMS = 16  # that one worker reads at once


@dataclass(frozen=True)
class TextLoss:
    """What a language model needs to spell a text it reads from the start."""

    nats: float  # summed over the tokens predicted: all but the first
    tokens: int
    characters: int  # that those tokens spell

    @property
    def nats_per_token(self) -> float:
        """Mean cross-entropy, with the natural logarithm."""
        return self.nats / self.tokens

    @property
    def bits_per_character(self) -> float:
        """Total nats over ln 2 times the characters; comparable across tokenizers."""
        return self.nats / (math.log(2) * self.characters)

    @property
    def perplexity(self) -> float:
        """The exponential of the nats per token; comparable under one tokenizer only."""
        return math.exp(min(self.nats_per_token, 700))  # beyond, a float overflows

    def figures(self) -> dict[str, float | int]:
        """All of them by name."""
        return {
            "nats_per_token": self.nats_per_token,
            "bits_per_character": self.bits_per_character,
            "perplexity": self.perplexity,
            "tokens": self.tokens,
            "characters": self.characters,
        }


def text_loss(model: LanguageModel, tokenizer: Tokenizer, ids: np.ndarray, workers: Workers = ONE_WORKER) -> TextLoss:
    """What a model needs for ids (N,), N at least 2, of a tokenizer, each predicted from all before it."""
    return TextLoss(sum_nats(model, ids, workers=workers), len(ids) - 1, tokenizer.count_characters(ids[1:]))


def sum_nats(
    model: LanguageModel, ids: np.ndarray, *, streams: int = 64, window: int = 128, workers: Workers = ONE_WORKER
) -> float:
    """Total cross-entropy in nats of ids (N,), N at least 2, each predicted from all before it.

    The text is cut into parallel streams for speed. No stream starts cold: each takes over the state in which the one
    before it ends, as far as the last two windows determine that.
    """
    device = next(model.parameters()).device
    targets = len(ids) - 1
    streams = max(1, min(streams, targets // (4 * window)))
    length = -(-targets // streams)  # tokens a stream

    def tokens(shard: slice, start: int, stop: int) -> Tensor:
        """Steps `start` to `stop` of some streams, side by side; past the end of the text, IGNORED."""
        places = np.arange(shard.start, shard.stop) * length + np.arange(start, stop)[:, None]
        inside = places < len(ids)
        found = np.where(inside, ids[np.minimum(places, targets)].astype(np.int64), IGNORED)
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
            wanted = chunk[1:].flatten()
            losses = cross_entropy(logits.flatten(0, 1).float(), wanted, ignore_index=IGNORED, reduction="sum")
            total += losses.item()
        return total

    was_training = model.training
    model.eval()
    shards = divide(streams, -(-streams // SHARD_STREAMS) if device.type == "cpu" else 1)
    state = model.encoder.initial_state(streams)
    if streams > 1:
        state = _passed_on(workers.map(warm_up, shards))
    parts = [tuple(tuple(part[shard] for part in layer) for layer in state) for shard in shards]
    total = math.fsum(workers.map(lambda shard: read(*shard), zip(shards, parts, strict=True)))
    model.train(was_training)
    return total


def xz_bits_per_character(tokenizer: Tokenizer, ids: np.ndarray) -> float:
    """What `xz` needs for the text that ids (N,) spell, each end of a document being a line break."""
    return xz_bits(_spelled(tokenizer, ids)) / tokenizer.count_characters(ids)


def _spelled(tokenizer: Tokenizer, ids: np.ndarray) -> Iterator[str]:
    """The text that ids (N,) spell, a page at a time, with a line break for each end of a document."""
    decoder = tokenizer.decoder()
    for start in range(0, len(ids), PAGE):
        page = ids[start : start + PAGE].tolist()
        yield "".join("\n" if token == tokenizer.eos_id else decoder.feed(token) for token in page)
    yield decoder.flush()


def _passed_on(shards: Sequence[StackState]) -> StackState:
    """The states of all streams, each handed to the next stream; the first starts from zero."""

    def passed_on(*parts: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(parts[0][:1]), *parts])[:-1]

    return tuple(tuple(map(passed_on, *layers)) for layers in zip(*shards, strict=True))

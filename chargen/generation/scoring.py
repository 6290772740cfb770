"""How likely a language model finds a text, token by token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chargen.generation.constraints import beginning
from chargen.generation.engines.contract import Engine, Ids
from chargen.generation.samplers import log_softmax
from chargen.text.tokenizers.base import Tokenizer

SCORED_AT_ONCE = 256  # T whose logits (T, V) are held at once


class Score(NamedTuple):
    """How likely a model finds a text."""

    ids: Ids  # (T,), the end symbol included where documents have one
    log_probabilities: npt.NDArray[np.float64]  # (T,), nats, each given all before it


def score(engine: Engine, tokenizer: Tokenizer, text: str, *, documents: bool = False) -> Score:
    """How likely the model finds a text: one whole document, or a stream that begins after a line break.

    Characters it never saw are scored as the unknown symbol. Where a model of streams knows no line break,
    nothing comes before the first symbol, which then gets the probability 1/V.
    """
    ids = tokenizer.encode(text)
    if documents:
        ids = np.append(ids, tokenizer.eos_id)
    before = beginning(tokenizer, documents, bare=True)
    given = np.concatenate([before, ids])
    result = np.full(len(ids), -math.log(tokenizer.vocab_size))
    state = engine.start(1)
    for start in range(0, len(given) - 1, SCORED_AT_ONCE):
        part = given[start : start + SCORED_AT_ONCE + 1]
        logits, state = engine.read_all(part[:-1, None], state)
        likelihood = np.take_along_axis(log_softmax(logits[:, 0]), part[1:, None], axis=-1)[:, 0]
        first = start + 1 - len(before)
        result[first : first + len(likelihood)] = likelihood
    return Score(ids, result)


def spelled(tokenizer: Tokenizer, scores: Score) -> Iterator[tuple[str, float]]:
    """The characters of a text, each with the log-probability of the symbols that spell it; no text for an end."""
    decoder = tokenizer.decoder()
    total = 0.0
    for token, log_probability in zip(scores.ids.tolist(), scores.log_probabilities.tolist(), strict=True):
        total += log_probability
        text = decoder.feed(token)
        if text or token == tokenizer.eos_id:
            yield text, total
            total = 0.0

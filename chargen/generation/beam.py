"""Beam search: the likeliest continuation that keeping the W best beginnings at each symbol can find."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.generation.engines.contract import Engine
from chargen.generation.samplers import log_softmax
from chargen.text.tokenizers.base import StreamDecoder, Tokenizer

BYTES = 4  # of a character at most, so that a beam of parts of characters ends too

Array = npt.NDArray[np.floating[Any]]


class Hypothesis(NamedTuple):
    """One continuation."""

    ids: tuple[int, ...]
    text: str  # of whole characters
    log_probability: float  # nats, by the model itself, of all its ids


def beam_search(
    engine: Engine,
    tokenizer: Tokenizer,
    logits: Array,
    state: Any,
    *,
    width: int,
    length: int,
    bias: Array | None = None,
    ends: frozenset[int] = frozenset(),
) -> list[Hypothesis]:
    """The `width` likeliest continuations of a stream, the likeliest first.

    logits (1, V) and state are those after the stream, of one stream; length: characters at which a continuation is
    complete; bias (V,): -inf forbids, other numbers do nothing; ends: ids that end a continuation sooner.
    ChargenError for a width or length below 1.
    """
    if width < 1 or length < 1:
        raise ChargenError(f"beam width and length must be at least 1, not {width} and {length}")
    alive = [_Beginning((), "", tokenizer.decoder())]
    scores = np.zeros(1)  # (beams,)
    finished: list[tuple[float, tuple[int, ...], str]] = []
    for step in range(BYTES * length):
        likelihood = log_softmax(logits)
        allowed = likelihood if bias is None else np.where(np.isneginf(bias), -np.inf, likelihood)
        totals = (scores[:, None] + allowed).ravel()
        ranked = [
            place for place in np.argsort(-totals, kind="stable")[: 2 * width].tolist() if totals[place] > -np.inf
        ]
        kept: list[int] = []
        going_on: list[_Beginning] = []
        for place in ranked:
            beam, token = divmod(place, likelihood.shape[1])
            one = alive[beam].extended(token)
            if token in ends or step == BYTES * length - 1 or len(one.text) >= length:
                finished.append((float(totals[place]), one.ids, one.text))
            elif len(kept) < width:
                kept.append(place)
                going_on.append(one)
        finished = sorted(finished, reverse=True)[:width]
        if not kept or (len(finished) == width and totals[kept[0]] <= finished[-1][0]):
            break  # a longer continuation is never likelier than its beginning
        beams, tokens = np.divmod(np.array(kept), likelihood.shape[1])
        alive, scores = going_on, totals[kept]
        logits, state = engine.step(tokens, engine.select(state, beams))
    return [Hypothesis(ids, text[:length], score) for score, ids, text in finished]


class _Beginning(NamedTuple):
    """A continuation that may go on."""

    ids: tuple[int, ...]
    text: str  # the characters that are whole
    decoder: StreamDecoder

    def extended(self, token: int) -> _Beginning:
        """The same with another id."""
        decoder = self.decoder.copy()
        return _Beginning((*self.ids, token), self.text + decoder.feed(token), decoder)

"""Beam search: the likeliest continuation that keeping the W best beginnings at each symbol can find."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.generation.generate import Engine
from chargen.generation.samplers import log_softmax
from chargen.text.tokenizers import Tokenizer

BYTES = 4  # of a character at most, so that a beam of parts of characters ends too

Array = npt.NDArray[np.floating[Any]]


class Hypothesis(NamedTuple):
    """One continuation."""

    ids: tuple[int, ...]
    text: str
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
        raise ChargenError(f"a beam of {width} over {length} characters cannot be: both must be at least 1")
    characters = [tokenizer.count_characters(np.array([token])) for token in range(tokenizer.vocab_size)]
    alive: list[tuple[int, ...]] = [()]
    scores = np.zeros(1)  # (beams,)
    finished: list[tuple[float, tuple[int, ...]]] = []
    for step in range(BYTES * length):
        likelihood = log_softmax(logits)
        allowed = likelihood if bias is None else np.where(np.isneginf(bias), -np.inf, likelihood)
        totals = (scores[:, None] + allowed).ravel()
        ranked = [
            place for place in np.argsort(-totals, kind="stable")[: 2 * width].tolist() if totals[place] > -np.inf
        ]
        kept: list[int] = []
        for place in ranked:
            beam, token = divmod(place, likelihood.shape[1])
            ids = (*alive[beam], token)
            if token in ends or step == BYTES * length - 1 or sum(characters[one] for one in ids) >= length:
                finished.append((float(totals[place]), ids))
            elif len(kept) < width:
                kept.append(place)
        finished = sorted(finished, reverse=True)[:width]
        if not kept or (len(finished) == width and totals[kept[0]] <= finished[-1][0]):
            break  # a longer continuation is never likelier than its beginning
        beams, tokens = np.divmod(np.array(kept), likelihood.shape[1])
        alive = [(*alive[beam], token) for beam, token in zip(beams.tolist(), tokens.tolist(), strict=True)]
        scores = totals[kept]
        logits, state = engine.step(tokens, engine.select(state, beams))
    return [Hypothesis(ids, tokenizer.decode(ids)[:length], score) for score, ids in finished]

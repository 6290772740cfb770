"""Beam search: keep the W likeliest beginnings of a continuation at each token."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.generation.engines.contract import Engine
from chargen.generation.samplers import log_softmax
from chargen.text.tokenizers.base import StreamDecoder, Tokenizer

MOST_WIDTH = 1 << 16
MAX_BYTES = 4  # of a character, and so the most tokens that one can need

Array = npt.NDArray[np.floating[Any]]


class Hypothesis(NamedTuple):
    """One continuation."""

    ids: tuple[int, ...]
    text: str  # complete characters only
    log_prob: float  # of all its ids, in nats, under the model itself


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
    """Search for the likeliest continuations of a stream.

    Args:
        engine: Runs the model.
        tokenizer: The model's.
        logits: For the next token (1, V).
        state: Of the stream, on its own.
        width: Number of beginnings to keep at each token, and of continuations to return.
        length: Characters of a complete continuation.
        bias: (V,); -inf forbids a token, other numbers are ignored.
        ends: Ids that end a continuation early.

    Returns:
        At most `width` continuations, the likeliest first.

    Raises:
        ChargenError: Width or length is below 1, or the width above MOST_WIDTH.
    """
    if not 1 <= width <= MOST_WIDTH or length < 1:
        raise ChargenError(
            f"beam width must be from 1 to {MOST_WIDTH:,} and length at least 1, not {width} and {length}"
        )
    beams = [_Beam((), "", tokenizer.decoder())]
    beam_log_probs = np.zeros(1)  # (W,)
    finished: list[tuple[float, tuple[int, ...], str]] = []
    for step in range(MAX_BYTES * length):
        log_probs = log_softmax(logits)  # (W, V)
        if bias is not None:
            log_probs = np.where(np.isneginf(bias), -np.inf, log_probs)
        totals = (beam_log_probs[:, None] + log_probs).ravel()  # (W·V,)
        ranked = [i for i in np.argsort(-totals, kind="stable")[: 2 * width].tolist() if totals[i] > -np.inf]
        kept: list[int] = []  # indices in `totals`
        kept_beams: list[_Beam] = []
        for i in ranked:
            parent, token = divmod(i, log_probs.shape[1])
            beam = beams[parent].extended(token)
            if token in ends or step == MAX_BYTES * length - 1 or len(beam.text) >= length:
                finished.append((float(totals[i]), beam.ids, beam.text))
            elif len(kept) < width:
                kept.append(i)
                kept_beams.append(beam)
        finished = sorted(finished, reverse=True)[:width]
        if not kept or (len(finished) == width and totals[kept[0]] <= finished[-1][0]):
            break  # no beam can become likelier by going on
        parents, tokens = np.divmod(np.array(kept), log_probs.shape[1])
        beams, beam_log_probs = kept_beams, totals[kept]
        logits, state = engine.step(tokens, engine.select(state, parents))
    return [Hypothesis(ids, text[:length], log_prob) for log_prob, ids, text in finished]


class _Beam(NamedTuple):
    """The beginning of a continuation."""

    ids: tuple[int, ...]
    text: str  # complete characters only
    decoder: StreamDecoder

    def extended(self, token: int) -> _Beam:
        """Add a token."""
        decoder = self.decoder.copy()
        return _Beam((*self.ids, token), self.text + decoder.feed(token), decoder)

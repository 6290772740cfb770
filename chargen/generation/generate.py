"""An engine, a tokenizer and a seed make text, piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from chargen.errors import ChargenError
from chargen.generation.constraints import beginning, listed, writing_bias
from chargen.generation.engines.contract import Array, DrawingEngine, Engine, Ids
from chargen.generation.samplers import Sampling, draw, log_softmax, probabilities
from chargen.text.tokenizers.base import Tokenizer

DRAWN_AT_ONCE = 64  # K, where the engine draws


class Piece(NamedTuple):
    """What one drawn symbol added to one sample."""

    sample: int  # which one, from 0
    id: int
    text: str  # may be empty: part of a character, or held back since a stop text may begin with it
    end: str | None  # why the sample ends here: "length", "stop" or "document"; None when it goes on
    log_probability: float  # of the id, in nats, by the model itself; no number unless it was asked for


def generate(
    engine: Engine,
    tokenizer: Tokenizer,
    prompt: str = "",
    *,
    length: int | None = None,
    sampling: Sampling | None = None,
    bias: Array | None = None,
    seed: int | None = None,
    samples: int = 1,
    stop: Sequence[str] = (),
    documents: bool = False,
    scored: bool = True,
) -> Iterator[Piece]:
    """Texts that continue a prompt, as pieces in the order they are drawn; the prompt is not among them.

    length: characters a sample at most, None for no limit; bias: (V,) added to the logits, see `symbol_bias`;
    stop: texts that end a sample and are left out of it; documents: the model was trained on documents, so a
    sample begins where one begins and ends where it ends one; scored: with log-probabilities. A seed decides
    everything: each step draws one uniform number a sample, in order, whether or not the sample has ended.
    Without a prompt a stream begins after a line break, or after a random symbol where the model knows none.
    ChargenError for characters in the prompt that the model never saw, and for settings that leave no choice.
    """
    if samples < 1:
        raise ChargenError(f"{samples} samples are asked for, but at least 1 must be")
    check_turn(length, stop)
    if unknown := tokenizer.unknown(prompt):
        raise ChargenError(
            f"the prompt has characters the model never saw, {listed(unknown)}: leave them out, or train on them"
        )
    total_bias = writing_bias(tokenizer, documents, bias)
    choices = np.flatnonzero(total_bias > -np.inf)
    uniform = uniform_numbers(seed)
    ids = np.concatenate([beginning(tokenizer, documents, bare=not prompt), tokenizer.encode(prompt)])
    if not len(ids):
        ids = uniform.choice(choices, size=1)
    writers = [TextSoFar(tokenizer, length, stop) for _ in range(samples)]
    return _pieces(engine, writers, ids, sampling or Sampling(), total_bias, uniform, scored)


def _pieces(
    engine: Engine,
    writers: list[TextSoFar],
    prompt: Ids,
    sampling: Sampling,
    bias: Array,
    uniform: np.random.Generator,
    scored: bool,
) -> Iterator[Piece]:
    """The loop of `generate`: ids (T,) are read once, then each writer is a stream of the batch."""
    streams = np.zeros(len(writers), dtype=np.intp)
    logits, state = engine.read(prompt[:, None], engine.start(1))
    logits, state = logits[streams], engine.select(state, streams)
    window = sampling.repetition_window if sampling.repetition_penalty != 1 else 0
    if isinstance(engine, DrawingEngine) and engine.draws and not window:
        steps = _drawn_there(engine, logits, state, sampling, bias, uniform)
    else:
        recent = np.tile(prompt[len(prompt) - min(window, len(prompt)) :], (len(writers), 1))  # (B, at most window)
        steps = _drawn_here(engine, logits, state, sampling, bias, uniform, recent, window)
    unknown = [math.nan] * len(writers)
    for given, ids in steps:
        scores = log_softmax(given)[np.arange(len(ids)), ids].tolist() if scored else unknown
        for sample, (writer, token) in enumerate(zip(writers, ids.tolist(), strict=True)):
            if writer.end is None:
                text = writer.write(token)
                yield Piece(sample, token, text, writer.end, scores[sample])
        if all(writer.end for writer in writers):
            return


def _drawn_here(
    engine: Engine,
    logits: Array,
    state: Any,
    sampling: Sampling,
    bias: Array,
    uniform: np.random.Generator,
    recent: Ids,
    window: int,
) -> Iterator[tuple[Array, Ids]]:
    """Logits (B, V) and the ids (B,) drawn by them, without end; recent (B, W): the last ids, `window` at most."""
    while True:
        check_logits(logits)
        ids = draw(probabilities(logits, sampling, bias=bias, recent=recent), uniform.random(len(logits)))
        yield logits, ids
        if window:
            recent = np.concatenate([recent, ids[:, None]], axis=1)[:, -window:]
        logits, state = engine.step(ids, state)


def _drawn_there(
    engine: DrawingEngine,
    logits: Array,
    state: Any,
    sampling: Sampling,
    bias: Array,
    uniform: np.random.Generator,
) -> Iterator[tuple[Array, Ids]]:
    """The same by an engine that draws; what it drew beyond the end of the last sample is left."""
    while True:
        check_logits(logits)
        numbers = uniform.random((DRAWN_AT_ONCE, len(logits)))
        drawn, given, logits, state = engine.write(logits, state, sampling, bias, numbers)
        yield from zip(given, drawn, strict=True)


class TextSoFar:
    """The text of one sample as it grows: whole characters only, cut at its length or before a stop text."""

    def __init__(self, tokenizer: Tokenizer, length: int | None, stop: Sequence[str]) -> None:
        self.end: str | None = None
        self._decoder = tokenizer.decoder()
        self._eos = tokenizer.eos_id
        self._left = math.inf if length is None else length  # characters it may still have
        self._stop = stop
        self._held = ""  # text that is not given out yet, since it may be the beginning of a stop text

    def write(self, token: int) -> str:
        """The text that is certain once this id is there; sets `end` when it is the last."""
        last = token == self._eos
        self._held += self._decoder.flush() if last else self._decoder.feed(token)
        found = [(at + len(text), at) for text in self._stop if (at := self._held.find(text)) >= 0]
        if found and min(found)[0] <= self._left:  # the first to be complete, however many characters came at once
            return self._give(min(found)[1], "stop")
        if len(self._held) >= self._left:
            return self._give(int(self._left), "length")
        if last:
            return self._give(len(self._held), "document")
        return self._give(len(self._held) - self._unsure(), None)

    def _give(self, characters: int, end: str | None) -> str:
        text, self._held = self._held[:characters], self._held[characters:]
        self._left -= characters
        self.end = end
        return text

    def _unsure(self) -> int:
        """Characters at the end that a stop text begins with."""
        if not self._stop:
            return 0
        lengths = (n for text in self._stop for n in range(1, len(text)) if self._held.endswith(text[:n]))
        return max(lengths, default=0)


def uniform_numbers(seed: int | None) -> np.random.Generator:
    """The generator of the numbers that are drawn with; ChargenError for a seed below 0."""
    if seed is not None and seed < 0:
        raise ChargenError(f"the seed is {seed}, but must be 0 or above")
    return np.random.Generator(np.random.PCG64(seed))


def check_turn(length: int | None, stop: Sequence[str]) -> None:
    """ChargenError for a length or stop texts that leave nothing to write."""
    if length is not None and length < 1:
        raise ChargenError(f"length is {length}, but must be at least 1 character")
    if not all(stop):
        raise ChargenError("an empty stop text would end every sample at once: leave it out")


def check_logits(logits: Array) -> None:
    """ChargenError for logits that are no numbers to choose by."""
    if not math.isfinite(np.add.reduce(logits, axis=None)):
        raise ChargenError("the model's scores are not finite numbers: its weights are damaged, train it again")

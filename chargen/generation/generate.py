"""Generate text: draw tokens and decode them, piece by piece.

Shapes: B samples, each a stream of the engine; V vocabulary; W tokens of the repetition window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from chargen.errors import ChargenError
from chargen.generation.constraints import listed, start_ids, writing_bias
from chargen.generation.engines.contract import Array, DrawingEngine, Engine, Ids
from chargen.generation.samplers import Sampling, draw, log_softmax, token_probs
from chargen.text.tokenizers.base import Tokenizer

LONGEST = 10**9  # characters of one sample
DRAWN_AT_ONCE = 64  # tokens per stream, if the engine draws
MOST_SAMPLES = 100_000  # of one call, which writes them side by side


class Piece(NamedTuple):
    """What one token added to one sample."""

    sample: int  # number of the sample, from 0
    id: int
    text: str  # empty while a character is incomplete, or while a stop text may be starting
    end: str | None  # why the sample ends here: "length", "stop" or "document"; None: it goes on
    log_prob: float  # of the id, in nats, under the model itself; NaN if not asked for


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
    """Write texts that continue a prompt.

    The same seed gives the same texts: each step uses one random number per sample, even for samples that have ended.

    Args:
        engine: Runs the model.
        tokenizer: The model's.
        prompt: Start of the texts. Without one, a stream starts after a line break, or after a random token if the
            vocabulary has no line break.
        length: Limit on the characters per sample; None: no limit.
        sampling: How to choose tokens; None: the default.
        bias: (V,) added to the logits, see `token_bias`.
        seed: At least 0; None: a random one.
        samples: Number of texts to write at once.
        stop: Texts that end a sample, and are left out of it.
        documents: Whether the model was trained on documents; then each sample starts with BOS and may end with EOS.
        scored: Whether to compute `Piece.log_prob`.

    Returns:
        Pieces of all samples, as they are drawn, without the prompt.

    Raises:
        ChargenError: The model never saw a character of the prompt, a setting is out of range, or every token is
            forbidden; raised by this call. Weights that give infinite logits or NaN are found later, by the iterator.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise ChargenError(f"the number of samples is {samples}, but must be from 1 to {MOST_SAMPLES:,}")
    check_turn(length, stop)
    if unknown := tokenizer.unknown(prompt):
        raise ChargenError(
            f"the prompt has characters the model never saw, {listed(unknown)}: leave them out, or train on them"
        )
    total_bias = writing_bias(tokenizer, documents, bias)
    choices = np.flatnonzero(total_bias > -np.inf)
    rng = rng_from_seed(seed)
    ids = np.concatenate([start_ids(tokenizer, documents, line_break=not prompt), tokenizer.encode(prompt)])
    if not len(ids):
        ids = rng.choice(choices, size=1)
    texts = [TextSoFar(tokenizer, length, stop) for _ in range(samples)]
    return _pieces(engine, texts, ids, sampling or Sampling(), total_bias, rng, scored)


def _pieces(
    engine: Engine,
    texts: list[TextSoFar],
    prompt: Ids,
    sampling: Sampling,
    bias: Array,
    rng: np.random.Generator,
    scored: bool,
) -> Iterator[Piece]:
    """The loop of `generate`: read the prompt (T,) once, then write each text as a stream of a batch."""
    streams = np.zeros(len(texts), dtype=np.intp)
    logits, state = engine.read(prompt[:, None], engine.start(1))
    logits, state = logits[streams], engine.select(state, streams)
    window = sampling.repetition_window if sampling.repetition_penalty != 1 else 0
    if isinstance(engine, DrawingEngine) and engine.draws and not window:
        steps = _draw_in_engine(engine, logits, state, sampling, bias, rng)
    else:
        recent = np.tile(prompt[len(prompt) - min(window, len(prompt)) :], (len(texts), 1))  # (B, W)
        steps = _draw_on_host(engine, logits, state, sampling, bias, rng, recent, window)
    unscored = [math.nan] * len(texts)
    for drawn_from, ids in steps:
        log_probs = log_softmax(drawn_from)[np.arange(len(ids)), ids].tolist() if scored else unscored
        for sample, (text, token) in enumerate(zip(texts, ids.tolist(), strict=True)):
            if text.end is None:
                added = text.feed(token)
                yield Piece(sample, token, added, text.end, log_probs[sample])
        if all(text.end for text in texts):
            return


def _draw_on_host(
    engine: Engine,
    logits: Array,
    state: Any,
    sampling: Sampling,
    bias: Array,
    rng: np.random.Generator,
    recent: Ids,
    window: int,
) -> Iterator[tuple[Array, Ids]]:
    """Draw tokens without end; yields logits (B, V) and the ids (B,) drawn from them at each step.

    `recent` (B, W) are the last ids, at most `window`.
    """
    while True:
        check_logits(logits)
        ids = draw(token_probs(logits, sampling, bias=bias, recent=recent), rng.random(len(logits)))
        yield logits, ids
        if window:
            recent = np.concatenate([recent, ids[:, None]], axis=1)[:, -window:]
        logits, state = engine.step(ids, state)


def _draw_in_engine(
    engine: DrawingEngine,
    logits: Array,
    state: Any,
    sampling: Sampling,
    bias: Array,
    rng: np.random.Generator,
) -> Iterator[tuple[Array, Ids]]:
    """As `_draw_on_host`, by an engine that draws; tokens drawn after all samples have ended are ignored."""
    while True:
        check_logits(logits)
        uniform = rng.random((DRAWN_AT_ONCE, len(logits)))
        ids, drawn_from, logits, state = engine.write(logits, state, sampling, bias, uniform)
        yield from zip(drawn_from, ids, strict=True)


class TextSoFar:
    """The text of one sample as it grows: complete characters only, ending at its length or before a stop text.

    >>> from chargen.text.tokenizers.char import CharTokenizer
    >>> tokenizer = CharTokenizer("abc")
    >>> text = TextSoFar(tokenizer, length=9, stop=["bc"])
    >>> [text.feed(token) for token in tokenizer.encode("abbc")], text.end  # "b" may be the start of "bc"
    (['a', '', 'b', ''], 'stop')
    """

    def __init__(self, tokenizer: Tokenizer, length: int | None, stop: Sequence[str]) -> None:
        """Start an empty text.

        Args:
            tokenizer: Decodes the tokens.
            length: Limit on the characters; None: no limit.
            stop: Texts that end the sample.
        """
        self.end: str | None = None  # why it has ended, see `Piece.end`
        self._decoder = tokenizer.decoder()
        self._eos = tokenizer.eos_id
        self._remaining = math.inf if length is None else length  # characters
        self._stop = stop
        self._pending = ""  # text not yet returned, since it may be the start of a stop text

    def feed(self, token: int) -> str:
        """Add a token; returns the text that is certain now. Sets `end` if this is the last token."""
        is_last = token == self._eos
        self._pending += self._decoder.flush() if is_last else self._decoder.feed(token)
        # Where each stop text ends and starts.
        found = [(start + len(stop), start) for stop in self._stop if (start := self._pending.find(stop)) >= 0]
        if found and min(found)[0] <= self._remaining:  # a token may complete several: take the first
            return self._emit(min(found)[1], "stop")
        if len(self._pending) >= self._remaining:
            return self._emit(int(self._remaining), "length")
        if is_last:
            return self._emit(len(self._pending), "document")
        return self._emit(len(self._pending) - self._stop_prefix_length(), None)

    def _emit(self, characters: int, end: str | None) -> str:
        text, self._pending = self._pending[:characters], self._pending[characters:]
        self._remaining -= characters
        self.end = end
        return text

    def _stop_prefix_length(self) -> int:
        """Length of the longest suffix of the pending text that is a prefix of a stop text."""
        if not self._stop:
            return 0
        lengths = (n for stop in self._stop for n in range(1, len(stop)) if self._pending.endswith(stop[:n]))
        return max(lengths, default=0)


def rng_from_seed(seed: int | None) -> np.random.Generator:
    """The random generator for a seed; None: a random one. ChargenError for a negative seed."""
    if seed is not None and seed < 0:
        raise ChargenError(f"the seed is {seed}, but must be 0 or above")
    return np.random.Generator(np.random.PCG64(seed))


def check_turn(length: int | None, stop: Sequence[str]) -> None:
    """Raise ChargenError if the length is out of range or a stop text is empty."""
    if length is not None and not 1 <= length <= LONGEST:
        raise ChargenError(f"length is {length}, but must be from 1 to {LONGEST:,} characters")
    if not all(stop):
        raise ChargenError("an empty stop text would end every sample at once: leave it out")


def check_logits(logits: Array) -> None:
    """Raise ChargenError if logits are infinite or NaN."""
    if not math.isfinite(np.add.reduce(logits, axis=None)):
        raise ChargenError("the model's logits are not finite numbers, so its weights are damaged: train it again")

"""An engine, a tokenizer and a seed make text, piece by piece; and the same two tell how likely a text is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.generation.samplers import Sampling, draw, log_softmax, probabilities
from chargen.text.tokenizers import REPLACEMENT, Tokenizer

Array = npt.NDArray[np.floating[Any]]
Ids = npt.NDArray[np.integer[Any]]

DRAWN_AT_ONCE = 64  # K, where the engine draws
MOST_BIAS = 10_000  # to add to a logit: far more than logits differ by, and no risk of an overflow
SCORED_AT_ONCE = 256  # T whose logits (T, V) are held at once


class Engine(Protocol):
    """A language model that runs: state goes in and comes out, unchanged by what is done with it."""

    def start(self, batch: int) -> Any:
        """The state of B streams that have read nothing."""

    def select(self, state: Any, streams: Ids) -> Any:
        """The state of some streams, in any order and number."""

    def step(self, ids: Ids, state: Any) -> tuple[Array, Any]:
        """Read ids (B,); gives logits (B, V) for what follows, and the new state."""

    def read(self, ids: Ids, state: Any) -> tuple[Array, Any]:
        """Read ids (T, B); gives logits (B, V) for what follows, and the new state."""

    def read_all(self, ids: Ids, state: Any) -> tuple[Array, Any]:
        """Read ids (T, B); gives logits (T, B, V) after each of them, and the new state."""


class EmbeddingEngine(Engine, Protocol):
    """An engine that gives texts as vectors, too."""

    output_size: int  # H, numbers that the last layer gives a step

    def mean_outputs(self, ids: Sequence[Ids], state: Any) -> Array:
        """The mean (B, H) of the last layer's outputs over each text's ids (N,), of any lengths; zeros for none."""


@runtime_checkable
class DrawingEngine(Engine, Protocol):
    """An engine that can draw where it runs, many symbols in a row, so that it need not wait for each."""

    draws: bool  # whether that is the faster way

    def write(
        self, logits: Array, state: Any, sampling: Sampling, bias: Array, uniform: Array
    ) -> tuple[Ids, Array, Array, Any]:
        """Ids (K, B) drawn by uniform (K, B), the logits (K, B, V) they were drawn by, then logits (B, V), state."""


class Piece(NamedTuple):
    """What one drawn symbol added to one sample."""

    sample: int  # which one, from 0
    id: int
    text: str  # may be empty: part of a character, or held back since a stop text may begin with it
    end: str | None  # why the sample ends here: "length", "stop" or "document"; None when it goes on
    log_probability: float  # of the id, in nats, by the model itself; no number unless it was asked for


class Score(NamedTuple):
    """How likely a model finds a text."""

    ids: Ids  # (T,), the end symbol included where documents have one
    log_probabilities: npt.NDArray[np.float64]  # (T,), nats, each given all before it


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
            f"the prompt has characters the model never saw, {_listed(unknown)}: leave them out, or train on them"
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


def symbol_bias(
    tokenizer: Tokenizer,
    *,
    allow: str | None = None,
    forbid: str = "",
    add: Mapping[str, float] | None = None,
) -> npt.NDArray[np.float64]:
    """A bias (V,) for `generate`: -inf for symbols with a character outside `allow` or in `forbid`.

    add: what to add to the logits of symbols, each named by its text. Parts of characters outside ASCII, which byte
    fallback has, are forbidden with `allow`, and when `forbid` names such a character.
    ChargenError for characters and texts that no one symbol spells, and when `allow` and `forbid` contradict.
    """
    bias = np.zeros(tokenizer.vocab_size)
    for text, value in (add or {}).items():
        ids = tokenizer.encode(text)
        if len(ids) != 1 or tokenizer.unknown(text):
            raise ChargenError(f"the logit bias of {text!r} cannot be set: no one symbol of the model spells it")
        if not abs(value) <= MOST_BIAS:
            raise ChargenError(
                f"the logit bias of {text!r} is {value}, but must be a number from -{MOST_BIAS} to {MOST_BIAS}"
            )
        bias[ids] += value
    if allow is None and not forbid:
        return bias
    if both := set(allow or "") & set(forbid):
        raise ChargenError(f"{_listed(both)} cannot be both allowed and forbidden: leave one of the two out")
    spellings = [tokenizer.decode([token]) for token in range(tokenizer.vocab_size)]
    if absent := set(allow or "").union(forbid) - set().union(*spellings):
        raise ChargenError(f"no symbol of the model spells {_listed(absent)}: neither allow nor forbid it")
    banned = set(forbid) if forbid.isascii() else {*forbid, REPLACEMENT}
    for token, spelling in enumerate(spellings):
        if banned.intersection(spelling) or (allow is not None and not set(spelling) <= set(allow)):
            bias[token] = -np.inf
    return bias


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


def writing_bias(tokenizer: Tokenizer, documents: bool, bias: Array | None) -> npt.NDArray[np.float64]:
    """A bias (V,) and what keeps symbols out that spell no text, but for the end symbol where documents end.

    ChargenError when nothing is left to write with.
    """
    never = [tokenizer.bos_id, tokenizer.unk_id, None if documents else tokenizer.eos_id]
    total = np.zeros(tokenizer.vocab_size) if bias is None else bias.astype(np.float64)
    total[[token for token in never if token is not None]] = -np.inf
    choices = np.flatnonzero(total > -np.inf)
    if not len(choices) or choices.tolist() == [tokenizer.eos_id]:
        raise ChargenError("nothing is left to write with: every symbol of the model is forbidden")
    return total


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


def beginning(tokenizer: Tokenizer, documents: bool, *, bare: bool) -> Ids:
    """Ids that come before a text: a document's begin symbol; a line break for a bare stream, if it has one."""
    if documents:
        return np.array([tokenizer.bos_id], dtype=np.int32)
    return tokenizer.encode("\n" if bare and not tokenizer.unknown("\n") else "")


def _listed(characters: Mapping[str, int] | set[str]) -> str:
    """Characters as a sentence names them, at most ten."""
    names = [repr(character) for character in sorted(characters)]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")

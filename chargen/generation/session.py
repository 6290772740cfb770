"""A text that a person and a model write in turns: the recurrent state is kept, so nothing is read twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chargen.errors import ChargenError
from chargen.generation.beam import Hypothesis, beam_search
from chargen.generation.generate import (
    Engine,
    TextSoFar,
    beginning,
    check_logits,
    check_turn,
    uniform_numbers,
    writing_bias,
)
from chargen.generation.samplers import Sampling, draw, probabilities
from chargen.text.tokenizers import Tokenizer


class Session:
    """One stream of text: `read` takes a person's part, `write` gives the model's, `suggest` its likeliest next."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        *,
        documents: bool = False,
        sampling: Sampling | None = None,
        bias: np.ndarray | None = None,
        seed: int | None = None,
    ) -> None:
        self.engine, self.tokenizer, self.sampling = engine, tokenizer, sampling or Sampling()
        self.bias = writing_bias(tokenizer, documents, bias)
        self.uniform = uniform_numbers(seed)
        self.recent = np.empty((1, 0), np.int64)
        self._logits: Any = None
        self._state = engine.start(1)
        self._opening = beginning(tokenizer, documents, bare=True)
        self._read_ids(self._opening if len(self._opening) else np.flatnonzero(self.bias > -np.inf)[:1])

    def read(self, text: str) -> None:
        """Go on from a text; ChargenError, and nothing is read, when it has characters the model never saw."""
        if unknown := self.tokenizer.unknown(text):
            shown = ", ".join(map(repr, sorted(unknown)[:10]))
            raise ChargenError(f"the model never saw {shown}: write without")
        self._read_ids(self.tokenizer.encode(text))

    def write(self, length: int, stop: tuple[str, ...] = ()) -> Iterator[str]:
        """At most `length` characters by the model, in pieces as they are drawn, up to a stop text or the end symbol.

        A stop text is read by the model, but not among the pieces. ChargenError for a length below 1.
        """
        check_turn(length, stop)
        text = TextSoFar(self.tokenizer, length, stop)
        while text.end is None:
            check_logits(self._logits)
            weights = probabilities(self._logits, self.sampling, bias=self.bias, recent=self.recent)
            ids = draw(weights, self.uniform.random(1))
            yield text.write(int(ids[0]))
            self._read_ids(ids)
        if text.end == "document":  # the next turn is another one
            self._read_ids(self._opening)

    def suggest(self, count: int, length: int) -> list[Hypothesis]:
        """The likeliest continuations, best first, each of `length` characters or up to the end of a word."""
        spellings = [self.tokenizer.decode([token]) for token in range(self.tokenizer.vocab_size)]
        ends = frozenset(token for token, spelling in enumerate(spellings) if spelling and spelling[-1].isspace())
        return [one for one in self._search(count, length, ends | {self.tokenizer.eos_id}) if one.text]

    def search(self, width: int, length: int) -> Hypothesis:
        """The likeliest continuation of `length` characters, or up to the end symbol, that a beam finds."""
        return self._search(width, length, frozenset([self.tokenizer.eos_id]))[0]

    def _search(self, width: int, length: int, ends: frozenset[int]) -> list[Hypothesis]:
        given = (self.engine, self.tokenizer, self._logits, self._state)
        return beam_search(*given, width=width, length=length, bias=self.bias, ends=ends)

    def _read_ids(self, ids: np.ndarray) -> None:
        if not len(ids):
            return
        self._logits, self._state = self.engine.read(ids[:, None], self._state)
        window = self.sampling.repetition_window if self.sampling.repetition_penalty != 1 else 0
        if window:
            self.recent = np.concatenate([self.recent, ids[None]], axis=1)[:, -window:]

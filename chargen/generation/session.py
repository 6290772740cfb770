"""A text that a person and a model write in turns: the recurrent state is kept, so nothing is read twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chargen.errors import ChargenError
from chargen.generation.beam import Hypothesis, beam_search
from chargen.generation.constraints import beginning, writing_bias
from chargen.generation.engines.contract import Engine
from chargen.generation.generate import TextSoFar, check_logits, check_turn, uniform_numbers
from chargen.generation.samplers import Sampling, draw, probabilities
from chargen.text.tokenizers.base import Tokenizer


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
        self._last = -1  # id read last
        self._opening = beginning(tokenizer, documents, bare=True)
        self._read_ids(self._opening if len(self._opening) else np.flatnonzero(self.bias > -np.inf)[:1])

    @property
    def begins_line(self) -> bool:
        """Whether what comes next begins a line: after a line break, or where a document begins."""
        return self._last == self.tokenizer.bos_id or self.tokenizer.decode([self._last]).endswith("\n")

    def read(self, text: str) -> None:
        """Go on from a text; ChargenError, and nothing is read, when it has characters the model never saw."""
        if unknown := self.tokenizer.unknown(text):
            shown = ", ".join(map(repr, sorted(unknown)[:10]))
            raise ChargenError(f"the model never saw {shown}: write without")
        self._read_ids(self.tokenizer.encode(text))

    def write(self, length: int, stop: tuple[str, ...] = ()) -> Iterator[str]:
        """At most `length` characters by the model, in pieces as they are drawn, up to a stop text or the end symbol.

        A stop text is read by the model, but not among the pieces. ChargenError, at once, for a length below 1.
        """
        check_turn(length, stop)
        return self._written(length, stop)

    def _written(self, length: int, stop: tuple[str, ...]) -> Iterator[str]:
        text = TextSoFar(self.tokenizer, length, stop)
        while True:
            check_logits(self._logits)
            weights = probabilities(self._logits, self.sampling, bias=self.bias, recent=self.recent)
            ids = draw(weights, self.uniform.random(1))
            piece = text.write(int(ids[0]))
            yield piece
            is_cut = text.end == "length" and len(piece) < len(self.tokenizer.decode(ids))
            self._read_ids(self.tokenizer.encode(piece) if is_cut else ids)  # the model goes on from what is shown
            if text.end is not None:
                break
        if text.end == "document":  # the next turn is another one
            self._read_ids(self._opening)

    def suggest(self, count: int, length: int) -> list[Hypothesis]:
        """The likeliest next pieces, best first: a symbol each where symbols are pieces of words, else words.

        A word ends with white space, or after `length` characters.
        """
        spellings = [self.tokenizer.decode([token]) for token in range(self.tokenizer.vocab_size)]
        if max(map(len, spellings)) > 1:
            ends = frozenset(range(len(spellings)))
        else:
            ends = frozenset(token for token, one in enumerate(spellings) if one.isspace()) | {self.tokenizer.eos_id}
        return [one for one in self._search(count, length, ends) if one.text]

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
        self._last = int(ids[-1])
        window = self.sampling.repetition_window if self.sampling.repetition_penalty != 1 else 0
        if window:
            self.recent = np.concatenate([self.recent, ids[None]], axis=1)[:, -window:]

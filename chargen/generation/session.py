"""A text that a person and a model write in turns. The recurrent state is kept, so the model reads nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chargen.errors import ChargenError
from chargen.generation.beam import Hypothesis, beam_search
from chargen.generation.constraints import start_ids, writing_bias
from chargen.generation.engines.contract import Engine
from chargen.generation.generate import TextSoFar, check_logits, check_turn, rng_from_seed
from chargen.generation.samplers import Sampling, draw, token_probs
from chargen.text.tokenizers.base import Tokenizer


class Session:
    """One text and the model's state after it.

    `read` adds a person's turn and `write` the model's; `suggest` and `search` show how the text may go on, and leave
    it unchanged.
    """

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
        """Start a text.

        Args:
            engine: Runs the model.
            tokenizer: The model's.
            documents: Whether the model was trained on documents; then the text starts with BOS.
            sampling: Settings of the model's turns; None: the default.
            bias: (V,) added to the logits, see `token_bias`.
            seed: Of the model's turns; None: a random one.

        Raises:
            ChargenError: Every token is forbidden, or the seed is negative.
        """
        self.engine, self.tokenizer, self.sampling = engine, tokenizer, sampling or Sampling()
        self.bias = writing_bias(tokenizer, documents, bias)
        self.rng = rng_from_seed(seed)
        self.recent = np.empty((1, 0), np.int64)  # ids for the repetition penalty (1, W)
        self._logits: Any = None
        self._state = engine.start(1)
        self._last = -1  # the last id read
        self._start_ids = start_ids(tokenizer, documents, line_break=True)
        self._read_ids(self._start_ids if len(self._start_ids) else np.flatnonzero(self.bias > -np.inf)[:1])

    @property
    def begins_line(self) -> bool:
        """Whether the text is at the start of a line or of a document."""
        return self._last == self.tokenizer.bos_id or self.tokenizer.decode([self._last]).endswith("\n")

    def read(self, text: str) -> None:
        """Add a person's turn to the text.

        Raises:
            ChargenError: The model never saw some of its characters; nothing is read.
        """
        if unknown := self.tokenizer.unknown(text):
            shown = ", ".join(map(repr, sorted(unknown)[:10]))
            raise ChargenError(f"the model never saw {shown}: leave such characters out")
        self._read_ids(self.tokenizer.encode(text))

    def write(self, length: int, stop: tuple[str, ...] = ()) -> Iterator[str]:
        """Write the model's turn.

        Args:
            length: Limit on the characters.
            stop: Texts that end the turn; the model reads them, but they are not among the pieces.

        Returns:
            Pieces of text, as they are drawn. The turn ends early at EOS; the next one then starts another document.

        Raises:
            ChargenError: The length is below 1, or a stop text is empty; raised by this call, not by the iterator.
        """
        check_turn(length, stop)
        return self._pieces(length, stop)

    def _pieces(self, length: int, stop: tuple[str, ...]) -> Iterator[str]:
        text = TextSoFar(self.tokenizer, length, stop)
        while True:
            check_logits(self._logits)
            probs = token_probs(self._logits, self.sampling, bias=self.bias, recent=self.recent)
            ids = draw(probs, self.rng.random(1))
            piece = text.feed(int(ids[0]))
            yield piece
            is_cut = text.end == "length" and len(piece) < len(self.tokenizer.decode(ids))
            self._read_ids(self.tokenizer.encode(piece) if is_cut else ids)  # the model continues from what is shown
            if text.end is not None:
                break
        if text.end == "document":  # the next turn starts another document
            self._read_ids(self._start_ids)

    def suggest(self, count: int, length: int) -> list[Hypothesis]:
        """Suggest how to go on: each suggestion is a token if tokens can have several characters, else a word.

        Args:
            count: Limit on the suggestions.
            length: Limit on the characters of a word, which ends with white space or EOS.

        Returns:
            Suggestions, the likeliest first.
        """
        spellings = [self.tokenizer.decode([token]) for token in range(self.tokenizer.vocab_size)]
        if max(map(len, spellings)) > 1:
            ends = frozenset(range(len(spellings)))
        else:
            ends = frozenset(token for token, spelling in enumerate(spellings) if spelling.isspace()) | {
                self.tokenizer.eos_id
            }
        return [hypothesis for hypothesis in self._search(count, length, ends) if hypothesis.text]

    def search(self, width: int, length: int) -> Hypothesis:
        """Search for the likeliest continuation.

        Args:
            width: Number of beginnings to keep at each token.
            length: Characters of the continuation, unless EOS ends it early.
        """
        return self._search(width, length, frozenset([self.tokenizer.eos_id]))[0]

    def _search(self, width: int, length: int, ends: frozenset[int]) -> list[Hypothesis]:
        stream = (self.engine, self.tokenizer, self._logits, self._state)
        return beam_search(*stream, width=width, length=length, bias=self.bias, ends=ends)

    def _read_ids(self, ids: np.ndarray) -> None:
        if not len(ids):
            return
        self._logits, self._state = self.engine.read(ids[:, None], self._state)
        self._last = int(ids[-1])
        window = self.sampling.repetition_window if self.sampling.repetition_penalty != 1 else 0
        if window:
            self.recent = np.concatenate([self.recent, ids[None]], axis=1)[:, -window:]

"""The text that an inspection reads: texts as ids, and what each token spells.

Shapes: N tokens of all texts together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from chargen.text.tokenizers.base import Tokenizer

Ids = npt.NDArray[np.int64]
AnyIds = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Passage:
    r"""Some texts that a model reads one after the other, each from the zero state.

    >>> from chargen.text.tokenizers.char import CharTokenizer
    >>> tokenizer = CharTokenizer("ab")
    >>> passage = Passage.of(tokenizer, [tokenizer.encode("ab"), tokenizer.encode("b")])
    >>> passage.symbols, passage.text, passage.ends.tolist()
    (('a', 'b', 'b'), 'ab\nb\n', [1, 2, 4])
    """

    texts: tuple[Ids, ...]  # with what the model reads before and after each
    lead: int  # tokens that only begin each text: they are read, but belong to no figure
    symbols: tuple[str, ...]  # of the N tokens after the lead; empty for EOS and for half a character
    characters: int  # that these tokens spell; EOS counts as one
    labels: tuple[str, ...] = ()  # of each text, where there are labels

    @classmethod
    def of(cls, tokenizer: Tokenizer, texts: Sequence[AnyIds], lead: int = 0, labels: Sequence[str] = ()) -> Passage:
        """Spell the tokens of texts, of which the first `lead` only begin each."""
        spelled: list[str] = []
        characters = 0
        for ids in texts:
            decoder = tokenizer.decoder()
            spelled += [decoder.feed(token) for token in ids.tolist()][lead:]
            characters += tokenizer.count_characters(ids[lead:])
        return cls(tuple(ids.astype(np.int64) for ids in texts), lead, tuple(spelled), characters, tuple(labels))

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """The place of each text's first token among all N, and after them N."""
        return np.cumsum([0, *(len(ids) - self.lead for ids in self.texts)])

    @cached_property
    def _laid_out(self) -> tuple[str, npt.NDArray[np.int64]]:
        pieces: list[str] = []
        ends: list[int] = []
        characters = 0
        for start, stop in pairwise(self.starts.tolist()):
            for symbol in self.symbols[start:stop]:
                pieces.append(symbol)
                characters += len(symbol)
                ends.append(characters)
            pieces.append("\n")
            characters += 1
        return "".join(pieces), np.array(ends, np.int64)

    @property
    def text(self) -> str:
        """What the tokens spell, with a line break after each text."""
        return self._laid_out[0]

    @property
    def ends(self) -> npt.NDArray[np.int64]:
        """How many characters of `text` are read after each token (N,)."""
        return self._laid_out[1]

    def at_tokens(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Of values for each character of `text`, those of the last character that is read at each token (N,)."""
        return values[np.maximum(self.ends - 1, 0)]

    def lines(self) -> Iterator[tuple[int, int]]:
        """The tokens (first, and one after the last) of each line, or of each text if there are several."""
        starts = self.starts.tolist()
        if len(self.texts) == 1:
            breaks = [place + 1 for place, symbol in enumerate(self.symbols) if "\n" in symbol]
            starts = sorted({0, *breaks, len(self.symbols)})
        return ((start, stop) for start, stop in pairwise(starts) if stop > start)

"""Characters as tokens: one id for each Unicode code point in the text."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from chargen.errors import ChargenError
from chargen.text.code_points import code_points, count_code_points, most_frequent
from chargen.text.tokenizers.base import REPLACEMENT, Ids, Tokenizer, damaged, from_json, to_json, utf8


class CharTokenizer(Tokenizer):
    """One id for each Unicode code point of the vocabulary; all others are unknown.

    >>> tokenizer = CharTokenizer("abc")
    >>> tokenizer.encode("abx").tolist(), tokenizer.decode([3, 4])
    ([3, 4, 0], 'ab')
    """

    kind = "char"
    file_name = "tokenizer.json"
    unk_id, bos_id, eos_id = 0, 1, 2

    def __init__(self, characters: str) -> None:
        """Set the vocabulary: distinct characters, sorted by code point."""
        super().__init__([REPLACEMENT.encode(), b"", b"", *(character.encode() for character in characters)])
        codes = code_points(characters)
        # One more entry after the greatest code point, unknown: `take` clips all greater code points to it.
        self._table = np.zeros(int(codes[-1]) + 2, np.int32)
        self._table[codes] = np.arange(3, 3 + len(codes))
        self._characters = characters

    def encode(self, text: str) -> Ids:
        """Encode a text as ids (N,), one per code point; unknown ones become `unk_id`."""
        return self._table.take(code_points(text), mode="clip")

    def unknown(self, text: str) -> dict[str, int]:
        """Count the characters of a text that are outside the vocabulary."""
        codes = code_points(text)
        missing, counts = np.unique(codes[self.encode(text) == self.unk_id], return_counts=True)
        return {chr(code): int(count) for code, count in zip(missing, counts, strict=True)}

    def to_bytes(self) -> bytes:
        """JSON with the vocabulary as one readable string."""
        return to_json(self.kind, characters=self._characters)

    @classmethod
    def from_bytes(cls, data: bytes) -> CharTokenizer:
        """Load what `to_bytes` wrote; ChargenError for other content."""
        characters = from_json(data, cls.kind, ["characters"])["characters"]
        if not isinstance(characters, str) or not characters or any(a >= b for a, b in pairwise(characters)):
            raise damaged("its characters are not a sorted text of distinct ones")
        utf8(characters)
        return cls(characters)

    @classmethod
    def train(
        cls, blocks: Iterable[str], *, vocab_size: int | None = None, min_frequency: int | None = None
    ) -> CharTokenizer:
        """Take the characters that occur `min_frequency` times or more, at most the `vocab_size` most frequent."""
        least = 1 if min_frequency is None else min_frequency
        if least < 1 or (vocab_size is not None and vocab_size < 1):
            raise ChargenError("vocabulary size and minimum frequency must be at least 1")
        counts = count_code_points(blocks)
        if not counts.any():
            raise ChargenError("there is no text to take a vocabulary from: give some")
        counts[counts < least] = 0
        kept = most_frequent(counts)[:vocab_size]
        if not len(kept):
            raise ChargenError(f"no character occurs {least} times: lower the minimum frequency")
        return cls("".join(map(chr, np.sort(kept))))

"""Bytes as tokens: UTF-8, with nothing to learn and nothing unknown."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from chargen.errors import ChargenError
from chargen.text.tokenizers.base import Ids, Tokenizer, from_json, reject_min_frequency, to_json, utf8


class ByteTokenizer(Tokenizer):
    """The bytes of UTF-8 as tokens; nothing is unknown, nothing is learned.

    >>> ByteTokenizer().encode("é").tolist()
    [195, 169]
    """

    kind = "byte"
    file_name = "tokenizer.json"
    bos_id, eos_id, unk_id = 0xFE, 0xFF, None  # bytes that UTF-8 never uses, so that ids stay one byte wide

    def __init__(self) -> None:
        super().__init__([bytes([byte]) if byte < 0xFE else b"" for byte in range(256)])

    def encode(self, text: str) -> Ids:
        """Encode a text as its bytes (N,); ChargenError for half a surrogate pair, which has none."""
        return np.frombuffer(utf8(text), np.uint8).astype(np.int32)

    def to_bytes(self) -> bytes:
        """JSON with the kind alone."""
        return to_json(self.kind)

    @classmethod
    def from_bytes(cls, data: bytes) -> ByteTokenizer:
        """Load a byte tokenizer; ChargenError for other content."""
        from_json(data, cls.kind, [])
        return cls()

    @classmethod
    def train(
        cls, blocks: Iterable[str], *, vocab_size: int | None = None, min_frequency: int | None = None
    ) -> ByteTokenizer:
        """Return the only byte tokenizer; the text is not read. ChargenError for a size other than 256."""
        reject_min_frequency(cls.kind, min_frequency)
        if vocab_size not in (None, 256):
            raise ChargenError(f"the tokenizer byte has 256 tokens, not {vocab_size}: leave the size out")
        return cls()

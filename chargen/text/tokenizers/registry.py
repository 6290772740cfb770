"""The tokenizers, a row each: train one on a text, or load what was saved."""

from __future__ import annotations

from collections.abc import Iterable

from chargen.errors import ChargenError
from chargen.text.tokenizers.base import Tokenizer
from chargen.text.tokenizers.byte import ByteTokenizer
from chargen.text.tokenizers.char import CharTokenizer
from chargen.text.tokenizers.pieces import BpeTokenizer, UnigramTokenizer

_CLASSES: dict[str, type[Tokenizer]] = {
    "char": CharTokenizer,
    "byte": ByteTokenizer,
    "bpe": BpeTokenizer,
    "unigram": UnigramTokenizer,
}
KINDS = tuple(_CLASSES)


def train_tokenizer(
    kind: str, blocks: Iterable[str], *, vocab_size: int | None = None, min_frequency: int = 1
) -> Tokenizer:
    """The tokenizer of a kind that suits a text, given in blocks (which `byte` does not read).

    char: the characters that occur `min_frequency` times, at most the `vocab_size` most frequent.
    bpe, unigram: at most `vocab_size` pieces in all (fewer if the text has fewer), None for a size that suits
    it, learned from at most SAMPLE characters spread over the text.
    Raises ChargenError for an empty text and for sizes that cannot be had.
    """
    return _class(kind).train(blocks, vocab_size=vocab_size, min_frequency=min_frequency)


def load_tokenizer(kind: str, data: bytes) -> Tokenizer:
    """The tokenizer of a kind whose `to_bytes` gave `data`; ChargenError if the bytes are anything else."""
    return _class(kind).from_bytes(data)


def _class(kind: str) -> type[Tokenizer]:
    if kind not in _CLASSES:
        raise ChargenError(f"unknown tokenizer {kind!r}: choose one of {', '.join(KINDS)}")
    return _CLASSES[kind]

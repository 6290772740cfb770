"""All kinds of tokenizer by name: train one on a text, or load a saved one."""

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
    kind: str, blocks: Iterable[str], *, vocab_size: int | None = None, min_frequency: int | None = None
) -> Tokenizer:
    """Train a tokenizer on a text.

    Args:
        kind: One of KINDS.
        blocks: The text; `byte` does not read it.
        vocab_size: For `char`, keep at most that many characters. For `bpe` and `unigram`, learn at most that many
            pieces (fewer if the text has fewer) from a sample spread over the text. None: as suits the text.
        min_frequency: For `char`, how often a character must occur.

    Raises:
        ChargenError: The text is empty, or there is no tokenizer of that kind or size.

    >>> train_tokenizer("char", ["hello"]).vocab_size  # e, h, l, o; unknown, BOS, EOS
    7
    """
    return _class(kind).train(blocks, vocab_size=vocab_size, min_frequency=min_frequency)


def load_tokenizer(kind: str, data: bytes) -> Tokenizer:
    """Load a saved tokenizer.

    Args:
        kind: One of KINDS.
        data: What its `to_bytes` returned.

    Raises:
        ChargenError: The kind is unknown, or the data are not of such a tokenizer.

    >>> load_tokenizer("byte", train_tokenizer("byte", []).to_bytes()).kind
    'byte'
    """
    return _class(kind).from_bytes(data)


def _class(kind: str) -> type[Tokenizer]:
    if kind not in _CLASSES:
        raise ChargenError(f"unknown tokenizer {kind!r}: choose one of {', '.join(KINDS)}")
    return _CLASSES[kind]


def tokenizer_file(kind: str) -> str:
    """The name of the file that a tokenizer of this kind is saved in; ChargenError for an unknown kind.

    >>> tokenizer_file("char")
    'tokenizer.json'
    """
    return _class(kind).file_name

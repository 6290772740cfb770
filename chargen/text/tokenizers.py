"""Tokenizers: text to ids and back. Characters, bytes, or pieces learned by sentencepiece."""

from __future__ import annotations

import codecs
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError

Ids: TypeAlias = npt.NDArray[np.int32]

VERSION = 1  # of the JSON that char and byte are saved in
REPLACEMENT = "\ufffd"  # stands for what has no symbol, or is no UTF-8
SLICE = 1 << 16  # characters looked up at once, a quarter faster than a Mi
PAGE = 1 << 20  # ids worked on at once, where memory must stay bounded

SEGMENT = 1 << 12  # characters that sentencepiece encodes at once: bounds memory, and BPE slows down beyond
STRETCH = 1 << 12  # characters of one contiguous part of the training sample
SAMPLE = 1 << 21  # characters that sentencepiece trains on at most: unigram takes five seconds and more for them
SPACE = "\u2581"  # how sentencepiece spells a space within a piece
# Spelled by their bytes, never part of a longer piece: line breaks, so that a text can be cut there, and what
# sentencepiece does not train on (its signs for a space, for unknown, for the edge of a part, and NUL).
NO_PIECE = "\n" + SPACE + "\u2585\t\0"
RESERVED = 3 + 256  # unk, bos, eos; one piece a byte, for what has no other


class StreamDecoder:
    """Spells ids as they come, holding back the bytes of a character until it is complete."""

    def __init__(self, spellings: Sequence[bytes]) -> None:
        self._spellings = spellings
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """The characters that this id completes, perhaps none."""
        return self._utf8.decode(self._spellings[token])

    def copy(self) -> StreamDecoder:
        """Another one that goes on from here."""
        other = StreamDecoder(self._spellings)
        other._utf8.setstate(self._utf8.getstate())
        return other

    def flush(self) -> str:
        """What an incomplete character at the end is shown as; the decoder is then as new."""
        return self._utf8.decode(b"", final=True)


class Tokenizer(ABC):
    """Turns text into ids 0 … V-1 and back; each id spells some bytes of UTF-8, or nothing."""

    kind: ClassVar[str]
    file_name: ClassVar[str]
    bos_id: int
    eos_id: int
    unk_id: int | None

    def __init__(self, spellings: Sequence[bytes]) -> None:
        self._spellings = spellings
        # The characters that begin in each spelling (V,): the bytes that do not continue one.
        self._lengths = np.array([sum(byte & 0xC0 != 0x80 for byte in spelling) for spelling in spellings])
        self._lengths[self.eos_id] = 1

    @property
    def vocab_size(self) -> int:
        """V, the symbols there are, special ones included."""
        return len(self._spellings)

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """The ids (N,) of a text, bos and eos never among them."""

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text that ids (N,) spell: bos and eos nothing, unk and broken UTF-8 U+FFFD."""
        spelled = b"".join([self._spellings[token] for token in np.asarray(ids).tolist()])
        return spelled.decode("utf-8", "replace")

    def decoder(self) -> StreamDecoder:
        """A decoder for ids that come one by one."""
        return StreamDecoder(self._spellings)

    def count_characters(self, ids: npt.NDArray[Any]) -> int:
        """Characters that ids (N,) spell; eos counts as the line break it stands for, bos as none.

        A character spelled by several ids counts where it begins, so parts of a text add up to the whole.
        """
        pages = (ids[start : start + PAGE] for start in range(0, len(ids), PAGE))
        return sum(int(self._lengths[page].sum()) for page in pages)

    def unknown(self, text: str) -> dict[str, int]:
        """The characters of a text that have no symbol, and how often they occur."""
        return {}

    def cut(self, blocks: Iterable[str]) -> Iterator[str]:
        """The same text, cut where it can be encoded apart: the ids of the parts, joined, are those of the whole."""
        return _slices(blocks)

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The content of the file `file_name`."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes) -> Tokenizer:
        """The tokenizer that `to_bytes` wrote; ChargenError if it did not."""


class CharTokenizer(Tokenizer):
    """One id for each Unicode code point of a vocabulary; all others are unknown."""

    kind = "char"
    file_name = "tokenizer.json"
    unk_id, bos_id, eos_id = 0, 1, 2

    def __init__(self, characters: str) -> None:
        """`characters`: the vocabulary, sorted by code point, each once."""
        super().__init__([REPLACEMENT.encode(), b"", b"", *(character.encode() for character in characters)])
        codes = _code_points(characters)
        # The entry after the greatest code point is unknown, and `take` clips to it whatever lies beyond.
        self._table = np.zeros(int(codes[-1]) + 2, np.int32)
        self._table[codes] = np.arange(3, 3 + len(codes))
        self._characters = characters

    def encode(self, text: str) -> Ids:
        """The ids (N,), one for each code point, unknown ones unk."""
        return self._table.take(_code_points(text), mode="clip")

    def unknown(self, text: str) -> dict[str, int]:
        """The characters outside the vocabulary, and how often they occur."""
        codes = _code_points(text)
        missing, counts = np.unique(codes[self.encode(text) == self.unk_id], return_counts=True)
        return {chr(code): int(count) for code, count in zip(missing, counts, strict=True)}

    def to_bytes(self) -> bytes:
        """JSON with the characters in a row, so that people can read it too."""
        return _to_json(self.kind, characters=self._characters)

    @classmethod
    def from_bytes(cls, data: bytes) -> CharTokenizer:
        """The tokenizer of that JSON; ChargenError for any other."""
        characters = _from_json(data, cls.kind, ["characters"])["characters"]
        if not isinstance(characters, str) or not characters or any(a >= b for a, b in pairwise(characters)):
            raise _damaged("its characters are not a sorted text of distinct ones")
        _utf8(characters)
        return cls(characters)


class ByteTokenizer(Tokenizer):
    """The bytes of UTF-8; nothing is unknown, nothing is learned."""

    kind = "byte"
    file_name = "tokenizer.json"
    bos_id, eos_id, unk_id = 0xFE, 0xFF, None  # bytes that UTF-8 never uses, so that ids stay one byte wide

    def __init__(self) -> None:
        super().__init__([bytes([byte]) if byte < 0xFE else b"" for byte in range(256)])

    def encode(self, text: str) -> Ids:
        """The bytes (N,) of the text; half a surrogate pair, which has none, is a ChargenError."""
        return np.frombuffer(_utf8(text), np.uint8).astype(np.int32)

    def to_bytes(self) -> bytes:
        """JSON that says no more than the kind."""
        return _to_json(self.kind)

    @classmethod
    def from_bytes(cls, data: bytes) -> ByteTokenizer:
        """The tokenizer of that JSON; ChargenError for any other."""
        _from_json(data, cls.kind, [])
        return cls()


class PieceTokenizer(Tokenizer):
    """Pieces of words learned by sentencepiece, set up so that every text comes back as it was."""

    file_name = "tokenizer.model"
    unk_id, bos_id, eos_id = 0, 1, 2

    def __init__(self, model: bytes) -> None:
        """`model`: a sentencepiece model as `train_tokenizer` sets it up; ChargenError if it is none."""
        from sentencepiece import SentencePieceProcessor

        self._model = model
        self._pieces = SentencePieceProcessor()
        try:
            self._pieces.load_from_serialized_proto(model)
        except Exception as error:  # which ones differs between sentencepiece's versions
            raise _damaged("it is no sentencepiece model") from error
        special = (self._pieces.unk_id(), self._pieces.bos_id(), self._pieces.eos_id())
        if special != (self.unk_id, self.bos_id, self.eos_id) or len(self._pieces) <= RESERVED:
            raise _damaged("it lacks symbols that chargen's models have")
        super().__init__([self._spelling(token) for token in range(len(self._pieces))])
        self._space = [self._pieces.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE.encode()]
        self._check()

    def encode(self, text: str) -> Ids:
        """The ids (N,) of the text's pieces; half a surrogate pair, which has none, is a ChargenError."""
        _utf8(text)
        ids: list[int] = []
        for segment in self.cut([text]):
            # The sign that stands for a space in pieces, when a text has it, is spelled by its bytes.
            first, *others = segment.split(SPACE)
            ids += self._pieces.encode(first)
            for other in others:
                ids += self._space
                ids += self._pieces.encode(other)
        return np.array(ids, np.int32)

    def cut(self, blocks: Iterable[str]) -> Iterator[str]:
        """The same text in segments of SEGMENT characters at most, wherever the blocks begin and end."""
        rest = ""
        for block in blocks:
            rest += block
            start = 0
            while len(rest) - start > SEGMENT:
                end = _safe_cut(rest, start)
                yield rest[start:end]
                start = end
            rest = rest[start:]
        if rest:
            yield rest

    def to_bytes(self) -> bytes:
        """The sentencepiece model, which other programs read too."""
        return self._model

    @classmethod
    def from_bytes(cls, data: bytes) -> PieceTokenizer:
        """The tokenizer of a model that `train_tokenizer` made; ChargenError for any other."""
        return cls(data)

    def _spelling(self, token: int) -> bytes:
        piece: str = self._pieces.id_to_piece(token)
        if self._pieces.is_unknown(token):
            return REPLACEMENT.encode()
        if self._pieces.is_control(token):
            return b""
        if self._pieces.is_byte(token):
            return bytes([int(piece[3:5], 16)])
        return piece.replace(SPACE, " ").encode()

    def _check(self) -> None:
        """Refuses models of other settings, and what is left of a model cut short, which may load as well."""
        probe = "  \n\t a " + SPACE + "".join(map(chr, range(0x10FFF0, 0x10FFFF)))
        if self.decode(self.encode(probe)) != probe:
            raise _damaged("it does not give every text back")
        scores = [self._pieces.get_score(token) for token in range(RESERVED, self.vocab_size)]
        ranked = scores == [-rank for rank in range(len(scores))]  # unigram: logarithms of probabilities
        if len(scores) > 1 and ranked != (self.kind == "bpe"):
            raise _damaged(f"its kind is not {self.kind}")


class BpeTokenizer(PieceTokenizer):
    """Pieces found by merging the most frequent pair, again and again (Sennrich et al. 2016, arXiv:1508.07909)."""

    kind = "bpe"


class UnigramTokenizer(PieceTokenizer):
    """Pieces that make a text most probable, each on its own (Kudo 2018, arXiv:1804.10959)."""

    kind = "unigram"


_CLASSES: dict[str, type[Tokenizer]] = {
    tokenizer.kind: tokenizer for tokenizer in (CharTokenizer, ByteTokenizer, BpeTokenizer, UnigramTokenizer)
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
    _class(kind)
    if kind == "char":
        return _train_char(blocks, vocab_size, min_frequency)
    if min_frequency != 1:
        raise ChargenError(f"a minimum frequency is for the tokenizer char: leave it out with {kind}")
    if kind == "byte":
        if vocab_size not in (None, 256):
            raise ChargenError(f"the tokenizer byte has 256 symbols, not {vocab_size}: leave the size out")
        return ByteTokenizer()
    return _train_pieces(kind, blocks, vocab_size)


def load_tokenizer(kind: str, data: bytes) -> Tokenizer:
    """The tokenizer of a kind whose `to_bytes` gave `data`; ChargenError if the bytes are anything else."""
    return _class(kind).from_bytes(data)


def _class(kind: str) -> type[Tokenizer]:
    if kind not in _CLASSES:
        raise ChargenError(f"unknown tokenizer {kind!r}: choose one of {', '.join(KINDS)}")
    return _CLASSES[kind]


def _train_char(blocks: Iterable[str], vocab_size: int | None, min_frequency: int) -> CharTokenizer:
    if min_frequency < 1 or (vocab_size is not None and vocab_size < 1):
        raise ChargenError("vocabulary size and minimum frequency must be at least 1")
    counts = _count(blocks)
    if not counts.any():
        raise ChargenError("there is no text to take a vocabulary from: give some")
    counts[counts < min_frequency] = 0
    kept = _most_frequent(counts)[:vocab_size]
    if not len(kept):
        raise ChargenError(f"no character occurs {min_frequency} times: lower the minimum frequency")
    return CharTokenizer("".join(map(chr, np.sort(kept))))


def _train_pieces(kind: str, blocks: Iterable[str], vocab_size: int | None) -> Tokenizer:
    from sentencepiece import SentencePieceTrainer

    if vocab_size is not None and vocab_size <= RESERVED:
        raise ChargenError(f"a vocabulary of {vocab_size} is too small for {kind}: it needs {RESERVED + 1} or more")
    sample, characters = _sample(blocks)
    counts = _count(sample)
    if not counts.any():
        raise ChargenError("there is no text to take a vocabulary from: give some")
    counts[[ord(character) for character in NO_PIECE]] = 0
    frequent = _most_frequent(counts)
    size = min(vocab_size or _default_size(characters, counts[frequent]), SAMPLE)  # no sample has more pieces
    # Characters may take up half of the vocabulary; rarer ones are spelled by their bytes.
    alphabet = "".join(map(chr, frequent[: (size - RESERVED) // 2]))
    # A space is among them in any case; without a piece, the sign for it would be spelled by bytes.
    parts = re.compile(f"[ {re.escape(alphabet)}]+")
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=(part for stretch in [" ", *sample] for part in parts.findall(stretch)),
        model_writer=model,
        model_type=kind,
        vocab_size=size,
        hard_vocab_limit=False,  # a text that has fewer pieces gives fewer, instead of an error
        seed_sentencepiece_size=min(25 * size, 1_000_000),  # unigram prunes these: fewer take less time
        character_coverage=1.0,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,  # indentation
        max_sentence_length=4 * STRETCH,  # in bytes; longer ones would be left out
        num_threads=4,  # the same on every machine: sums of floats depend on it
        minloglevel=2,
    )
    return load_tokenizer(kind, model.getvalue())


def _sample(blocks: Iterable[str]) -> tuple[list[str], int]:
    """Stretches spread evenly over a text, of SAMPLE characters at most, and the length of the whole."""
    stretches: list[str] = []
    every, number, sampled, characters = 1, 0, 0, 0
    for block in blocks:
        characters += len(block)
        for start in range(0, len(block), STRETCH):
            if number % every == 0:
                stretches.append(block[start : start + STRETCH])
                sampled += len(stretches[-1])
            number += 1
            if sampled > SAMPLE:
                every *= 2
                stretches = stretches[::2]
                sampled = sum(map(len, stretches))
    return stretches, characters


def _default_size(characters: int, frequencies: npt.NDArray[np.int64]) -> int:
    """A vocabulary size (V) for a text of so many characters, of which `frequencies` are those of the sample.

    A symbol must be seen some hundred times to be learned: one for each 500 characters of text. Beyond 2,000
    the projection to the vocabulary would cost more than the recurrent layers of a small model. Scripts of
    thousands of characters get as many pieces again as they have common characters.
    """
    common = int(np.searchsorted(np.cumsum(frequencies), 0.9995 * frequencies.sum())) + 1
    return RESERVED + max(min(max(characters // 500, 256), 2000 - RESERVED), 2 * common)


def _count(blocks: Iterable[str]) -> npt.NDArray[np.int64]:
    """How often each code point occurs; surrogates, which are no characters, never."""
    counts = np.zeros(0x110000, np.int64)
    for part in _slices(_joined(blocks)):
        found = np.bincount(_code_points(part))
        counts[: len(found)] += found
    counts[0xD800:0xE000] = 0
    return counts


def _most_frequent(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The code points that occur, the most frequent first, the lower one where two are equal."""
    found = np.flatnonzero(counts)
    return found[np.argsort(-counts[found], kind="stable")]


def _safe_cut(text: str, start: int) -> int:
    """Where to end a segment: before a line break, else before a space, for only first in a piece can they be."""
    end = start + SEGMENT
    for safe in "\n ":
        if (cut := text.rfind(safe, start + 1, end + 1)) > 0:
            return cut
    return end


def _slices(blocks: Iterable[str]) -> Iterator[str]:
    """The same text in parts whose code points and ids stay in the processor's cache."""
    for block in blocks:
        for start in range(0, len(block), SLICE):
            yield block[start : start + SLICE]


def _joined(blocks: Iterable[str]) -> Iterator[str]:
    """The same text without short parts, each of which would cost as much as a long one."""
    short: list[str] = []
    size = 0
    for block in blocks:
        short.append(block)
        size += len(block)
        if size >= SLICE:
            yield "".join(short)
            short, size = [], 0
    yield "".join(short)


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ChargenError(
            f"the text has half a surrogate pair at character {error.start}, which is no character: remove it"
        ) from error


def _to_json(kind: str, **content: str) -> bytes:
    return json.dumps({"version": VERSION, "kind": kind, **content}, ensure_ascii=False).encode() + b"\n"


def _from_json(data: bytes, kind: str, names: Sequence[str]) -> dict[str, Any]:
    """The record that `_to_json` wrote, checked for version, kind and the names of its content."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _damaged("it is not JSON") from error
    if not isinstance(record, dict) or "version" not in record:
        raise _damaged("it has no version")
    if record["version"] != VERSION:
        raise ChargenError(f"the tokenizer is of version {record['version']}, but this chargen reads {VERSION}")
    if record.get("kind") != kind:
        raise _damaged(f"its kind is {record.get('kind')!r}, not {kind!r}")
    if set(record) != {"version", "kind", *names}:
        raise _damaged(f"it holds {', '.join(record)}")
    return record


def _damaged(reason: str) -> ChargenError:
    return ChargenError(f"the tokenizer's file is damaged or another program's ({reason}): get it again")

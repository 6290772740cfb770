"""Pieces of words as tokens, learned by sentencepiece (BPE or unigram), with bytes for rare characters."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.text.code_points import count_code_points, most_frequent
from chargen.text.tokenizers.base import REPLACEMENT, Ids, Tokenizer, damaged, reject_min_frequency, utf8

SEGMENT = 1 << 12  # characters that sentencepiece encodes at once: bounds memory, and BPE is slower on more
STRETCH = 1 << 12  # characters of one contiguous part of the training sample
SAMPLE = 1 << 21  # characters to train on, at most: unigram takes five seconds or more for them
SPACE = "\u2581"  # sentencepiece's symbol for a space within a piece
# Encoded as bytes, never part of a piece: line breaks, so that a text can be cut there, and the characters that
# sentencepiece does not train on (its symbols for a space, for unknown, for the edge of a part, and NUL).
NO_PIECE = "\n" + SPACE + "\u2585\t\0"
RESERVED = 3 + 256  # unknown, BOS, EOS, and one token per byte


class PieceTokenizer(Tokenizer):
    """Pieces of words learned by sentencepiece, set up so that decoding restores every text exactly."""

    file_name = "tokenizer.model"
    unk_id, bos_id, eos_id = 0, 1, 2

    def __init__(self, model: bytes) -> None:
        """Load a sentencepiece model made by `train`; ChargenError for anything else."""
        from sentencepiece import SentencePieceProcessor

        self._model = model
        self._pieces = SentencePieceProcessor()
        try:
            self._pieces.load_from_serialized_proto(model)
        except Exception as error:  # the type depends on sentencepiece's version
            raise damaged("it is no sentencepiece model") from error
        special = (self._pieces.unk_id(), self._pieces.bos_id(), self._pieces.eos_id())
        if special != (self.unk_id, self.bos_id, self.eos_id) or len(self._pieces) <= RESERVED:
            raise damaged("it lacks symbols that chargen's models have")
        try:
            super().__init__([self._bytes_of(token) for token in range(len(self._pieces))])
        except ValueError as error:  # a piece that is no UTF-8, a byte that is no number
            raise damaged("it has pieces that are no text") from error
        self._space = [self._pieces.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE.encode()]
        self._check()

    def encode(self, text: str) -> Ids:
        """Encode a text as ids (N,); ChargenError for half a surrogate pair, which cannot be encoded."""
        utf8(text)
        ids: list[int] = []
        for segment in self.cut([text]):
            # If the text itself has sentencepiece's symbol for a space, encode it as bytes.
            first, *others = segment.split(SPACE)
            ids += self._pieces.encode(first)
            for other in others:
                ids += self._space
                ids += self._pieces.encode(other)
        return np.array(ids, np.int32)

    def cut(self, blocks: Iterable[str]) -> Iterator[str]:
        """Cut a text into segments of at most SEGMENT characters, independent of its division into blocks."""
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
        """The sentencepiece model, which other programs can read too."""
        return self._model

    @classmethod
    def from_bytes(cls, data: bytes) -> PieceTokenizer:
        """Load a sentencepiece model made by `train`; ChargenError for anything else."""
        return cls(data)

    @classmethod
    def train(
        cls, blocks: Iterable[str], *, vocab_size: int | None = None, min_frequency: int | None = None
    ) -> PieceTokenizer:
        """Learn at most `vocab_size` pieces (None: as suits the text) from at most SAMPLE characters.

        A text with fewer pieces gives fewer.
        """
        from sentencepiece import SentencePieceTrainer

        reject_min_frequency(cls.kind, min_frequency)
        if vocab_size is not None and vocab_size <= RESERVED:
            raise ChargenError(
                f"a vocabulary of {vocab_size} is too small for {cls.kind}: it needs {RESERVED + 1} or more"
            )
        sample, characters = _sample(blocks)
        counts = count_code_points(sample)
        if not counts.any():
            raise ChargenError("there is no text to take a vocabulary from: give some")
        counts[[ord(character) for character in NO_PIECE]] = 0
        frequent = most_frequent(counts)
        size = min(vocab_size or _default_size(characters, counts[frequent]), SAMPLE)  # no sample has more pieces
        # Characters may take up half of the vocabulary; rarer ones are encoded as bytes.
        alphabet = "".join(map(chr, frequent[: (size - RESERVED) // 2]))
        # The space is always among them: without a piece of its own, it would be encoded as three bytes.
        parts = re.compile(f"[ {re.escape(alphabet)}]+")
        model = io.BytesIO()
        SentencePieceTrainer.train(
            sentence_iterator=(part for stretch in [" ", *sample] for part in parts.findall(stretch)),
            model_writer=model,
            model_type=cls.kind,
            vocab_size=size,
            hard_vocab_limit=False,  # a text with fewer pieces gives fewer instead of an error
            seed_sentencepiece_size=min(25 * size, 1_000_000),  # unigram prunes these: fewer take less time
            character_coverage=1.0,
            byte_fallback=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,  # indentation
            max_sentence_length=4 * STRETCH,  # in bytes; longer ones would be left out
            num_threads=4,  # fixed, since sums of floats depend on it
            minloglevel=2,
        )
        return cls(model.getvalue())

    def _bytes_of(self, token: int) -> bytes:
        piece: str = self._pieces.id_to_piece(token)
        if self._pieces.is_unknown(token):
            return REPLACEMENT.encode()
        if self._pieces.is_control(token):
            return b""
        if self._pieces.is_byte(token):
            return bytes([int(piece[3:5], 16)])
        return piece.replace(SPACE, " ").encode()

    def _check(self) -> None:
        """Refuse models with other settings, and truncated ones, which may load without an error."""
        probe = "  \n\t a " + SPACE + "".join(map(chr, range(0x10FFF0, 0x10FFFF)))
        if self.decode(self.encode(probe)) != probe:
            raise damaged("it does not give every text back")
        scores = [self._pieces.get_score(token) for token in range(RESERVED, self.vocab_size)]
        ranked = scores == [-rank for rank in range(len(scores))]  # BPE; unigram has log-probabilities
        if len(scores) > 1 and ranked != (self.kind == "bpe"):
            raise damaged(f"its kind is not {self.kind}")


class BpeTokenizer(PieceTokenizer):
    """Pieces found by repeatedly merging the most frequent pair (Sennrich et al. 2016, arXiv:1508.07909)."""

    kind = "bpe"


class UnigramTokenizer(PieceTokenizer):
    """Pieces that maximise the text's probability under a unigram model (Kudo 2018, arXiv:1804.10959)."""

    kind = "unigram"


def _sample(blocks: Iterable[str]) -> tuple[list[str], int]:
    """Stretches spread evenly over a text, at most SAMPLE characters in all, and the length of the text."""
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
    """Choose a vocabulary size for a text.

    A token must be seen about a hundred times to be learned, hence one per 500 characters of text. With more than
    2,000 tokens, the output projection would cost more than the recurrent layers of a small model. Scripts with
    thousands of characters get twice as many pieces as they have common characters.

    Args:
        characters: Length of the text.
        frequencies: Counts of the sample's characters, highest first.
    """
    common = int(np.searchsorted(np.cumsum(frequencies), 0.9995 * frequencies.sum())) + 1
    return RESERVED + max(min(max(characters // 500, 256), 2000 - RESERVED), 2 * common)


def _safe_cut(text: str, start: int) -> int:
    """Where to end a segment: before a line break, else before a space; both can only begin a piece."""
    end = start + SEGMENT
    for safe in "\n ":
        if (cut := text.rfind(safe, start + 1, end + 1)) > 0:
            return cut
    return end

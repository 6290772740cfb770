"""Pieces of words as tokens, learned by sentencepiece (BPE or unigram), with bytes for what has no piece."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.text.code_points import count_code_points, most_frequent
from chargen.text.tokenizers.base import REPLACEMENT, Ids, Tokenizer, damaged, require_no_frequency, utf8

SEGMENT = 1 << 12  # characters that sentencepiece encodes at once: bounds memory, and BPE slows down beyond
STRETCH = 1 << 12  # characters of one contiguous part of the training sample
SAMPLE = 1 << 21  # characters that sentencepiece trains on at most: unigram takes five seconds and more for them
SPACE = "\u2581"  # how sentencepiece spells a space within a piece
# Spelled by their bytes, never part of a longer piece: line breaks, so that a text can be cut there, and what
# sentencepiece does not train on (its signs for a space, for unknown, for the edge of a part, and NUL).
NO_PIECE = "\n" + SPACE + "\u2585\t\0"
RESERVED = 3 + 256  # unk, bos, eos; one piece a byte, for what has no other


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
            raise damaged("it is no sentencepiece model") from error
        special = (self._pieces.unk_id(), self._pieces.bos_id(), self._pieces.eos_id())
        if special != (self.unk_id, self.bos_id, self.eos_id) or len(self._pieces) <= RESERVED:
            raise damaged("it lacks symbols that chargen's models have")
        super().__init__([self._spelling(token) for token in range(len(self._pieces))])
        self._space = [self._pieces.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE.encode()]
        self._check()

    def encode(self, text: str) -> Ids:
        """The ids (N,) of the text's pieces; half a surrogate pair, which has none, is a ChargenError."""
        utf8(text)
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

    @classmethod
    def train(cls, blocks: Iterable[str], *, vocab_size: int | None = None, min_frequency: int = 1) -> PieceTokenizer:
        """Learn at most `vocab_size` pieces, None for a size that suits the text, from SAMPLE characters at most.

        A text that has fewer pieces gives fewer.
        """
        from sentencepiece import SentencePieceTrainer

        require_no_frequency(cls.kind, min_frequency)
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
        # Characters may take up half of the vocabulary; rarer ones are spelled by their bytes.
        alphabet = "".join(map(chr, frequent[: (size - RESERVED) // 2]))
        # A space is among them in any case; without a piece, the sign for it would be spelled by bytes.
        parts = re.compile(f"[ {re.escape(alphabet)}]+")
        model = io.BytesIO()
        SentencePieceTrainer.train(
            sentence_iterator=(part for stretch in [" ", *sample] for part in parts.findall(stretch)),
            model_writer=model,
            model_type=cls.kind,
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
        return cls(model.getvalue())

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
            raise damaged("it does not give every text back")
        scores = [self._pieces.get_score(token) for token in range(RESERVED, self.vocab_size)]
        ranked = scores == [-rank for rank in range(len(scores))]  # unigram: logarithms of probabilities
        if len(scores) > 1 and ranked != (self.kind == "bpe"):
            raise damaged(f"its kind is not {self.kind}")


class BpeTokenizer(PieceTokenizer):
    """Pieces found by merging the most frequent pair, again and again (Sennrich et al. 2016, arXiv:1508.07909)."""

    kind = "bpe"


class UnigramTokenizer(PieceTokenizer):
    """Pieces that make a text most probable, each on its own (Kudo 2018, arXiv:1804.10959)."""

    kind = "unigram"


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


def _safe_cut(text: str, start: int) -> int:
    """Where to end a segment: before a line break, else before a space, for only first in a piece can they be."""
    end = start + SEGMENT
    for safe in "\n ":
        if (cut := text.rfind(safe, start + 1, end + 1)) > 0:
            return cut
    return end

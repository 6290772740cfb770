"""A text in two parts, as ids: one to learn from, one held out to choose and to measure with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.text.corpus import Corpus, CorpusSettings, encode_corpus
from chargen.text.documents import read_documents
from chargen.text.records import TextRecord
from chargen.text.sources import Source, read_text
from chargen.text.tokenizers.base import Tokenizer

HELD_OUT = 0.1  # of a text, at its end


@dataclass(frozen=True, eq=False)
class TextData:
    """What a language model reads."""

    settings: CorpusSettings
    corpus: Corpus
    train: npt.NDArray[Any]  # ids (N,)
    validation: npt.NDArray[Any]  # ids (M,)
    other: Corpus | None = None  # the text that is measured on, where that is one of its own

    @property
    def tokenizer(self) -> Tokenizer:
        """What made the ids."""
        return self.corpus.tokenizer

    @property
    def characters_per_token(self) -> float:
        """Of the whole text."""
        return self.corpus.characters / len(self.corpus.ids)

    @property
    def record(self) -> TextRecord:
        """What a run says of it."""
        return TextRecord(
            fingerprint=self.corpus.fingerprint,
            validation=self.other.fingerprint if self.other else None,
            sources=tuple(self.corpus.sources),
            encoding=self.settings.encoding,
            tokens=len(self.corpus.ids),
            characters=self.corpus.characters,
            documents=self.settings.documents,
            text_column=self.settings.text_column,
        )


def load_text(
    settings: CorpusSettings,
    *,
    val: Sequence[str] = (),
    val_fraction: float | None = None,
    tokenizer: Tokenizer | None = None,
    progress: Callable[[float], object] | None = None,
) -> TextData:
    """Encode a text and split it.

    Args:
        settings: What to read, and how.
        val: Inputs to measure on; none: the end of the text.
        val_fraction: That part of it, HELD_OUT by default.
        tokenizer: To use as it is; None: one made of the text.
        progress: Told the share, 0 to 1, of the text that is encoded.

    Raises:
        ChargenError: `val` and `val_fraction` are both given, nothing would be held out, or the text is refused.
    """
    if val and val_fraction is not None:
        raise ChargenError("a text to validate on and a fraction of the text contradict: leave out one of the two")
    if val_fraction == 0 and not val:
        raise ChargenError("without validation text the best weights cannot be told: name one with --val")
    corpus = encode_corpus(settings, tokenizer=tokenizer, progress=progress)
    if val:
        other = encode_corpus(replace(settings, inputs=tuple(val)), tokenizer=corpus.tokenizer)
        return TextData(settings, corpus, corpus.ids, other.ids, other)
    return TextData(settings, corpus, *corpus.split(HELD_OUT if val_fraction is None else val_fraction))


def read_like(record: TextRecord, sources: Sequence[Source]) -> Iterator[str]:
    """A text in blocks, or its documents where the record's are, read as the text of the record was."""
    if record.documents is None:
        return read_text(sources, record.encoding)
    return read_documents(sources, record.documents, encoding=record.encoding, text_column=record.text_column)

"""A text as ids in two parts: one to train on, one held out for validation."""

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

HELD_OUT = 0.1  # fraction of the text, at its end


@dataclass(frozen=True, eq=False)
class TextData:
    """A text for a language model: training and validation ids."""

    settings: CorpusSettings
    corpus: Corpus
    train: npt.NDArray[Any]  # ids (N,)
    validation: npt.NDArray[Any]  # ids (M,)
    other: Corpus | None = None  # separate validation text, if there is one

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of both parts."""
        return self.corpus.tokenizer

    @property
    def characters_per_token(self) -> float:
        """Mean characters per token of the whole text."""
        return self.corpus.characters / len(self.corpus.ids)

    @property
    def record(self) -> TextRecord:
        """The run's record of the data."""
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
        val: Inputs of a separate validation text; none: hold out the end of the text.
        val_fraction: Fraction to hold out, HELD_OUT by default.
        tokenizer: Used as it is; None: train one on the text.
        progress: Called with the fraction of the text encoded so far, 0 to 1.

    Raises:
        ChargenError: `val` and `val_fraction` are both given, or the fraction is 0; also what `encode_corpus` raises.
    """
    if val and val_fraction is not None:
        raise ChargenError("a text to validate on and a fraction of the text contradict: leave out one of the two")
    if val_fraction == 0:
        raise ChargenError("without validation text the best weights cannot be chosen: name one with --val")
    corpus = encode_corpus(settings, tokenizer=tokenizer, progress=progress)
    if val:
        other = encode_corpus(replace(settings, inputs=tuple(val)), tokenizer=corpus.tokenizer)
        return TextData(settings, corpus, corpus.ids, other.ids, other)
    return TextData(settings, corpus, *corpus.split(HELD_OUT if val_fraction is None else val_fraction))


def read_like(record: TextRecord, sources: Sequence[Source]) -> Iterator[str]:
    """Yield a text as the recorded one was read: in blocks, or document by document.

    Args:
        record: Of the text that a run was trained on.
        sources: Files of another text.
    """
    if record.documents is None:
        return read_text(sources, record.encoding)
    return read_documents(sources, record.documents, encoding=record.encoding, text_column=record.text_column)

"""Records of a run's data in `config.json`: where it came from, how it was read, and its fingerprints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chargen.text.columns import Columns


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The fields that the records of all kinds of run share."""

    fingerprint: str  # SHA-256 of the training data
    validation: str | None = None  # SHA-256 of the validation data, if that was read separately
    sources: tuple[str, ...] = ()  # names of files
    encoding: str = "utf-8"

    @property
    def framed(self) -> bool:
        """Whether each text stands between BOS and EOS."""
        return True

    @classmethod
    def upgraded(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        """Convert an earlier version's record to the current fields."""
        return dict(record)


@dataclass(frozen=True, kw_only=True)
class TextRecord(DataRecord):
    """The text of a language model."""

    tokens: int = 0
    characters: int = 0
    documents: str | None = None  # one of documents.DOCUMENT_MODES; None: one stream of text
    text_column: str = "text"  # of JSONL documents

    @property
    def framed(self) -> bool:
        """Whether the text is a collection of documents, each between BOS and EOS."""
        return self.documents is not None


@dataclass(frozen=True, kw_only=True)
class LabelledRecord(DataRecord):
    """The labelled texts of a classifier."""

    examples: int = 0  # to train on
    validation_examples: int = 0
    framed: bool = True  # each text stands between BOS and EOS; False: between line breaks
    max_length: int = 1000  # tokens read of each text
    columns: Columns | None = None  # None if no table was read
    columns_known: bool = True  # False: an early version's run, which guessed the columns of each table
    whole_files: bool = False  # each text is a file
    label_type: str = "str"  # type of the user's labels: str, int or bool
    label_counts: dict[str, int] | None = None  # training texts per label; None in early versions
    rows_dropped: int = 0  # rows, lines and files without text
    unlabelled: int = 0  # texts without label that were left out

    @classmethod
    def upgraded(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        """Convert an earlier version's record: `framed` was called `documents`, and columns were not recorded.

        >>> LabelledRecord.upgraded({"fingerprint": "x", "documents": False})
        {'columns_known': False, 'fingerprint': 'x', 'framed': False}
        """
        made = {"columns_known": "columns" in record, **record}
        if "documents" in made:
            made["framed"] = made.pop("documents")
        return made

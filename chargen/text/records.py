"""What a run says of its data in `config.json`: where it came from, how it was read, and its fingerprints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chargen.text.columns import Columns


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """What the records of all kinds of run have."""

    fingerprint: str  # SHA-256 of what was trained on
    validation: str | None = None  # of what the losses are measured on, where that has one of its own
    sources: tuple[str, ...] = ()  # names of files
    encoding: str = "utf-8"

    @property
    def framed(self) -> bool:
        """Whether each text stands between BOS and EOS."""
        return True

    @classmethod
    def upgraded(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        """The record of an earlier version, as this one would have written it."""
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

    examples: int = 0  # to learn from
    validation_examples: int = 0
    framed: bool = True  # each text stands between BOS and EOS; else between line breaks
    max_length: int = 1000  # tokens of a text that are read
    columns: Columns | None = None  # None where no table was read
    columns_known: bool = True  # False: a run of an early version, which guessed those of each table anew
    whole_files: bool = False  # each text is a file
    label_type: str = "str"  # what the labels were: str, int or bool
    label_counts: dict[str, int] | None = None  # texts to learn from; None in early versions
    rows_dropped: int = 0  # rows, lines and files without text

    @classmethod
    def upgraded(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        """Early versions called `framed` documents, and did not record columns."""
        made = {"columns_known": "columns" in record, **record}
        if "documents" in made:
            made["framed"] = made.pop("documents")
        return made

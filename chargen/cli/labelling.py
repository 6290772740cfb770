"""Read texts to label from files, and write their labels in the format of the files."""

from __future__ import annotations

import csv
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from chargen.cli.output import escape, for_reader, json_line


class Known(NamedTuple):
    """Labels that stood in front of a line."""

    labels: tuple[str, ...]


if TYPE_CHECKING:
    from chargen.classification.explaining import Explanation
    from chargen.classification.labeller import Verdict
    from chargen.text.records import LabelledRecord
    from chargen.text.tables import Table

    # Cells of CSV and TSV, a record of other tables, the name of a whole file, labels of a line, or None for a line.
    Row = list[str] | dict[str, Any] | str | Known | None
    Write = Callable[[str, Row, "Answer | None"], None]  # takes a text, its row, and its answer; None if it is blank

UNSURE = "unsure"  # printed instead of a label


class Answer(NamedTuple):
    """The answer for one text."""

    verdict: Verdict
    sure: bool
    why: Explanation | None  # None without --explain

    def labels(self, top: int) -> list[tuple[str, float]]:
        """The `top` likeliest labels with their probabilities; the first is UNSURE if the answer is not sure."""
        (label, probability), *others = list(self.verdict.probabilities.items())[:top]
        return [(label if self.sure else UNSURE, probability), *others]


class OpenTexts(NamedTuple):
    """Texts to label, read while they are labelled."""

    total: int  # number of texts
    tables: list[Table | None]  # one per file; None if it is no table
    rows: Iterator[tuple[str, Row]]  # each text with its row


def open_files(
    files: Iterable[str], encoding: str, text_column: Sequence[str], recorded: LabelledRecord
) -> OpenTexts:
    """Open files of texts to label.

    Args:
        files: Paths, or `-` for standard input.
        encoding: Of all of them.
        text_column: Columns of the texts in tables, as typed; if empty, found by looking.
        recorded: How the run read its training texts.

    Raises:
        UsageError: A column is named, but no file is a table.
        ChargenError: A file cannot be read.
    """
    from chargen.text.columns import open_texts, row_text
    from chargen.text.documents import read_lines, read_whole
    from chargen.text.examples import has_labels, split_labels
    from chargen.text.sources import Source, resolve
    from chargen.text.tables import is_table

    sources = resolve(list(files))
    opened = [
        open_texts(source, encoding, text_column, recorded.columns) if is_table(source) else None
        for source in sources
    ]
    if text_column and not any(opened):
        raise click.UsageError("--text-column is for tables, and no FILE is one: leave it out")

    def texts_of(source: Source) -> Iterator[tuple[str, Row]]:
        if recorded.whole_files:
            yield read_whole(source, encoding).strip("\n"), source.name
        elif has_labels(source, encoding):
            for labels, text in map(split_labels, read_lines(source, encoding)):
                yield text, Known(labels) if labels else None
        else:
            yield from zip(read_lines(source, encoding), repeat(None))

    def read() -> Iterator[tuple[str, Row]]:
        for source, table_and_columns in zip(sources, opened, strict=True):
            if table_and_columns is None:
                yield from texts_of(source)
                continue
            table, indices = table_and_columns
            for _, cells in table.rows():
                row = cells if table.dialect else dict(zip(table.columns, cells, strict=True))
                yield row_text(cells, indices), row

    counts = [
        found[0].count if found else 1 if recorded.whole_files else sum(1 for _ in read_lines(source, encoding))
        for source, found in zip(sources, opened, strict=True)
    ]
    return OpenTexts(sum(counts), [found and found[0] for found in opened], read())


def writer_for(tables: Sequence[Table | None], top: int) -> Write:
    """Make the function that writes each answer in the format of the files.

    Args:
        tables: One per file; None if it is no table.
        top: How many labels to write per text.

    Raises:
        ChargenError: The files have different formats or columns.
    """
    from chargen.errors import ChargenError

    if not any(tables):
        return _line_writer(top)
    formats = {(table.columns, table.dialect) if table and table.dialect else table and "JSON" for table in tables}
    if len(formats) > 1:
        raise ChargenError("the files are not tables with the same columns: label one file at a time, or use --json")
    names = list(dict.fromkeys(name for table in tables if table for name in table.columns))
    suffixes = ("", *(f"_{number}" for number in range(2, top + 1)))
    added = [_new_name(f"{name}{suffix}", names) for suffix in suffixes for name in ("label", "probability")]
    assert tables[0]
    return _row_writer(tables[0], added) if tables[0].dialect else _record_writer(added)


def _new_name(name: str, names: Sequence[str]) -> str:
    while name in names:
        name = f"predicted_{name}"
    return name


def _line_writer(top: int) -> Write:
    """Write a line of labels and probabilities per text, then the explanation, in colour on a terminal."""
    from chargen.cli.showing import colour_explanation, strongest_spans

    shown = for_reader()
    in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def write(text: str, row: Row, answer: Answer | None) -> None:
        cells, below = [escape(row)] if isinstance(row, str) else [], ""
        labels = (
            [(escape(label), f"{probability:.4f}") for label, probability in answer.labels(top)] if answer else []
        )
        cells += chain.from_iterable(labels or [("", "")] * top)
        if answer and answer.why is not None and in_colour:
            below = colour_explanation(answer.why, shown) + "\n"
        elif answer and answer.why is not None:
            cells += strongest_spans(answer.why)
        sys.stdout.write("\t".join(map(shown, cells)) + "\n" + below)

    return write


def json_writer(top: int | None, threshold: float | None) -> Write:
    """Make the function that writes one JSON object per text.

    Args:
        top: How many labels to write; None: all.
        threshold: If not None, each object has `unsure`. It has `familiar` if the run has n-grams.
    """

    def write(text: str, row: Row, answer: Answer | None) -> None:
        record: dict[str, Any] = {"file": row} if isinstance(row, str) else {}
        record |= {"text": text, "label": None, "probabilities": {}}
        if answer:
            record["label"] = answer.verdict.label if answer.sure else None
            record["probabilities"] = dict(islice(answer.verdict.probabilities.items(), top))
        if threshold is not None:
            record["unsure"] = answer is not None and not answer.sure
        if answer and answer.verdict.familiar is not None:
            record["familiar"] = answer.verdict.familiar
        if answer and answer.why is not None:
            record["why"] = answer.why
        sys.stdout.write(json_line(record))

    return write


def _row_writer(table: Table, added: Sequence[str]) -> Write:
    """Write rows in the dialect of the table: where it does not quote, labels are escaped instead."""
    assert table.dialect
    quoted = table.dialect.quoted
    quoting: Any = {"quoting": csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, "quotechar": '"' if quoted else None}
    writer = csv.writer(sys.stdout, delimiter=table.dialect.delimiter, lineterminator="\n", **quoting)
    if table.header:
        writer.writerow([*table.columns, *added])

    def write(text: str, row: Row, answer: Answer | None) -> None:
        assert isinstance(row, list)
        cells = [""] * len(added)
        if answer:
            labels = answer.labels(len(added) // 2)
            cells[::2] = [label if quoted else escape(label) for label, _ in labels]
            cells[1::2] = [f"{probability:.4f}" for _, probability in labels]
        writer.writerow([*row, *cells])

    return write


def _finite(value: Any) -> Any:
    """Replace infinite numbers and NaN, which JSON does not allow, by None."""
    if isinstance(value, dict):
        return {name: _finite(own) for name, own in value.items()}
    if isinstance(value, list):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _record_writer(added: Sequence[str]) -> Write:
    """Write one JSON object per row; values without a JSON type, such as dates, become strings, and NaN null."""

    def write(text: str, row: Row, answer: Answer | None) -> None:
        assert isinstance(row, dict)
        record = _finite(row)
        cells = [cell for pair in answer.labels(len(added) // 2) for cell in pair] if answer else [None] * len(added)
        record |= zip(added, cells, strict=True)
        sys.stdout.write(json_line(record, default=str))

    return write

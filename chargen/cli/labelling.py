"""Texts to label, as files have them, and their labels, in the form of the files."""

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

if TYPE_CHECKING:
    from chargen.classification.explaining import Explanation
    from chargen.classification.labeller import Verdict
    from chargen.text.records import LabelledRecord
    from chargen.text.tables import Table

    Row = list[str] | dict[str, Any] | str | None  # of CSV and TSV, of other tables; a file's name; none for a line
    Write = Callable[[str, Row, "Answer | None"], None]  # told each text, its row, and its label unless it is blank

UNSURE = "unsure"  # instead of a label


class Answer(NamedTuple):
    """What there is to show of a text."""

    verdict: Verdict
    sure: bool
    why: Explanation | None  # only if asked for

    def labels(self, top: int) -> list[tuple[str, float]]:
        """The likeliest labels and their probabilities, the first being UNSURE where that is the answer."""
        (label, probability), *others = list(self.verdict.probabilities.items())[:top]
        return [(label if self.sure else UNSURE, probability), *others]


class Opened(NamedTuple):
    """Texts to label."""

    texts: int  # how many
    tables: list[Table | None]  # one per file; None for a file of lines
    rows: Iterator[tuple[str, Row]]  # each text with its row


def open_files(files: Iterable[str], encoding: str, text_column: Sequence[str], recorded: LabelledRecord) -> Opened:
    """The texts of files; `recorded` says how the run read its own."""
    from chargen.text.columns import open_texts, row_text
    from chargen.text.documents import read_lines
    from chargen.text.sources import Source, read_source, resolve
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
            yield "".join(read_source(source, encoding)).strip("\n"), source.name
        else:
            yield from zip(read_lines(source, encoding), repeat(None))

    def read() -> Iterator[tuple[str, Row]]:
        for source, found in zip(sources, opened, strict=True):
            if found is None:
                yield from texts_of(source)
                continue
            table, indices = found
            for _, cells in table.rows():
                row = cells if table.dialect else dict(zip(table.columns, cells, strict=True))
                yield row_text(cells, indices), row

    counts = [
        found[0].count if found else 1 if recorded.whole_files else sum(1 for _ in read_lines(source, encoding))
        for source, found in zip(sources, opened, strict=True)
    ]
    return Opened(sum(counts), [found and found[0] for found in opened], read())


def writer_for(tables: Sequence[Table | None], top: int) -> Write:
    """What writes each text's likeliest labels in the form of the files; ChargenError where that is not one form."""
    from chargen.errors import ChargenError

    if not any(tables):
        return _line_writer(top)
    forms = {(table.columns, table.dialect) if table and table.dialect else table and "JSON" for table in tables}
    if len(forms) > 1:
        raise ChargenError("the files are not tables of the same columns: label one at a time, or with --json")
    names = list(dict.fromkeys(name for table in tables if table for name in table.columns))
    numbers = ("", *(f"_{number}" for number in range(2, top + 1)))
    added = [_new_name(f"{name}{number}", names) for number in numbers for name in ("label", "probability")]
    assert tables[0]
    return _row_writer(tables[0], added) if tables[0].dialect else _record_writer(added)


def _new_name(name: str, names: Sequence[str]) -> str:
    while name in names:
        name = f"predicted_{name}"
    return name


def _line_writer(top: int) -> Write:
    """A line of labels and probabilities; what explains them follows, in colour at a terminal."""
    from chargen.cli.showing import coloured, strongest

    shown = for_reader()
    in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def write(text: str, row: Row, answer: Answer | None) -> None:
        cells, below = [escape(row)] if isinstance(row, str) else [], ""
        found = [(escape(label), f"{probability:.4f}") for label, probability in answer.labels(top)] if answer else []
        cells += chain.from_iterable(found or [("", "")] * top)
        if answer and answer.why is not None and in_colour:
            below = coloured(answer.why) + "\n"
        elif answer and answer.why is not None:
            cells += strongest(answer.why)
        sys.stdout.write("\t".join(map(shown, cells)) + "\n" + below)

    return write


def json_writer(top: int | None, threshold: float | None) -> Write:
    """A JSON object a text; `unsure` is there with a threshold, `familiar` where the run has n-grams."""

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
    """Rows as the table has them: where quotation marks are characters, nothing is quoted."""
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
            found = answer.labels(len(added) // 2)
            cells[::2] = [label if quoted else escape(label) for label, _ in found]
            cells[1::2] = [f"{probability:.4f}" for _, probability in found]
        writer.writerow([*row, *cells])

    return write


def _finite(value: Any) -> Any:
    """A value as JSON allows it: without infinite numbers and those that are none."""
    if isinstance(value, dict):
        return {name: _finite(own) for name, own in value.items()}
    if isinstance(value, list):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _record_writer(added: Sequence[str]) -> Write:
    """A JSON object a row; what JSON has no type for, such as a date, is text, and what is no number null."""

    def write(text: str, row: Row, answer: Answer | None) -> None:
        assert isinstance(row, dict)
        record = _finite(row)
        found = [cell for pair in answer.labels(len(added) // 2) for cell in pair] if answer else [None] * len(added)
        record |= zip(added, found, strict=True)
        sys.stdout.write(json_line(record, default=str))

    return write

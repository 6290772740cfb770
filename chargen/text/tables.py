"""Tables of texts and labels: CSV, TSV and JSON lines, and which of their columns are meant."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chargen.errors import ChargenError
from chargen.text.documents import read_lines, read_records, well_formed
from chargen.text.sources import Source

LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "y")
TEXT_NAMES = ("text", "sentence", "document", "content", "review", "comment", "message", "body", "x")
DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit is 131,072


@dataclass(frozen=True)
class Table:
    """Cells of text below named columns."""

    name: str  # of the file
    columns: list[str]
    rows: list[list[str]]  # as many cells each as there are columns
    lines: list[int]  # of the file, where each row ends

    def column(self, index: int) -> list[str]:
        """The cells of one column."""
        return [row[index] for row in self.rows]


def read_table(source: Source, encoding: str = "utf-8", wanted: Sequence[str] = ()) -> Table:
    """The table in a file, by its suffix, or by its first line if it has no suffix.

    A first row with a `wanted` or a usual name, or with a label that no other row has, is the header; without
    one the columns are called 1, 2, … Raises ChargenError for what cannot be parsed, and for an empty table.
    """
    suffix = source.plain.suffix.lower() or _guess(source, encoding)
    if suffix in JSON_LINES:
        return _from_records(source, encoding)
    table = _from_rows(source, encoding, DELIMITERS[suffix])
    if _has_header(table, wanted):
        return Table(table.name, table.rows[0], table.rows[1:], table.lines[1:])
    return table


def find_columns(table: Table, text: str | None = None, label: str | None = None) -> tuple[int, int]:
    """Indices of the column of texts and of that of labels: by the name given, a usual name, or the content.

    By content, texts are the longest cells and labels have the fewest distinct values. Raises ChargenError for
    a column that is absent, and when there is no telling.
    """
    if len(table.columns) < 2:
        raise ChargenError(f"{table.name} has one column only, but needs one of texts and one of labels")
    label_index = _by_name(table, label, LABEL_NAMES, "--label-column")
    text_index = _by_name(table, text, TEXT_NAMES, "--text-column")
    if text_index is None:
        text_index = _longest(table, without=label_index)
    if label_index is None:
        label_index = _fewest_values(table, without=text_index)
    if label_index is None:
        raise ChargenError(
            f"there is no telling which column of {table.name} has the labels: name one of "
            f"{', '.join(table.columns)} with --label-column"
        )
    return text_index, label_index


def _by_name(table: Table, given: str | None, usual: Sequence[str], option: str) -> int | None:
    if given is None:
        names = [name.strip().casefold() for name in table.columns]
        return next((names.index(name) for name in usual if name in names), None)
    if given not in table.columns:
        raise ChargenError(
            f"{table.name} has no column {given!r}: name one of {', '.join(table.columns)} with {option}"
        )
    return table.columns.index(given)


def _longest(table: Table, without: int | None) -> int:
    others = [index for index in range(len(table.columns)) if index != without]
    return max(others, key=lambda index: sum(map(len, table.column(index))))


def _fewest_values(table: Table, without: int) -> int | None:
    """The column that repeats itself most; None if there is a choice and no column has a value twice."""
    others = [index for index in range(len(table.columns)) if index != without]
    values = {index: len(set(table.column(index))) for index in others}
    varied = [index for index in others if values[index] > 1] or others
    best = min(varied, key=values.__getitem__)
    return None if len(varied) > 1 and values[best] == len(table.rows) else best


def _has_header(table: Table, wanted: Sequence[str]) -> bool:
    first = table.rows[0]
    if any(name in first or name not in table.columns for name in wanted):
        return True
    if {cell.strip().casefold() for cell in first} & {*LABEL_NAMES, *TEXT_NAMES}:
        return True
    if wanted or len(first) < 2:
        return False
    label = _fewest_values(table, without=_longest(table, without=None))
    return label is None or table.column(label).count(first[label]) == 1


def _guess(source: Source, encoding: str) -> str:
    first = next(read_lines(source, encoding), "")
    if first.startswith("{"):
        return ".jsonl"
    return ".tsv" if "\t" in first else ".csv"


def _from_rows(source: Source, encoding: str, delimiter: str) -> Table:
    """The rows below columns called 1, 2, …; quotes in a TSV that breaks the rules of quoting are characters."""
    try:
        rows, lines = _parse(source, encoding, delimiter, csv.QUOTE_MINIMAL)
    except csv.Error as error:
        if delimiter != "\t":
            raise ChargenError(
                f"{source.name} is not valid CSV ({error}): put cells that have commas, quotes or line breaks "
                "in double quotes, and double the quotes inside"
            ) from error
        rows, lines = _parse(source, encoding, delimiter, csv.QUOTE_NONE)
    if not rows:
        raise ChargenError(f"{source.name} is empty: name a table with rows")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(rows[0]):
            raise ChargenError(
                f"{source.name}, line {line}, has {len(row)} cells, but the first row has {len(rows[0])}: "
                "put cells that have commas, tabs or line breaks in double quotes"
            )
    return Table(source.name, [str(number) for number in range(1, len(rows[0]) + 1)], rows, lines)


def _parse(source: Source, encoding: str, delimiter: str, quoting: Any) -> tuple[list[list[str]], list[int]]:
    """Rows that are not blank, and the line where each ends."""
    csv.field_size_limit(LONGEST_CELL)
    text = (line + "\n" for line in read_lines(source, encoding))
    reader = csv.reader(text, delimiter=delimiter, quoting=quoting, strict=True)
    numbered = [(row, reader.line_num) for row in reader if row]
    return [row for row, _ in numbered], [line for _, line in numbered]


def _from_records(source: Source, encoding: str) -> Table:
    records = list(read_records(source, encoding))
    for line, record in records:
        if not isinstance(record, dict):
            raise ChargenError(f"{source.name}, line {line}, is not a JSON object: give each example as one")
    columns = list(dict.fromkeys(key for _, record in records for key in record))
    rows = [
        [_cell(record.get(column), f"{source.name}, line {line},") for column in columns] for line, record in records
    ]
    return Table(source.name, columns, rows, [line for line, _ in records])


def _cell(value: Any, where: str) -> str:
    if value is None:
        return ""
    return well_formed(value if isinstance(value, str) else json.dumps(value), where)

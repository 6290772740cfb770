"""Rows of text with a delimiter: CSV and its kin, as people have them.

They are parsed by Python's csv module, which names the line of a bad row and takes a stray quotation mark as it
stands.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from chargen.errors import ChargenError
from chargen.text.documents import read_lines
from chargen.text.sources import Source

TEXT_NAMES = ("text", "sentence", "document", "content", "review", "comment", "message", "body", "x")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "y")
OTHER_DELIMITERS = ";\t|,"  # tried in this order where the suffix's own makes no table
LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit is 131,072
SAMPLE = 100  # rows that tell the delimiter


class Dialect(NamedTuple):
    """How the rows of a text file become cells."""

    delimiter: str
    quoted: bool  # else quotation marks are characters


class Shape(NamedTuple):
    """What one reading of all rows tells."""

    first: list[str]
    recurring: set[int]  # columns whose first cell comes again, which a name in a header does not
    total: int
    folded: set[int]  # lines of rows where one cell has both the delimiter and a line break
    blank: int  # lines between rows


def find_delimiter(source: Source, encoding: str, own: str, wanted: Sequence[str]) -> str:
    """The suffix's own if it makes a table of the first rows, or else what does; best, what makes wanted columns."""
    fitting = ""
    for candidate in own + OTHER_DELIMITERS.replace(own, ""):
        for quoted in (True, False) if candidate == "\t" else (True,):
            head = _head(source, encoding, Dialect(candidate, quoted))
            if wanted and head and set(wanted) <= set(stripped(head[0])):
                return candidate
            if len({len(row) for row in head}) == 1 and len(head[0]) > 1:
                fitting = fitting or candidate
        if fitting and not wanted:
            break
    return fitting or own


def _head(source: Source, encoding: str, dialect: Dialect) -> list[list[str]]:
    try:
        return [row for _, row in islice(parse(source, encoding, dialect), SAMPLE)]
    except csv.Error:
        return []


def find_dialect(source: Source, encoding: str, delimiter: str) -> tuple[Dialect, Shape]:
    """Whether quotation marks quote, and the shape that follows.

    In CSV they do. Many a TSV is written without quoting, so there they are characters where they break the rules, or
    where quoting would make one cell of several lines that are rows each, as `_are_rows` tells.
    """
    quoted, plain = Dialect(delimiter, True), Dialect(delimiter, False)
    if delimiter != "\t":
        try:
            return quoted, _shape(source, encoding, quoted)
        except csv.Error as error:
            raise ChargenError(
                f"{source.name} is not valid CSV ({error}): put cells that have commas, quotes or line breaks "
                "in double quotes, and double the quotes inside"
            ) from error
    try:
        by_quotes = _shape(source, encoding, quoted)
    except csv.Error:
        return plain, _shape(source, encoding, plain)
    except ChargenError as ragged:
        try:
            return plain, _shape(source, encoding, plain)
        except ChargenError:
            raise ragged from None
    if by_quotes.folded and _are_rows(source, encoding, plain, by_quotes):
        return plain, _shape(source, encoding, plain)
    return quoted, by_quotes


def _are_rows(source: Source, encoding: str, plain: Dialect, by_quotes: Shape) -> bool:
    """Whether lines that quoting makes one cell are rows.

    They are if each has all the cells, and in one column, as in that of labels, only values that other lines have.
    """
    width = len(by_quotes.first)
    values: list[set[str]] = [set() for _ in range(width)]
    for line, row in parse(source, encoding, plain):
        if len(row) != width:
            return False
        if line in by_quotes.folded:
            for own, cell in zip(values, row, strict=True):
                own.add(cell)
    for line, row in parse(source, encoding, plain):
        if line not in by_quotes.folded:
            for own, cell in zip(values, row, strict=True):
                own.discard(cell)
    return not all(values)


def _shape(source: Source, encoding: str, dialect: Dialect) -> Shape:
    first: list[str] = []
    recurring: set[int] = set()
    total, folded, start = 0, set[int](), 1
    blank = since = 0
    for line, row in parse(source, encoding, dialect, blank=True):
        if not row:
            since += 1
            continue
        blank, since = blank + since, 0
        total += 1
        if not first:
            first = row
        elif len(row) != len(first):
            raise ChargenError(
                f"{source.name}, line {line}, has {len(row)} cells, but the first row has {len(first)}: "
                "put cells that have delimiters or line breaks in double quotes"
            )
        elif row != first:  # a header may come again where files were put together
            recurring |= {index for index, cell in enumerate(row) if cell == first[index] and cell.strip()}
        if any("\n" in cell and dialect.delimiter in cell for cell in row):
            folded |= set(range(start, line + 1))
        start = line + 1
    if not total:
        raise ChargenError(f"{source.name} is empty: name a table with rows")
    return Shape(first, recurring, total, folded, blank)


def parse(source: Source, encoding: str, dialect: Dialect, *, blank: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Rows, and the line where each ends; blank lines, as rows without cells, only if asked for."""
    csv.field_size_limit(LONGEST_CELL)
    text = (line + "\n" for line in read_lines(source, encoding))
    quoting: Any = csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE
    reader = csv.reader(text, delimiter=dialect.delimiter, quoting=quoting, strict=True)
    return ((reader.line_num, row) for row in reader if row or blank)


def has_header(shape: Shape, wanted: Sequence[str], known: bool | None) -> bool | None:
    """Whether the first row names the columns; None: there is no telling from names."""
    names = [name.strip().casefold() for name in shape.first]
    if any(name in (*TEXT_NAMES, *LABEL_NAMES) for name in names) and not shape.recurring:
        return True
    numbers = [str(number) for number in range(1, len(names) + 1)]
    if known or not set(wanted) <= set(numbers):
        return True
    if known is False:
        return False
    if wanted:  # numbers of columns, unless numbers are their names
        return set(wanted) <= set(names) and all(name.isdigit() or not name for name in names)
    return None


def stripped(names: Iterable[str]) -> tuple[str, ...]:
    """Names without the space around them."""
    return tuple(name.strip() for name in names)

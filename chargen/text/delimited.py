"""Delimited rows of text, CSV and TSV, as found in practice.

Python's csv module parses them: it knows the line of a bad row and keeps a stray quotation mark as it is.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from chargen.errors import ChargenError
from chargen.text import documents
from chargen.text.documents import read_lines
from chargen.text.sources import Source

OTHER_DELIMITERS = ";\t|,"  # tried in this order if the suffix's own delimiter makes no table
SAMPLE = 100  # rows read to find the delimiter
NAMED = re.compile(r"sep=(\t|[^\s\w\"'])", re.IGNORECASE)  # a first line in which Excel names the delimiter


class Dialect(NamedTuple):
    """How the rows of a text file become cells."""

    delimiter: str
    quoted: bool  # False: quotation marks are ordinary characters
    spaced: bool = False  # spaces after a delimiter are no part of the cell


class Scan(NamedTuple):
    """Findings of one pass over all rows."""

    first: list[str]  # cells of the first row
    recurring: set[int]  # columns whose first cell occurs again, unlike a name in a header
    total: int  # rows
    multiline: set[int]  # lines of rows with a cell that has both the delimiter and a line break
    longest: tuple[int, int]  # first and last line of the longest row with such a cell; 0 and 0 without one
    blank: int  # lines between rows


def find_delimiter(source: Source, encoding: str, own: str, wanted: Sequence[str]) -> str:
    """Find the delimiter that makes a table of the first rows.

    Args:
        source: The file.
        encoding: Of the file.
        own: The suffix's own delimiter; tried first, and returned if none makes a table.
        wanted: Names of columns; a delimiter whose header has them wins.
    """
    if named := NAMED.fullmatch(next(read_lines(source, encoding), "")):
        return named[1]
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


def find_dialect(source: Source, encoding: str, delimiter: str) -> tuple[Dialect, Scan]:
    """Find out whether quotation marks quote.

    In CSV they do, even after a space. Many TSV files are written without quoting; there, quotation marks are
    ordinary characters if they break the rules. In both they are if quoting would merge several lines that are rows
    of their own (see `_are_rows`), as where one quotation mark is stray.

    Returns:
        The dialect, and the scan of all rows under it.

    Raises:
        ChargenError: The rows have unequal numbers of cells, or quotes that break the rules of CSV.
    """
    quoted, plain = Dialect(delimiter, True), Dialect(delimiter, False)
    try:
        if delimiter == "\t":
            quoted_scan = _scan(source, encoding, quoted)
        else:
            quoted, quoted_scan = _with_quotes(source, encoding, delimiter)
    except csv.Error:
        return plain, _scan(source, encoding, plain)
    except ChargenError as ragged:
        if delimiter != "\t":
            raise
        try:
            return plain, _scan(source, encoding, plain)
        except ChargenError:
            raise ragged from None
    if quoted_scan.multiline and _are_rows(source, encoding, plain, quoted_scan):
        return plain, _scan(source, encoding, plain)
    return quoted, quoted_scan


def _with_quotes(source: Source, encoding: str, delimiter: str) -> tuple[Dialect, Scan]:
    """The dialect in which quotation marks quote, and whether they do so after a space."""
    close, spaced = Dialect(delimiter, True), Dialect(delimiter, True, True)
    columns = list(zip(*_head(source, encoding, close)[1:], strict=False))
    if any(all(cell.startswith(' "') and cell.endswith('"') for cell in column) for column in columns):
        return spaced, _scan(source, encoding, spaced)
    try:
        return close, _scan(source, encoding, close)
    except (csv.Error, ChargenError) as error:
        with contextlib.suppress(csv.Error, ChargenError):
            return spaced, _scan(source, encoding, spaced)
        if isinstance(error, ChargenError):
            raise
        raise ChargenError(
            f"{source.name} is not valid CSV ({error}): put cells that have commas, quotes or line breaks "
            "in double quotes, and double the quotes inside"
        ) from error


def _are_rows(source: Source, encoding: str, plain: Dialect, quoted_scan: Scan) -> bool:
    """Whether the lines that quoting would merge into one cell are rows.

    They are if each has as many cells as the first row and, in at least one column (such as the labels), only values
    that other lines have too.
    """
    width = len(quoted_scan.first)
    values: list[set[str]] = [set() for _ in range(width)]
    for line, row in parse(source, encoding, plain):
        if len(row) != width:
            return False
        if line in quoted_scan.multiline:
            for own, cell in zip(values, row, strict=True):
                own.add(cell)
    for line, row in parse(source, encoding, plain):
        if line not in quoted_scan.multiline:
            for own, cell in zip(values, row, strict=True):
                own.discard(cell)
    return not all(values)


def _scan(source: Source, encoding: str, dialect: Dialect) -> Scan:
    """Read all rows once and check that they have equally many cells."""
    first: list[str] = []
    recurring: set[int] = set()
    total, multiline, longest, start = 0, set[int](), (0, 0), 1
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
        elif row != first:  # concatenated files repeat the header
            recurring |= {index for index, cell in enumerate(row) if cell == first[index] and cell.strip()}
        if any("\n" in cell and dialect.delimiter in cell for cell in row):
            multiline |= set(range(start, line + 1))
            longest = max(longest, (start, line), key=lambda lines: lines[1] - lines[0])
        start = line + 1
    if not total:
        raise ChargenError(f"{source.name} is empty: name a table with rows")
    return Scan(first, recurring, total, multiline, longest, blank)


def parse(source: Source, encoding: str, dialect: Dialect, *, blank: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the number of its last line. A row of blank cells is as wide as the first row.

    Args:
        source: The file.
        encoding: Of the file.
        dialect: How rows become cells.
        blank: Yield blank lines too, as rows without cells.

    Raises:
        csv.Error: A row breaks the rules, or has a cell longer than LONGEST, perhaps since a quote is left open.
    """
    csv.field_size_limit(documents.LONGEST)  # the csv module's own limit is 131,072
    lines = read_lines(source, encoding)
    first = next(lines, "")
    before = 1 if NAMED.fullmatch(first) else 0  # lines that are no rows
    text = (line + "\n" for line in (lines if before else chain([first], lines)))
    quoting: Any = csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE
    reader = csv.reader(
        text, delimiter=dialect.delimiter, quoting=quoting, skipinitialspace=dialect.spaced, strict=True
    )
    width = 0
    try:
        for row in reader:
            width = width or len(row)
            if row and len(row) != width and not any(map(str.strip, row)):
                row = [""] * width
            if row or blank:
                yield reader.line_num + before, row
    except csv.Error as error:
        limit = f"a cell of more than {documents.LONGEST:,} characters, which is the limit"
        what = limit if "field limit" in str(error) else error
        raise csv.Error(f"line {reader.line_num + before}: {what}") from error


def stripped(names: Iterable[str]) -> tuple[str, ...]:
    """Names without surrounding white space.

    >>> stripped([" text", "label "])
    ('text', 'label')
    """
    return tuple(name.strip() for name in names)

"""Tables of texts and labels: which of their columns are meant, and their rows, one after another.

CSV and JSON are read by Python's own modules, which name the line of a bad row and take a stray quotation mark as it
stands; polars 2.1 pads a short row in silence, refuses such marks, and makes half a surrogate pair a NUL. Parquet is
read by polars rather than pyarrow 26.0.1: a million rows in slices took 0.4 s against 0.9 s and less memory, and it
has types for mypy; it starts in 0.16 s against 0.08 s, so it is imported only for a Parquet file, and large, so it
is an extra.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from chargen.errors import ChargenError
from chargen.text.documents import read_array, read_lines, read_records, well_formed
from chargen.text.sources import COMPRESSED, Source, read_source

if TYPE_CHECKING:
    import polars as pl

TEXT_NAMES = ("text", "sentence", "document", "content", "review", "comment", "message", "body", "x")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "y")
DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
OTHER_DELIMITERS = ";\t|,"  # tried in this order where the suffix's own makes no table
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
SUFFIXES = (*DELIMITERS, *JSON_LINES, ".json", *PARQUET)
LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit is 131,072
SAMPLE = 100  # rows that tell the delimiter
SLICE = 20_000  # rows of a Parquet file held at once
NAMES_SHOWN = 12
NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?(e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are read, as a run records them."""

    text: tuple[str, ...]  # joined by a line break where there are several
    label: str
    header: bool = True  # without one, columns are called 1, 2, …
    delimiter: str | None = None  # None in JSON and Parquet

    def to_record(self) -> dict[str, Any]:
        """The columns as JSON holds them."""
        return asdict(self) | {"text": list(self.text)}

    @staticmethod
    def from_record(record: Mapping[str, Any] | None) -> Columns | None:
        """The columns of a record; None for data that came from no table."""
        if record is None:
            return None
        try:
            return Columns(**{**record, "text": tuple(record["text"])})
        except (KeyError, TypeError) as error:
            raise ChargenError(
                f"the run's config does not say which columns it read ({error}): train again"
            ) from error


class Row(NamedTuple):
    """One row of a table."""

    place: str  # "line 3" of text, "row 3" of other files
    cells: list[Any]  # as many as there are columns


class Dialect(NamedTuple):
    """How the rows of a text file become cells."""

    delimiter: str
    quoted: bool  # else quotation marks are characters


@dataclass(frozen=True)
class Table:
    """A file of rows below named columns; `rows` reads it again each time, in bounded memory."""

    source: Source
    encoding: str
    columns: tuple[str, ...]
    count: int  # rows
    header: bool | None = True  # None: there is no telling from names, and columns are called 1, 2, …
    dialect: Dialect | None = None  # None in JSON and Parquet
    nested: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # columns with lists or objects: where, what
    first: tuple[str, ...] = ()  # row of a text file, which may be a header
    array: bool = False  # the file is one JSON array
    blank: int = 0  # lines of a text file between its rows that are no rows

    @property
    def name(self) -> str:
        """The file, as the user knows it."""
        return self.source.name

    def rows(self) -> Iterator[Row]:
        """The rows; cells of text files are text, others have the file's own values."""
        if self.dialect:
            parsed = _parse(self.source, self.encoding, self.dialect)
            return (Row(f"line {line}", cells) for line, cells in islice(parsed, 1 if self.header else 0, None))
        if is_parquet(self.source):
            return _parquet_rows(self.source)
        values = _json_values(self.source, self.encoding, self.array)
        return (Row(place, [value.get(column) for column in self.columns]) for place, value in values)


def names_of(given: str | Iterable[str] | None) -> tuple[str, ...]:
    """The names of columns that somebody gave as one, several or none."""
    return (given,) if isinstance(given, str) else tuple(given or ())


def is_table(source: Source) -> bool:
    """Whether the suffix says that a file holds a table."""
    return source.plain.suffix.lower() in SUFFIXES


def is_parquet(source: Source) -> bool:
    """Whether a file is in Parquet, by its suffix, or by its first bytes if it has none."""
    suffix = source.plain.suffix.lower()
    return suffix in PARQUET or (not suffix and next(source.blocks(size=4), b"") == b"PAR1")


def open_table(
    source: Source, encoding: str = "utf-8", *, wanted: Sequence[str] = (), header: bool | None = None
) -> Table:
    """The table in a file, by its suffix, or by how it begins if it has none; all of it is read once.

    A first row with a `wanted` or a usual name is the header; `header` says what is known of others like it.
    Raises ChargenError for what cannot be parsed, and for an empty table.
    """
    suffix = source.plain.suffix.lower()
    if is_parquet(source):
        return _open_parquet(source)
    start = "" if suffix in DELIMITERS else _beginning(source, encoding)
    if suffix in (*JSON_LINES, ".json") or (not suffix and (start[:1] == "{" or start in ("[{", "[]"))):
        return _open_json(source, encoding, array=start[:1] == "[" and suffix not in JSON_LINES)
    own = DELIMITERS.get(suffix) or ("\t" if "\t" in next(read_lines(source, encoding), "") else ",")
    return _open_rows(source, encoding, own, wanted, header)


def read_table(
    source: Source, encoding: str = "utf-8", *, wanted: Sequence[str] = (), header: bool | None = None
) -> tuple[Table, list[Row]]:
    """The table in a file and all of its rows as text, arguments as for `open_table`.

    Where names do not tell, a first row with a label that no other row has is the header.
    """
    table = open_table(source, encoding, wanted=wanted, header=header)
    rows = [
        Row(row.place, [as_text(cell, f"{table.name}, {row.place},") for cell in row.cells]) for row in table.rows()
    ]
    if table.header is None:
        table = replace(table, header=_has_odd_label(rows))
        if table.header:
            table = replace(table, columns=_stripped(table.first), count=table.count - 1)
            rows = rows[1:]
    return table, rows


def find_columns(
    table: Table, rows: Sequence[Row], text: Sequence[str] = (), label: str | None = None, *, sure: bool = True
) -> Columns:
    """The columns of texts and of labels: by the names given, by usual names, by what is in them.

    The names `text` and `label` win over the other usual names, and those over content. By content, a column fits as
    labels if it has two values or more and each comes twice on average (if none does, if any value comes again). The
    longest other column has the texts, and must be at least twice as long as the next.

    sure: False chooses among those that fit, too: by the order of the usual names, the longest, the fewest values.
    Raises ChargenError for a column that is absent or holds lists or objects, and where several fit equally well.
    """
    if len(table.columns) < 2:
        raise ChargenError(f"{table.name} has one column only, but needs one of texts and one of labels")
    label_index = _named(table, names_of(label), "label") or _usual(table, LABEL_NAMES, "label", sure)
    text_index = _named(table, text, "text") or _usual(table, TEXT_NAMES, "text", sure)
    values = [[row.cells[index] for row in rows] for index in range(len(table.columns))]
    plain = [index for index, name in enumerate(table.columns) if name not in table.nested]
    everything = plain if len(plain) > 1 else list(range(len(table.columns)))
    if not text_index:
        others = [index for index in everything if index not in label_index]
        text_index = [_text_by_content(table, values, others, sure)]
    if not label_index:
        others = [index for index in everything if index not in text_index]
        label_index = [_label_by_content(table, values, others, sure)]
    names = [table.columns[index] for index in (*text_index, *label_index)]
    _refuse_unclear(table, names[:-1], names[-1])
    return Columns(tuple(names[:-1]), names[-1], bool(table.header), table.dialect and table.dialect.delimiter)


def open_texts(
    source: Source, encoding: str, named: Sequence[str] = (), columns: Columns | None = None
) -> tuple[Table, list[int]]:
    """A table, of labels or without, and the indices of its columns of texts.

    Columns are those `named`, else those recorded in `columns`, else the one of a usual name, or the only one.
    ChargenError for a table without them.
    """
    wanted = tuple(named) or (columns.text if columns else ())
    known = columns.header if columns and not named else None
    table = open_table(source, encoding, wanted=wanted, header=known)
    indices = _named(table, wanted, "text") or _usual(table, TEXT_NAMES, "text", sure=True)
    if not indices and table.header and len(table.columns) == 1:
        indices = [0]
    if not indices:
        raise _no_telling(table, "texts", "text")
    _refuse_unclear(table, [table.columns[index] for index in indices], None)
    return table, indices


def joined(cells: Sequence[Any], indices: Sequence[int]) -> str:
    """The text of a row: the cells of these columns that are not blank, a line break between them."""
    return "\n".join(text for text in (as_text(cells[index]) for index in indices) if text.strip())


def reading_note(table: Table, columns: Columns) -> str:
    """A sentence that says what is read."""
    texts = " and ".join(map(repr, columns.text))
    details = []
    if columns.delimiter and columns.delimiter != DELIMITERS.get(table.source.plain.suffix.lower()):
        details.append(f"delimiter {'tab' if columns.delimiter == chr(9) else columns.delimiter}")
    if not columns.header:
        details.append("no header, so columns are numbered")
    if table.dialect and not table.dialect.quoted:
        details.append("quotation marks are part of the cells")
    several = "s" if len(columns.text) > 1 else ""
    unread = [repr(name) for name in table.columns if name not in (*columns.text, columns.label)]
    more = ", …" if len(unread) > NAMES_SHOWN else ""
    return (
        f"reading text from column{several} {texts} and labels from {columns.label!r}"
        + (f", leaving out {', '.join(unread[:NAMES_SHOWN])}{more}" if unread else "")
        + (f" ({', '.join(details)})" if details else "")
    )


def as_text(value: Any, where: str = "the table") -> str:
    """A cell as text; what is missing, or is not a number, is empty."""
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return well_formed(value, where)
    return json.dumps(value) if isinstance(value, (bool, int, float)) else str(value)


def _named(table: Table, given: Sequence[str], what: str) -> list[int]:
    for name in given:
        if name not in table.columns:
            raise ChargenError(
                f"{table.name} has no column {name!r}: name one of {_listed(table.columns)} with --{what}-column"
            )
    return [table.columns.index(name) for name in given]


def _usual(table: Table, usual: Sequence[str], what: str, sure: bool) -> list[int]:
    """The column with a usual name; the first of the usual names wins, between the others there is no telling."""
    names = [name.strip().casefold() for name in table.columns]
    found = [index for name in usual for index, own in enumerate(names) if own == name]
    best = [index for index in found if names[index] == usual[0]]
    if len(best or found) > 1 and sure:
        raise _equal(table, best or found, what)
    return found[:1]


def _text_by_content(table: Table, values: Sequence[Sequence[str]], others: Sequence[int], sure: bool) -> int:
    lengths = [sum(map(len, column)) for column in values]
    if sure:
        others = [index for index in others if not _repeats(values[index])] or others
    longest = max(others, key=lengths.__getitem__)
    close = [index for index in others if 2 * lengths[index] > lengths[longest]]
    if sure and len(close) > 1:
        raise _equal(table, close, "text")
    return longest


def _label_by_content(table: Table, values: Sequence[Sequence[str]], others: Sequence[int], sure: bool) -> int:
    varied = [index for index in others if len(set(values[index])) > 1] or others
    repeating = [index for index in varied if _repeats(values[index])]
    repeating = [index for index in repeating if not _is_measured(values[index])] or repeating
    fitting = repeating or [index for index in varied if len(set(values[index])) < len(values[index])]
    if len(fitting) > 1 and sure:
        raise _equal(table, fitting, "label")
    if not fitting and len(varied) > 1:
        raise _no_telling(table, "labels", "label")
    return min(fitting if sure and fitting else varied, key=lambda index: len(set(values[index])))


def _is_measured(column: Sequence[str]) -> bool:
    """Whether these are numbers, some with a fraction, which no labels are."""
    cells = [cell.strip() for cell in column if cell.strip()]
    return all(map(NUMBER.fullmatch, cells)) and any("." in cell or "," in cell for cell in cells)


def _repeats(column: Sequence[str]) -> bool:
    return 2 <= len(set(column)) <= len(column) / 2


def _refuse_unclear(table: Table, texts: Sequence[str], label: str | None) -> None:
    """Columns must be plain, once there, and not both texts and labels."""
    if label in texts:
        raise ChargenError(f"the column {label!r} of {table.name} cannot have both texts and labels: name another")
    for name in (*texts, *names_of(label)):
        what = "label" if name == label else "text"
        if table.columns.count(name) > 1:
            raise ChargenError(f"{table.name} has {table.columns.count(name)} columns {name!r}: rename all but one")
        if name in table.nested:
            place, thing = table.nested[name]
            several = "several labels per text are not supported, so " if thing == "a list" and name == label else ""
            raise ChargenError(
                f"{table.name}, {place}: the {what} in {name!r} is {thing}: {several}name a column of plain values "
                f"with --{what}-column, or write the parts of this one as columns of their own"
            )


def _equal(table: Table, indices: Sequence[int], what: str) -> ChargenError:
    names = [repr(table.columns[index]) for index in sorted(indices)]
    if len(set(names)) == 1:
        return ChargenError(f"{table.name} has {len(names)} columns {names[0]}: rename all but one")
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    return ChargenError(
        f"the columns {listed} of {table.name} fit equally well as {what}s: name one with --{what}-column"
    )


def _no_telling(table: Table, things: str, what: str) -> ChargenError:
    names = table.first if table.header is None else table.columns
    return ChargenError(
        f"there is no telling which column of {table.name} has the {things}: name one of {_listed(names)} "
        f"with --{what}-column"
    )


def _listed(names: Sequence[str]) -> str:
    shown = [name if len(name) <= 40 else name[:39] + "…" for name in names[:NAMES_SHOWN]]
    return ", ".join(name.replace("\n", " ") for name in shown) + (", …" if len(names) > NAMES_SHOWN else "")


# Rows of text: CSV and its kin.


class _Shape(NamedTuple):
    """What one reading of all rows tells."""

    first: list[str]
    recurring: set[int]  # columns whose first cell comes again, which a name in a header does not
    total: int
    folded: set[int]  # lines of rows where one cell has both the delimiter and a line break
    blank: int  # lines between rows


def _open_rows(source: Source, encoding: str, own: str, wanted: Sequence[str], header: bool | None) -> Table:
    delimiter = _delimiter(source, encoding, own, wanted)
    dialect, shape = _dialect(source, encoding, delimiter)
    known = _has_header(shape, wanted, header)
    numbers = tuple(str(number) for number in range(1, len(shape.first) + 1))
    return Table(
        source,
        encoding,
        _stripped(shape.first) if known else numbers,
        shape.total - 1 if known else shape.total,
        known,
        dialect,
        first=tuple(shape.first),
        blank=shape.blank,
    )


def _delimiter(source: Source, encoding: str, own: str, wanted: Sequence[str]) -> str:
    """The suffix's own if it makes a table of the first rows, or else what does; best, what makes wanted columns."""
    fitting = ""
    for candidate in own + OTHER_DELIMITERS.replace(own, ""):
        for quoted in (True, False) if candidate == "\t" else (True,):
            head = _head(source, encoding, Dialect(candidate, quoted))
            if wanted and head and set(wanted) <= set(_stripped(head[0])):
                return candidate
            if len({len(row) for row in head}) == 1 and len(head[0]) > 1:
                fitting = fitting or candidate
        if fitting and not wanted:
            break
    return fitting or own


def _head(source: Source, encoding: str, dialect: Dialect) -> list[list[str]]:
    try:
        return [row for _, row in islice(_parse(source, encoding, dialect), SAMPLE)]
    except csv.Error:
        return []


def _dialect(source: Source, encoding: str, delimiter: str) -> tuple[Dialect, _Shape]:
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


def _are_rows(source: Source, encoding: str, plain: Dialect, by_quotes: _Shape) -> bool:
    """Whether lines that quoting makes one cell are rows.

    They are if each has all the cells, and in one column, as in that of labels, only values that other lines have.
    """
    width = len(by_quotes.first)
    values: list[set[str]] = [set() for _ in range(width)]
    for line, row in _parse(source, encoding, plain):
        if len(row) != width:
            return False
        if line in by_quotes.folded:
            for own, cell in zip(values, row, strict=True):
                own.add(cell)
    for line, row in _parse(source, encoding, plain):
        if line not in by_quotes.folded:
            for own, cell in zip(values, row, strict=True):
                own.discard(cell)
    return not all(values)


def _shape(source: Source, encoding: str, dialect: Dialect) -> _Shape:
    first: list[str] = []
    recurring: set[int] = set()
    total, folded, start = 0, set[int](), 1
    blank = since = 0
    for line, row in _parse(source, encoding, dialect, blank=True):
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
    return _Shape(first, recurring, total, folded, blank)


def _parse(
    source: Source, encoding: str, dialect: Dialect, *, blank: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Rows, and the line where each ends; blank lines, as rows without cells, only if asked for."""
    csv.field_size_limit(LONGEST_CELL)
    text = (line + "\n" for line in read_lines(source, encoding))
    quoting: Any = csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE
    reader = csv.reader(text, delimiter=dialect.delimiter, quoting=quoting, strict=True)
    return ((reader.line_num, row) for row in reader if row or blank)


def _has_header(shape: _Shape, wanted: Sequence[str], known: bool | None) -> bool | None:
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


def _has_odd_label(rows: Sequence[Row]) -> bool:
    """Whether the first row's label, in the column that repeats itself most, comes only once."""
    first = rows[0].cells
    columns = [[row.cells[index] for row in rows] for index in range(len(first))]
    if len(columns) < 2:
        return False
    longest = max(columns, key=lambda column: sum(map(len, column)))
    others = [column for column in columns if column is not longest]
    varied = [column for column in others if len(set(column)) > 1] or others
    best = min(varied, key=lambda column: len(set(column)))
    return (len(varied) > 1 and len(set(best)) == len(rows)) or best.count(best[0]) == 1


def _stripped(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.strip() for name in names)


# JSON.


def _beginning(source: Source, encoding: str) -> str:
    """The first two characters that are no white space."""
    characters = (character for block in read_source(source, encoding) for character in block)
    return "".join(islice((character for character in characters if not character.isspace()), 2))


def _json_values(source: Source, encoding: str, array: bool) -> Iterator[tuple[str, Any]]:
    if array:
        return ((f"row {number}", value) for number, value in read_array(source, encoding))
    return ((f"line {number}", value) for number, value in read_records(source, encoding))


def _open_json(source: Source, encoding: str, array: bool) -> Table:
    columns: dict[str, None] = {}
    nested: dict[str, tuple[str, str]] = {}
    count = 0
    for place, record in _json_values(source, encoding, array):
        count += 1
        if not isinstance(record, dict):
            raise ChargenError(f"{source.name}, {place}, is not a JSON object: give each example as one")
        for name, value in record.items():
            columns[well_formed(name, f"{source.name}, {place},")] = None
            if isinstance(value, str):
                well_formed(value, f"{source.name}, {place},")
            elif isinstance(value, (dict, list)):
                nested.setdefault(name, (place, "an object" if isinstance(value, dict) else "a list"))
    if not count:
        raise ChargenError(f"{source.name} is empty: name a table with rows")
    return Table(source, encoding, tuple(columns), count, nested=nested, array=array)


# Parquet.


def _open_parquet(source: Source) -> Table:
    try:
        import polars as pl
    except ImportError as error:
        raise ChargenError(
            f"{source.name} needs the polars package: pip install 'chargen[parquet]', or save the table as CSV"
        ) from error

    with _refusing_damage(source):
        frame = _scan_parquet(source)
        schema = frame.collect_schema()
        count = int(frame.select(pl.len()).collect().item())
    nested = {}
    for name, kind in schema.items():
        if kind.is_nested() or kind == pl.Binary:
            thing = "bytes" if kind == pl.Binary else "an object" if isinstance(kind, pl.Struct) else "a list"
            nested[name] = ("row 1", thing)
    return Table(source, "utf-8", tuple(schema), count, nested=nested)


def _parquet_rows(source: Source) -> Iterator[Row]:
    frame = _scan_parquet(source)
    start = 0
    while True:
        with _refusing_damage(source):
            cells = frame.slice(start, SLICE).collect().rows()
        yield from (Row(f"row {number}", list(row)) for number, row in enumerate(cells, start=start + 1))
        start += SLICE
        if len(cells) < SLICE:
            return


def _scan_parquet(source: Source) -> pl.LazyFrame:
    import polars as pl

    if source.path.suffix in COMPRESSED:  # rare, since Parquet compresses within: all of it is held
        return pl.scan_parquet(io.BytesIO(b"".join(source.blocks())))
    return pl.scan_parquet(source.path, glob=False)


@contextmanager
def _refusing_damage(source: Source) -> Iterator[None]:
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        what = str(error).partition("\n")[0]
        raise ChargenError(f"{source.name} is damaged, or no Parquet file at all ({what}): get it again") from error

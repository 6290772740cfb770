"""Tables (CSV, TSV, JSON, Parquet), read row by row in bounded memory.

CSV and JSON are read by Python's own modules, because polars 2.1 pads short rows silently, refuses stray quotation
marks, and turns half a surrogate pair into NUL. Parquet is read by polars rather than pyarrow 26.0.1: a million rows
in slices took 0.4 s against 0.9 s and less memory, and polars has types for mypy. It is imported only when needed,
since it takes 0.16 s (pyarrow 0.08 s), and it is an optional dependency, since it is large.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate, islice, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from chargen.errors import ChargenError
from chargen.text import documents
from chargen.text.delimited import Dialect, find_delimiter, find_dialect, parse, stripped
from chargen.text.documents import check_length, read_array, read_lines, read_records, well_formed
from chargen.text.headers import has_header, is_header_by_content
from chargen.text.sources import Source, read_source

if TYPE_CHECKING:
    import polars as pl

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
SUFFIXES = (*DELIMITERS, *JSON_LINES, ".json", *PARQUET)
MOST_PACKED = 1 << 30  # bytes of a compressed Parquet file, unpacked
SLICE = 20_000  # rows of a Parquet file held at once


class Row(NamedTuple):
    """One row of a table."""

    place: str  # for messages: "line 3" of text files, "row 3" of others
    cells: list[Any]  # one per column


@dataclass(frozen=True)
class Table:
    """A file of rows and named columns; each call of `rows` reads the file again, in bounded memory."""

    source: Source
    encoding: str
    columns: tuple[str, ...]
    count: int  # rows
    header: bool | None = True  # None: names cannot tell, so the columns are called 1, 2, …
    dialect: Dialect | None = None  # None in JSON and Parquet
    nested: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # columns with lists or objects: where, what
    first: tuple[str, ...] = ()  # first row of a text file, perhaps a header
    array: bool = False  # the file is one JSON array
    guessed: bool = False  # the header was found by comparing the first row with the others
    longest: tuple[int, int] = (0, 0)  # first and last line of a text file's longest row, see `delimited.Scan`
    blank: int = 0  # blank lines between the rows of a text file

    @property
    def name(self) -> str:
        """The file, as the user knows it."""
        return self.source.name

    def rows(self) -> Iterator[Row]:
        """Yield the rows; cells are text in text files and values of the file's own types in others."""
        if self.dialect:
            parsed = parse(self.source, self.encoding, self.dialect)
            return (Row(f"line {line}", cells) for line, cells in islice(parsed, 1 if self.header else 0, None))
        if is_parquet(self.source):
            return _parquet_rows(self.source)
        values = _json_values(self.source, self.encoding, self.array)
        return (Row(place, [value.get(column) for column in self.columns]) for place, value in values)


def is_table(source: Source) -> bool:
    """Whether a file holds a table, by its suffix.

    >>> from pathlib import Path
    >>> is_table(Source("a", Path("a.csv.gz"))), is_table(Source("a", Path("a.txt")))
    (True, False)
    """
    return source.plain.suffix.lower() in SUFFIXES


def is_parquet(source: Source) -> bool:
    """Whether a file is Parquet: by its suffix, or by its first bytes if it has no suffix."""
    suffix = source.plain.suffix.lower()
    return suffix in PARQUET or (not suffix and next(source.blocks(size=4), b"") == b"PAR1")


def open_table(
    source: Source, encoding: str = "utf-8", *, wanted: Sequence[str] = (), header: bool | None = None
) -> Table:
    """Open the table in a file, whose form the suffix tells, or the first characters if there is none.

    The whole file is read once.

    Args:
        source: The file.
        encoding: Of a text file.
        wanted: Names of columns. A first row with one of these or a usual name is the header.
        header: Whether similar files had a header; None: unknown.

    Raises:
        ChargenError: The file cannot be parsed, or the table is empty.
    """
    suffix = source.plain.suffix.lower()
    if is_parquet(source):
        return _open_parquet(source)
    start = "" if suffix in DELIMITERS else _beginning(source, encoding)
    if suffix in (*JSON_LINES, ".json") or (not suffix and (start[:1] == "{" or start in ("[{", "[]"))):
        return _open_json(source, encoding, array=start[:1] == "[" and suffix not in JSON_LINES)
    own = DELIMITERS.get(suffix) or ("\t" if "\t" in next(read_lines(source, encoding), "") else ",")
    return _open_delimited(source, encoding, own, wanted, header)


def read_table(
    source: Source,
    encoding: str = "utf-8",
    *,
    wanted: Sequence[str] = (),
    header: bool | None = None,
    strict: bool = True,
) -> tuple[Table, list[Row]]:
    """Read the table in a file and all of its rows as text; arguments and errors as for `open_table`.

    If names cannot tell whether the first row is a header, the rows do; `strict` as for `is_header_by_content`.
    """
    table = open_table(source, encoding, wanted=wanted, header=header)
    rows = [
        Row(row.place, [as_text(cell, f"{table.name}, {row.place},") for cell in row.cells]) for row in table.rows()
    ]
    if table.header is None:
        table = replace(table, header=is_header_by_content([row.cells for row in rows], table.name, strict=strict))
        if table.header:
            table = replace(table, columns=stripped(table.first), count=table.count - 1, guessed=True)
            rows = rows[1:]
    return table, rows


def as_text(value: Any, where: str = "the table") -> str:
    """A cell as text; empty for None and NaN.

    Args:
        value: The cell.
        where: Begins the error's message.

    Raises:
        ChargenError: The text has half a surrogate pair.

    >>> as_text(1.5), as_text(True), as_text(float("nan"))
    ('1.5', 'true', '')
    """
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return well_formed(value, where)
    return json.dumps(value) if isinstance(value, (bool, int, float)) else str(value)


def _open_delimited(source: Source, encoding: str, own: str, wanted: Sequence[str], header: bool | None) -> Table:
    delimiter = find_delimiter(source, encoding, own, wanted)
    dialect, scan = find_dialect(source, encoding, delimiter)
    known = has_header(scan.first, bool(scan.recurring), wanted, header)
    numbers = tuple(str(number) for number in range(1, len(scan.first) + 1))
    return Table(
        source,
        encoding,
        stripped(scan.first) if known else numbers,
        scan.total - 1 if known else scan.total,
        known,
        dialect,
        first=tuple(scan.first),
        longest=scan.longest,
        blank=scan.blank,
    )


def _beginning(source: Source, encoding: str) -> str:
    """The first two characters that are not white space."""
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
    import polars as pl

    frame = _scan_parquet(source)
    lengths = pl.sum_horizontal(pl.lit(0), pl.col(pl.String).str.len_chars().fill_null(0))
    start = 0
    while True:
        with _refusing_damage(source):
            sizes = frame.slice(start, SLICE).select(lengths).collect().to_series().to_list()
        for number, size in enumerate(sizes, start=start + 1):
            check_length(size, f"{source.name}, row {number},")
        end = start + SLICE
        while sizes:
            count = _count_within(sizes, documents.LONGEST)
            with _refusing_damage(source):
                cells = frame.slice(start, count).collect().rows()
            yield from (Row(f"row {number}", list(row)) for number, row in enumerate(cells, start=start + 1))
            start, sizes = start + count, sizes[count:]
        if start < end:
            return


def _count_within(sizes: Sequence[int], most: int) -> int:
    """How many of the first rows are together no larger than `most`, but at least one."""
    sums = accumulate(sizes)
    return max(1, sum(1 for _ in takewhile(lambda total: total <= most, sums)))


def _scan_parquet(source: Source) -> pl.LazyFrame:
    import polars as pl

    if source.compressed:  # rare, since Parquet itself compresses; held in memory whole
        content = io.BytesIO()
        for block in source.blocks():
            content.write(block)
            if content.tell() > MOST_PACKED:
                raise ChargenError(
                    f"{source.name} has more than {MOST_PACKED:,} bytes when it is unpacked, the most that is held "
                    "in memory: unpack it into a file, and name that"
                )
        return pl.scan_parquet(content.getvalue())
    return pl.scan_parquet(source.path, glob=False)


@contextmanager
def _refusing_damage(source: Source) -> Iterator[None]:
    """Turn the errors of polars into a ChargenError."""
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        what = str(error).partition("\n")[0]
        raise ChargenError(f"{source.name} is damaged, or no Parquet file at all ({what}): get it again") from error

"""Find a table's text and label columns: as named by the user, by usual names, or by content."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chargen.errors import ChargenError
from chargen.text.headers import LABEL_NAMES, NUMBER, TEXT_NAMES
from chargen.text.sources import Source
from chargen.text.tables import DELIMITERS, Row, Table, as_text, open_table

NAMES_SHOWN = 12
LONG_ROW = 10  # lines of a row with a delimiter in a cell, from which on a stray quotation mark is likely
LIST = re.compile(r"""\[\s*(?:["'].*["']|[-+.,\s\d]*)\s*\]""", re.DOTALL)  # a list that was written into a cell


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read, as a run records them."""

    text: tuple[str, ...]  # several are joined by a line break
    label: str
    header: bool = True  # without a header, columns are called 1, 2, …
    delimiter: str | None = None  # None in JSON and Parquet


def names_of(given: str | Iterable[str] | None) -> tuple[str, ...]:
    """Column names as a tuple, whether given as one name, several or none.

    >>> names_of("text"), names_of(["title", "body"]), names_of(None)
    (('text',), ('title', 'body'), ())
    """
    return (given,) if isinstance(given, str) else tuple(given or ())


def find_columns(
    table: Table, rows: Sequence[Row], text: Sequence[str] = (), label: str | None = None, *, strict: bool = True
) -> Columns:
    """Find the text and label columns by the given names, else by usual names, else by content.

    The names `text` and `label` win over other usual names. By content, a column can hold labels if it has at least
    two values and each occurs twice on average; failing that, if any value occurs twice. The longest of the other
    columns holds the texts; it must be at least twice as long as the next.

    Args:
        table: The table.
        rows: All of its rows, as text.
        text: Names of the text columns; none: find one.
        label: Name of the label column; None: find it.
        strict: Refuse to choose between columns that fit equally well. Otherwise take the first usual name, the
            longest text, the fewest label values.

    Raises:
        ChargenError: A column is absent or holds lists or objects, or several columns fit equally well.
    """
    if len(table.columns) < 2:
        raise ChargenError(f"{table.name} has only one column, but needs one of texts and one of labels")
    label_index = _named(table, names_of(label), "label") or _usual(table, LABEL_NAMES, "label", strict)
    text_index = _named(table, text, "text") or _usual(table, TEXT_NAMES, "text", strict)
    values = [[row.cells[index] for row in rows] for index in range(len(table.columns))]
    plain = [index for index, name in enumerate(table.columns) if name not in table.nested]
    candidates = plain if len(plain) > 1 else list(range(len(table.columns)))
    if not text_index:
        others = [index for index in candidates if index not in label_index]
        text_index = [_text_by_content(table, values, others, strict)]
    if not label_index:
        others = [index for index in candidates if index not in text_index]
        label_index = [_label_by_content(table, values, others, strict)]
    names = [table.columns[index] for index in (*text_index, *label_index)]
    _refuse_unclear(table, names[:-1], names[-1])
    labels = [cell.strip() for cell in values[label_index[0]] if cell.strip()]
    if strict and labels and all(map(LIST.fullmatch, labels)):
        raise ChargenError(
            f"the labels in {names[-1]!r} of {table.name} are lists, such as {labels[0][:40]}: several labels per "
            "text are not supported, so name another column with --label-column, or write one label into each cell"
        )
    return Columns(tuple(names[:-1]), names[-1], bool(table.header), table.dialect and table.dialect.delimiter)


def open_texts(
    source: Source, encoding: str, named: Sequence[str] = (), columns: Columns | None = None
) -> tuple[Table, list[int]]:
    """Open a table, labelled or not, and find its text columns.

    Args:
        source: The table's file.
        encoding: Of a text file.
        named: Names of the text columns.
        columns: Columns that a run recorded, used if `named` is empty. Without either, the column with a usual name
            or the only column is taken.

    Returns:
        The table and the indices of its text columns.

    Raises:
        ChargenError: There is no such column.
    """
    wanted = tuple(named) or (columns.text if columns else ())
    known = columns.header if columns and not named else None
    table = open_table(source, encoding, wanted=wanted, header=known)
    indices = _named(table, wanted, "text") or _usual(table, TEXT_NAMES, "text", strict=True)
    if not indices and table.header and len(table.columns) == 1:
        indices = [0]
    if not indices:
        raise _not_found(table, "texts", "text")
    _refuse_unclear(table, [table.columns[index] for index in indices], None)
    return table, indices


def row_text(cells: Sequence[Any], indices: Sequence[int]) -> str:
    r"""Join the cells at `indices` by line breaks, leaving out blank ones.

    >>> row_text(["Title", " ", "Body", "pos"], [0, 1, 2])
    'Title\nBody'
    """
    return "\n".join(text for text in (as_text(cells[index]) for index in indices) if text.strip())


def reading_note(table: Table, columns: Columns) -> str:
    """Say in a sentence which columns are read."""
    texts = " and ".join(map(repr, columns.text))
    details = []
    if columns.delimiter and columns.delimiter != DELIMITERS.get(table.source.plain.suffix.lower()):
        details.append(f"delimiter {'tab' if columns.delimiter == chr(9) else columns.delimiter}")
    if not columns.header:
        details.append("no header, so columns are numbered")
    if table.guessed:
        details.append("the first row names the columns")
    if table.dialect and not table.dialect.quoted:
        details.append("quotation marks are part of the cells")
    start, stop = table.longest
    if stop - start >= LONG_ROW:
        details.append(f"one row goes on from line {start:,} to {stop:,}: is a quotation mark missing or too many?")
    plural = "s" if len(columns.text) > 1 else ""
    unread = [repr(name) for name in table.columns if name not in (*columns.text, columns.label)]
    more = ", …" if len(unread) > NAMES_SHOWN else ""
    return (
        f"reading text from column{plural} {texts} and labels from {columns.label!r}"
        + (f", leaving out {', '.join(unread[:NAMES_SHOWN])}{more}" if unread else "")
        + (f" ({', '.join(details)})" if details else "")
    )


def _named(table: Table, given: Sequence[str], what: str) -> list[int]:
    for name in given:
        if name not in table.columns:
            raise ChargenError(
                f"{table.name} has no column {name!r}: name one of {_listed(table.columns)} with --{what}-column"
            )
    return [table.columns.index(name) for name in given]


def _usual(table: Table, usual: Sequence[str], what: str, strict: bool) -> list[int]:
    """The column with a usual name. The first usual name wins; if `strict`, the others must not compete."""
    names = [name.strip().casefold() for name in table.columns]
    found = [index for name in usual for index, own in enumerate(names) if own == name]
    best = [index for index in found if names[index] == usual[0]]
    if len(best or found) > 1 and strict:
        raise _equal(table, best or found, what)
    return found[:1]


def _text_by_content(table: Table, values: Sequence[Sequence[str]], others: Sequence[int], strict: bool) -> int:
    lengths = [sum(map(len, column)) for column in values]
    if strict:
        others = [index for index in others if not _repeats(values[index])] or others
    longest = max(others, key=lengths.__getitem__)
    close = [index for index in others if 2 * lengths[index] > lengths[longest]]
    if strict and len(close) > 1:
        raise _equal(table, close, "text")
    return longest


def _label_by_content(table: Table, values: Sequence[Sequence[str]], others: Sequence[int], strict: bool) -> int:
    varied = [index for index in others if len(set(values[index])) > 1] or others
    repeating = [index for index in varied if _repeats(values[index])]
    repeating = [index for index in repeating if not _is_measured(values[index])] or repeating
    fitting = repeating or [index for index in varied if len(set(values[index])) < len(values[index])]
    if len(fitting) > 1 and strict:
        raise _equal(table, fitting, "label")
    if not fitting and len(varied) > 1:
        raise _not_found(table, "labels", "label")
    return min(fitting if strict and fitting else varied, key=lambda index: len(set(values[index])))


def _is_measured(column: Sequence[str]) -> bool:
    """Whether the cells are numbers and some have decimals: measurements, not labels."""
    cells = [cell.strip() for cell in column if cell.strip()]
    return all(map(NUMBER.fullmatch, cells)) and any("." in cell or "," in cell for cell in cells)


def _repeats(column: Sequence[str]) -> bool:
    return 2 <= len(set(column)) <= len(column) / 2


def _refuse_unclear(table: Table, texts: Sequence[str], label: str | None) -> None:
    """Refuse columns that occur twice, are nested, or serve as both text and label."""
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


def _not_found(table: Table, things: str, what: str) -> ChargenError:
    names = table.first if table.header is None else table.columns
    return ChargenError(
        f"cannot tell which column of {table.name} has the {things}: name one of {_listed(names)} "
        f"with --{what}-column"
    )


def _listed(names: Sequence[str]) -> str:
    shown = [name if len(name) <= 40 else name[:39] + "…" for name in names[:NAMES_SHOWN]]
    return ", ".join(name.replace("\n", " ") for name in shown) + (", …" if len(names) > NAMES_SHOWN else "")

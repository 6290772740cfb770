"""Whether the first row of a table names its columns."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chargen.errors import ChargenError

TEXT_NAMES = ("text", "sentence", "document", "content", "review", "comment", "message", "body", "x")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "y")
NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?(e[-+]?\d+)?", re.IGNORECASE)
NAME_LENGTH, NAME_WORDS = 40, 3  # at most, in the name of a column
TEXTS_LIKE_NAMES = 0.1  # from this share of the texts on, a first cell like a name tells nothing


def has_header(first: Sequence[str], recurring: bool, wanted: Sequence[str], known: bool | None) -> bool | None:
    """Whether the first row names the columns; None if names cannot tell.

    Args:
        first: Cells of the first row.
        recurring: Whether one of them occurs again in its column, unlike a name.
        wanted: Names of columns that a user or a run gave.
        known: Whether files read before had a header; None: unknown.

    >>> has_header(["text", "label"], False, (), None)
    True
    """
    names = [name.strip().casefold() for name in first]
    if any(name in (*TEXT_NAMES, *LABEL_NAMES) for name in names) and not recurring:
        return True
    numbers = [str(number) for number in range(1, len(names) + 1)]
    if known or not set(wanted) <= set(numbers):
        return True
    if known is False:
        return False
    if wanted:  # all are numbers: of columns without a header, unless the header itself has numbers
        return set(wanted) <= set(names) and all(name.isdigit() or not name for name in names)
    return None


def is_header_by_content(rows: Sequence[Sequence[str]], name: str, *, strict: bool) -> bool:
    """Whether the first row names the columns, judged by the other rows.

    It does not if another row has its label. The label column is the one with the fewest values. A label that occurs
    once may also be that of an example. Then the first row is a header if its cells look like names and those below
    do not, since they are numbers, longer, or of other case.

    Args:
        rows: All rows, as text.
        name: Of the table, for messages.
        strict: Refuse a table that could be either. Otherwise its first row is a header, as in old runs.

    Raises:
        ChargenError: The table could be either.

    >>> is_header_by_content([["aim", "words"], ["x", "so it goes on"], ["y", "all is well now"]], "", strict=True)
    True
    """
    first, columns = rows[0], list(zip(*rows, strict=True))
    if len(columns) < 2:
        return False
    texts = max(columns, key=lambda column: sum(map(len, column)))
    others = [column for column in columns if column is not texts]
    varied = [column for column in others if len(set(column)) > 1] or others
    labels = min(varied, key=lambda column: len(set(column)))
    is_odd = (len(varied) > 1 and len(set(labels)) == len(rows)) or labels.count(labels[0]) == 1
    if not (is_odd and strict):
        return is_odd
    if any(map(_is_number, first)) or not _is_name(texts[0]):
        return False
    if any(_is_above_others(column) for column in columns):
        return True
    if sum(map(_is_name, texts[1:])) < TEXTS_LIKE_NAMES * len(texts[1:]):
        return True
    shown, number = labels[0].strip(), columns.index(labels) + 1
    raise ChargenError(
        f"cannot tell whether the first row of {name} ({', '.join(first)[:80]}) names the columns or is an example: "
        f"name the column of the labels, with --label-column {shown!r} in the first case, {number} in the second"
    )


def _is_number(cell: str) -> bool:
    return bool(NUMBER.fullmatch(cell.strip()))


def _is_above_others(column: Sequence[str]) -> bool:
    """Whether the first cell is above numbers, or above cells that are all of other case."""
    first, others = _case(column[0]), set(map(_case, column[1:]))
    return all(map(_is_number, column[1:])) or (any(first) and first not in others)


def _case(cell: str) -> tuple[bool, bool, bool]:
    return cell.islower(), cell.isupper(), cell.strip()[:1].isupper()


def _is_name(cell: str) -> bool:
    """Whether a cell could be the name of a column: a few words that do not end like a sentence."""
    cell = cell.strip()
    return len(cell) <= NAME_LENGTH and len(cell.split()) <= NAME_WORDS and not cell.endswith((".", "!", "?"))

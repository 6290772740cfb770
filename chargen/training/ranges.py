"""The types and values that options may have, declared beside their fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, field
from typing import Any

from chargen.errors import ChargenError


@dataclass(frozen=True)
class Range:
    """A set of values that an option may have."""

    fits: Callable[[Any], bool]
    described: str  # completes the sentence "must be …"


LARGEST = 10**12  # so that no product or quotient of options overflows
AT_LEAST_ONE = Range(lambda value: 1 <= value <= LARGEST, f"from 1 to {LARGEST:,}")  # these reject NaN too
POSITIVE = Range(lambda value: 1 / LARGEST <= value <= LARGEST, f"a number from {1 / LARGEST:g} to {LARGEST:,}")
AMOUNT = Range(lambda value: 0 <= value <= LARGEST, f"a number from 0 to {LARGEST:,}")
NOT_NEGATIVE = Range(lambda value: value >= 0, "at least 0")
FRACTION = Range(lambda value: 0 <= value < 1, "at least 0 and below 1")


def one_of(*names: str) -> Range:
    """The range of an option that has one of these names.

    >>> one_of("gru", "lstm").fits("rnn")
    False
    """
    return Range(lambda value: value in names, f"one of {', '.join(names)}")


def option(values: Range, default: Any = None) -> Any:
    """A dataclass field that has a range, and a default of None or another."""
    return field(default=default, metadata={"range": values})


def check_range(declared: Field[Any], value: Any) -> None:
    """Raise ChargenError if a value is outside its field's range; None is always allowed."""
    values: Range | None = declared.metadata.get("range")
    if values is None or value is None or values.fits(value):
        return
    name = declared.name.replace("_", " ")
    if isinstance(value, str):
        raise ChargenError(f"unknown {name} {value!r}: choose {values.described}")
    raise ChargenError(f"{name} is {value}, but must be {values.described}")

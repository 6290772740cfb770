"""The types and values that options may have, declared beside their fields."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np

from chargen.errors import ChargenError


@dataclass(frozen=True)
class Range:
    """A set of values that an option may have."""

    fits: Callable[[Any], bool]
    described: str  # completes the sentence "must be …"


AT_LEAST_ONE = Range(lambda value: value >= 1, "at least 1")
POSITIVE = Range(lambda value: 0 < value < math.inf, "a number more than 0")  # rejects NaN too
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


def as_declared(declared: Field[Any], value: Any) -> Any:
    """Convert a value to the type that its field declares.

    Accepts one string where several are declared, a path for its name, and NumPy's numbers and booleans for Python's.

    Args:
        declared: A field whose annotation is one of str, int, float, bool or tuple[str, ...], or that or None.
        value: The value given.

    Raises:
        ChargenError: The value has another type.
    """
    kinds = str(declared.type).split(" | ")
    if value is None and "None" in kinds:
        return None
    if kinds[0].startswith("tuple"):
        several = (value,) if isinstance(value, str | os.PathLike) else value
        if isinstance(several, Iterable):
            parts = [str(part) if isinstance(part, os.PathLike) else part for part in several]
            if all(isinstance(part, str) for part in parts):
                return tuple(parts)
    if kinds[0] == "str" and isinstance(value, str | os.PathLike):
        return str(value)
    if kinds[0] == "bool" and isinstance(value, bool | np.bool_):
        return bool(value)
    if not isinstance(value, bool):
        if kinds[0] == "int" and isinstance(value, Integral):
            return int(value)
        if kinds[0] == "float" and isinstance(value, Real):
            return int(value) if isinstance(value, Integral) else float(value)
    wanted = {"bool": "True or False", "int": "a whole number", "float": "a number", "str": "a text"}
    raise ChargenError(
        f"{declared.name.replace('_', ' ')} is {value!r}, but must be {wanted.get(kinds[0], 'a sequence of texts')}"
    )

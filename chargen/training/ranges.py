"""The type and the values that an option may have, declared beside its field."""

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
    """The values that an option may have."""

    fits: Callable[[Any], bool]
    described: str  # as in "must be …"


AT_LEAST_ONE = Range(lambda value: value >= 1, "at least 1")
POSITIVE = Range(lambda value: 0 < value < math.inf, "a number more than 0")  # rejects NaN too
NOT_NEGATIVE = Range(lambda value: value >= 0, "0 or above")
SHARE = Range(lambda value: 0 <= value < 1, "a share from 0 to below 1")


def one_of(*names: str) -> Range:
    """The range of an option that names one of a few things."""
    return Range(lambda value: value in names, f"one of {', '.join(names)}")


def option(values: Range, default: Any = None) -> Any:
    """A field whose values have a range."""
    return field(default=default, metadata={"range": values})


def check_range(declared: Field[Any], value: Any) -> None:
    """ChargenError for a value that its field does not allow."""
    values: Range | None = declared.metadata.get("range")
    if values is None or value is None or values.fits(value):
        return
    name = declared.name.replace("_", " ")
    if isinstance(value, str):
        raise ChargenError(f"unknown {name} {value!r}: choose {values.described}")
    raise ChargenError(f"{name} is {value}, but must be {values.described}")


def as_declared(declared: Field[Any], value: Any) -> Any:
    """A field's value in the type that its annotation declares; ChargenError where it has another.

    One text will do for several, a path for its name, and NumPy's numbers for Python's.
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

"""Values as their types are declared, where a person gave them: from Python, or in a file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

import numpy as np

from chargen.errors import ChargenError


def as_declared(name: str, declared: str, value: Any) -> Any:
    """Convert a value to the type that is declared for it.

    Accepts one string where several are declared, a path for its name, and NumPy's numbers and booleans for Python's.

    Args:
        name: Of the value, for messages.
        declared: One of str, int, float, bool or tuple[str, ...], or that and "| None".
        value: The value given.

    Raises:
        ChargenError: The value has another type, or is a whole number of more than 64 bits.

    >>> as_declared("length", "int", np.int64(3)), as_declared("stop", "tuple[str, ...]", "end")
    (3, ('end',))
    """
    kinds = declared.split(" | ")
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
        if kinds[0] in ("int", "float") and isinstance(value, Integral):
            whole = int(value)
            if not -(1 << 63) <= whole < 1 << 63:  # what torch takes
                raise ChargenError(f"{name.replace('_', ' ')} is a number of more than 64 bits: give a smaller one")
            return whole
        if kinds[0] == "float" and isinstance(value, Real):
            return float(value)
    wanted = {"bool": "True or False", "int": "a whole number", "float": "a number", "str": "a text"}
    raise ChargenError(
        f"{name.replace('_', ' ')} is {value!r}, but must be {wanted.get(kinds[0], 'a sequence of texts')}"
    )


def check_names(given: Iterable[str], known: Iterable[str], *, renamed: dict[str, str] | None = None) -> None:
    """Raise ChargenError for a name that is not known, with the nearest one that is.

    Args:
        given: Names of settings.
        known: Those that there are.
        renamed: What names that have gone are called now.

    >>> check_names(["top_k"], ["top_k", "top_p"])
    """
    known = list(known)
    for name in given:
        if name in known:
            continue
        nearest = (renamed or {}).get(name) or next(iter(get_close_matches(name, known, 1)), None)
        hint = f": is {nearest} meant?" if nearest in known else f": there are {', '.join(known)}"
        raise ChargenError(f"there is no option {name}{hint}")

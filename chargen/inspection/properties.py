"""Properties of a text that can be computed from it, character by character.

A value stands for what is so after a character was read. Some need the text that follows: a quotation mark opens
only if another one closes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]  # one per character; 0 or 1 for what is or is not

QUOTES = re.compile(
    r'''"""(?:.|\n)*?"""'''  # a string of three quotation marks
    r"|'''(?:.|\n)*?'''"
    r'|"(?:\\.|[^"\\\n]|\n(?!\n))*"|“[^”]*”'  # within a paragraph
    r"|(?<!\w)'(?:\\.|[^'\\\n])*'(?!\w)"  # within a line; but an apostrophe is none
)
COMMENT = re.compile(r"/\*(?:.|\n)*?\*/|<!--(?:.|\n)*?-->|(?:#|(?<!:)//)[^\n]*")
TAG = re.compile(r"</?[A-Za-z][^<>\n]*>")
SPEAKER = re.compile(r"^[A-Z][\w .'-]{0,40}:(?=\n)", re.MULTILINE)
WORD_START = re.compile(r"(?<!\w)\w")
OPENING, CLOSING = "([{", ")]}"


@dataclass(frozen=True)
class Property:
    """Something that a unit may tell."""

    name: str
    is_number: bool  # measured by R²; else by AUC
    of: Callable[[str], Values]


def inside(pattern: re.Pattern[str], margin: int = 0) -> Callable[[str], Values]:
    r"""A property: whether a character is within a match, and not among the last `margin` ones.

    >>> inside(QUOTES, 1)('a "b" c').tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """

    def of(text: str) -> Values:
        values = np.zeros(len(text))
        for match in pattern.finditer(text):
            values[match.start() : match.end() - margin] = 1
        return values

    return of


def each(is_so: Callable[[str], bool]) -> Callable[[str], Values]:
    """A property of single characters."""
    return lambda text: np.array([is_so(character) for character in text], np.float64)


def bracket_depth(text: str) -> Values:
    r"""How many brackets are open; none after an empty line, so that a single bracket does no lasting harm.

    >>> bracket_depth("a(b[c])").tolist()
    [0.0, 1.0, 1.0, 2.0, 2.0, 1.0, 0.0]
    """
    depth, values, before = 0, [], ""
    for character in text:
        if character == before == "\n":
            depth = 0
        depth += (character in OPENING) - (character in CLOSING and depth > 0)
        values.append(depth)
        before = character
    return np.array(values, np.float64)


def position_in_line(text: str) -> Values:
    r"""How many characters of the line were read.

    >>> position_in_line("ab\nc").tolist()
    [1.0, 2.0, 0.0, 1.0]
    """
    places = np.arange(len(text))
    breaks = np.where(_is_break(text), places, -1)
    return (places - np.maximum.accumulate(breaks)).astype(np.float64) if text else np.zeros(0)


def indentation(text: str) -> Values:
    r"""How many spaces and tabs the line began with, as far as it was read.

    >>> indentation("  a b\nc").tolist()
    [1.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0]
    """
    values, width, in_margin = [], 0, True
    for character in text:
        if character == "\n":
            width, in_margin = 0, True
        elif in_margin and character in " \t":
            width += 1
        else:
            in_margin = False
        values.append(width)
    return np.array(values, np.float64)


def _is_break(text: str) -> npt.NDArray[np.bool_]:
    return np.array([character == "\n" for character in text], bool)


PROPERTIES = (
    Property("inside quotes", False, inside(QUOTES, 1)),
    Property("inside a comment", False, inside(COMMENT)),
    Property("inside a tag", False, inside(TAG, 1)),
    Property("speaker of a play", False, inside(SPEAKER)),
    Property("start of a word", False, inside(WORD_START)),
    Property("upper case", False, each(str.isupper)),
    Property("digit", False, each(str.isdigit)),
    Property("bracket depth", True, bracket_depth),
    Property("position in line", True, position_in_line),
    Property("indentation", True, indentation),
)

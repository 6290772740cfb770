"""Helpers of commands that write text to standard output."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# C0 but for tab and line break, DEL, C1, and what turns the direction of writing.
CONTROLS = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End quietly when the reader of standard output, such as `head`, closes the pipe."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit fails


def escape(text: str) -> str:
    r"""Write line breaks, tabs and backslashes as `\n`, `\t` and `\\`, so that a text fits on one line.

    >>> print(escape("two\tlines\n"))
    two\tlines\n
    """
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def unescape(text: str) -> str:
    r"""Undo `escape`, for line breaks and tabs that are hard to type in a shell.

    >>> unescape(escape("a\\b\n")) == "a\\b\n"
    True
    """
    return re.sub(r"\\([nt\\])", lambda match: {"n": "\n", "t": "\t"}.get(match[1], "\\"), text)


def show_anything() -> None:
    """Make standard input and output replace characters that they cannot decode or encode, instead of failing."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def visible(text: str) -> str:
    r"""A text with its control characters spelled out, so that it cannot steer a terminal.

    >>> print(visible("a\x07b\x1b[2J\n"), end="")
    a\x07b\x1b[2J
    """
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def for_reader(raw: bool = False) -> Callable[[str], str]:
    """What is done to text before it goes to standard output: a terminal gets `visible` text, all others any."""
    return visible if sys.stdout.isatty() and not raw else str


def json_line(record: Any, default: Callable[[Any], Any] | None = None) -> str:
    r"""A JSON object on a line, without characters that steer a terminal; `default` writes what JSON has no type for.

    >>> json_line({"text": "é\x7f"})
    '{"text": "é\\u007f"}\n'
    """
    written = json.dumps(record, ensure_ascii=False, default=default)
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", written) + "\n"

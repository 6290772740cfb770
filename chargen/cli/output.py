"""What commands that write text share."""

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
    """End quietly when what reads standard output, such as `head`, has had enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit


def escape(text: str) -> str:
    r"""The text with line breaks, tabs and backslashes as `\n`, `\t` and `\\`, so that it fits on a line."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def unescape(text: str) -> str:
    r"""The text with `\n`, `\t` and `\\` as line break, tab and backslash, which are hard to type in a shell."""
    return re.sub(r"\\([nt\\])", lambda found: {"n": "\n", "t": "\t"}.get(found[1], "\\"), text)


def show_anything() -> None:
    """Let standard input and output replace what they cannot read or show, so that it does not end the text."""
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

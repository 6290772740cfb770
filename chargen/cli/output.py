"""What commands that write text share."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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

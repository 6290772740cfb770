"""What commands say: answers and JSON on standard output, messages on standard error, in any encoding."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

# C0 but for tab and line break, DEL, C1, and what turns the direction of writing.
CONTROLS = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")
SURROGATES = re.compile("[\\ud800-\\udfff]")  # bytes of file names that are no UTF-8; no encoding has them
REPLACE = "chargen-replace"  # what is done to characters that standard output cannot hold


@contextmanager
def standard_streams() -> Iterator[None]:
    """Let the standard streams take any text, whatever their encoding, and be there though the shell closed them.

    What standard output cannot hold is written as `?`, and counted on standard error at the end.
    """
    replaced = 0

    def replace(error: UnicodeError) -> tuple[str, int]:
        nonlocal replaced
        if not isinstance(error, UnicodeEncodeError):
            raise error
        replaced += error.end - error.start
        return "?" * (error.end - error.start), error.end

    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed: this file gets its number, so that none of ours does later
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    codecs.register_error(REPLACE, replace)
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, REPLACE)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    try:
        yield
    finally:
        if replaced:
            advice = "" if _is_utf8() else " (PYTHONIOENCODING=utf-8 has all)"
            tell(f"written as ?, since {sys.stdout.encoding} does not have them: {replaced:,} characters{advice}")
        try:
            sys.stdout.flush()
        except OSError:  # which has been said
            _discard_output()


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End quietly when the reader of standard output, such as `head`, closes the pipe."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()


def _discard_output() -> None:
    """Send what standard output still holds nowhere, or Python's own flush at the end fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def echo(line: str = "") -> None:
    """Write a line of an answer to standard output; at a terminal it is `visible`."""
    click.echo(for_reader()(line), file=sys.stdout)


def tell(message: str = "", *, nl: bool = True) -> None:
    """Write a message for a person to standard error; `nl`: with a line break."""
    click.echo(visible(message), file=sys.stderr, nl=nl)


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


def visible(text: str) -> str:
    r"""A text with its control characters spelled out, so that it cannot steer a terminal.

    >>> print(visible("a\x07b\x1b[2J\n"), end="")
    a\x07b\x1b[2J
    """
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def for_reader(raw: bool = False) -> Callable[[str], str]:
    """What is done to text before it goes to standard output: a terminal gets `visible` text, all others any."""
    return visible if sys.stdout.isatty() and not raw else str


def to_json(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    r"""A value as JSON for standard output: ASCII unless that is UTF-8, and without what steers a terminal.

    Args:
        value: Its strings may be any, names of files too.
        default: Converts what JSON has no type for.

    >>> to_json({"text": "é\x7f", "file": "\udcff"})
    '{"text": "é\\u007f", "file": "\\udcff"}'
    """
    written = json.dumps(value, ensure_ascii=not _is_utf8(), default=default)
    for unwelcome in (CONTROLS, SURROGATES):
        written = unwelcome.sub(lambda found: f"\\u{ord(found[0]):04x}", written)
    return written


def json_line(record: Any, default: Callable[[Any], Any] | None = None) -> str:
    """`to_json` on a line of its own."""
    return to_json(record, default) + "\n"


def _is_utf8() -> bool:
    """Whether standard output is UTF-8; a stream in memory has no encoding and holds any text."""
    return codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"

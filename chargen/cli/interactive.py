"""`chargen sample --interactive` and `--co-write`: a person and a model write in turns."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from chargen.errors import ChargenError

if TYPE_CHECKING:
    from chargen.generation.session import Session

SUGGESTIONS = 5
LONGEST_SUGGESTION = 16  # characters
HELP = "a number takes what it stands for, Enter the first; other text is yours; Ctrl-D ends"


def talk(session: Session, prompt: str, length: int, stop: tuple[str, ...]) -> None:
    """Read a line, go on from it, and so on until there are no more; the model remembers all of it."""
    line_break = "" if session.tokenizer.unknown("\n") else "\n"
    for line in _lines("> ", prompt):
        if not _read(session, line + line_break):
            continue
        text = ""
        for piece in session.write(length, stop):
            sys.stdout.write(piece)
            sys.stdout.flush()
            text += piece
        if not text.endswith("\n"):
            sys.stdout.write("\n")
            session.read(line_break)
        sys.stdout.flush()


def co_write(session: Session, prompt: str) -> None:
    """Show the likeliest next pieces with their probabilities, take the person's choice or text, and so on.

    The text they wrote goes to standard output in the end.
    """
    click.echo(HELP, err=True)
    text = prompt
    if prompt and not _read(session, prompt):
        text = ""
    while True:
        suggestions = session.suggest(SUGGESTIONS, LONGEST_SUGGESTION)
        click.echo(f"\n{text[-200:]}▏", err=True)
        for number, one in enumerate(suggestions, start=1):
            click.echo(f"  {number}  {math.exp(one.log_probability):6.1%}  {one.text!r}", err=True)
        try:
            answer = next(_lines("+ ", ""))
        except StopIteration:
            break
        chosen = answer or "1"
        if chosen.isdecimal() and 1 <= int(chosen) <= len(suggestions):
            addition = suggestions[int(chosen) - 1].text
        else:
            addition = answer
        if addition and _read(session, addition):
            text += addition
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def _read(session: Session, text: str) -> bool:
    """Whether the model can read a text; if not, it says why."""
    try:
        session.read(text)
    except ChargenError as error:
        click.echo(str(error), err=True)
        return False
    return True


def _lines(sign: str, first: str) -> Iterator[str]:
    """The lines that a person types, after a first one if it is given."""
    if first:
        yield first
    while True:
        click.echo(sign, nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            click.echo(err=True)
            return
        yield line.removesuffix("\n")

"""A person and a model write in turns, by lines or by choosing."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from chargen.cli.output import for_reader, unescape
from chargen.errors import ChargenError
from chargen.generation.generate import check_turn

if TYPE_CHECKING:
    from chargen.generation.session import Session

SUGGESTIONS = 5
LONGEST_SUGGESTION = 16  # characters
HELP = r"a number takes what it stands for, Enter the first; other text is yours (\n: line break, \1: 1); Ctrl-D ends"


def talk(session: Session, prompt: str, length: int, stop: tuple[str, ...], line_break: str) -> None:
    """Read a line, go on from it, and so on until there are no more; the model remembers all of it.

    line_break: what the model reads after a line of the person's, and after a turn of its own that does not end with
    one. Ctrl-C ends a turn; between turns, all. ChargenError for a length, a stop text or a prompt that cannot be.
    """
    check_turn(length, stop)
    if prompt:
        session.read(prompt + line_break)
        _turn(session, length, stop, line_break)
    for line in _lines("> "):
        if _read(session, line + line_break):
            _turn(session, length, stop, line_break)


def _turn(session: Session, length: int, stop: tuple[str, ...], line_break: str) -> None:
    """The model's part, as it is written."""
    text, shown = "", for_reader()
    try:
        for piece in session.write(length, stop):
            text += piece
            sys.stdout.write(shown(piece))
            sys.stdout.flush()
    except KeyboardInterrupt:
        click.echo(err=True)
    if not text.endswith("\n"):
        sys.stdout.write("\n")
    if not session.begins_line:
        session.read(line_break)
    sys.stdout.flush()


def co_write(session: Session, prompt: str) -> None:
    """Show the likeliest next pieces with their probabilities, take the person's choice or text, and so on.

    The text they wrote goes to standard output in the end, even if that is Ctrl-C. ChargenError for a prompt that the
    model cannot read.
    """
    session.read(prompt)
    click.echo(HELP, err=True)
    text = prompt
    try:
        while (addition := _addition(session, text)) is not None:
            if _read(session, addition):
                text += addition
    finally:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()


def _addition(session: Session, text: str) -> str | None:
    """What the person adds to the text, chosen or typed; None when they end it."""
    suggestions = session.suggest(SUGGESTIONS, LONGEST_SUGGESTION)
    click.echo(f"\n{text[-200:]}▏", err=True)
    for number, one in enumerate(suggestions, start=1):
        click.echo(f"  {number}  {math.exp(one.log_prob):6.1%}  {one.text!r}", err=True)
    answer = next(_lines("+ "), None)
    if answer is None:
        return None
    chosen = answer or "1"
    if chosen.isdecimal() and 1 <= int(chosen) <= len(suggestions):
        return suggestions[int(chosen) - 1].text
    return answer[1:] if answer[:1] == "\\" and answer[1:].isdecimal() else unescape(answer)


def _read(session: Session, text: str) -> bool:
    """Whether the model can read a text; if not, it says why."""
    try:
        session.read(text)
    except ChargenError as error:
        click.echo(str(error), err=True)
        return False
    return True


def _lines(sign: str) -> Iterator[str]:
    """The lines that a person types."""
    while True:
        click.echo(sign, nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            click.echo(err=True)
            return
        yield line.removesuffix("\n")

"""The user and a model write a text in turns, either line by line or by choosing the next piece."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from chargen.cli.output import for_reader, tell, unescape
from chargen.errors import ChargenError
from chargen.generation.generate import check_turn

if TYPE_CHECKING:
    from chargen.generation.session import Session

SUGGESTIONS = 5  # shown at once
LONGEST_SUGGESTION = 16  # characters
HELP = r"type a number to take that piece, Enter for the first, or your own text (\n: line break, \1: 1); Ctrl-D ends"


def talk(session: Session, prompt: str, length: int, stop: tuple[str, ...], line_break: str) -> None:
    """Read a line from the user, let the model continue, and so on until the input ends.

    Ctrl-C ends the model's turn, or between turns the command.

    Args:
        session: Remembers everything that both wrote.
        prompt: The user's first line; if empty, it is read too.
        length: Most characters in a turn of the model.
        stop: Texts that end a turn.
        line_break: What the model reads after a line of the user, and after its own turn if it ends within a line.

    Raises:
        ChargenError: The length or a stop text is out of range, or the model cannot read the prompt.
    """
    check_turn(length, stop)
    if prompt:
        session.read(prompt + line_break)
        _turn(session, length, stop, line_break)
    for line in _lines("> "):
        if _read(session, line + line_break):
            _turn(session, length, stop, line_break)


def _turn(session: Session, length: int, stop: tuple[str, ...], line_break: str) -> None:
    """Let the model write its part, and show it as it is drawn."""
    text, shown = "", for_reader()
    try:
        for piece in session.write(length, stop):
            text += piece
            sys.stdout.write(shown(piece))
            sys.stdout.flush()
    except KeyboardInterrupt:
        tell()
    if not text.endswith("\n"):
        sys.stdout.write("\n")
    if not session.begins_line:
        session.read(line_break)
    sys.stdout.flush()


def co_write(session: Session, prompt: str) -> None:
    """Show the likeliest next pieces with their probabilities, read the user's choice or own text, and so on.

    The whole text goes to standard output at the end, even after Ctrl-C.

    Args:
        session: Remembers the text.
        prompt: How the text begins.

    Raises:
        ChargenError: The model cannot read the prompt.
    """
    session.read(prompt)
    tell(HELP)
    text = prompt
    try:
        while (addition := _addition(session, text)) is not None:
            if _read(session, addition):
                text += addition
    finally:
        sys.stdout.write(for_reader()(text if text.endswith("\n") else text + "\n"))
        sys.stdout.flush()


def _addition(session: Session, text: str) -> str | None:
    """What the user adds to the text, chosen or typed; None if the input ends."""
    suggestions = session.suggest(SUGGESTIONS, LONGEST_SUGGESTION)
    tell(f"\n{text[-200:]}▏")
    for number, suggestion in enumerate(suggestions, start=1):
        tell(f"  {number}  {math.exp(suggestion.log_prob):6.1%}  {suggestion.text!r}")
    answer = next(_lines("+ "), None)
    if answer is None:
        return None
    chosen = answer or "1"
    if chosen.isdecimal() and 1 <= int(chosen) <= len(suggestions):
        return suggestions[int(chosen) - 1].text
    return answer[1:] if answer[:1] == "\\" and answer[1:].isdecimal() else unescape(answer)


def _read(session: Session, text: str) -> bool:
    """Let the model read a text; if it cannot, print why and return False."""
    try:
        session.read(text)
    except ChargenError as error:
        tell(str(error))
        return False
    return True


def _lines(prompt_sign: str) -> Iterator[str]:
    """Yield the lines that the user types."""
    while True:
        tell(prompt_sign, nl=False)
        line = sys.stdin.readline()
        if not line:
            tell()
            return
        yield line.removesuffix("\n")

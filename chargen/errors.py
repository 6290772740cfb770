"""The one error that users are meant to read."""

from __future__ import annotations

import os
import re
import shlex

MOST = 200  # characters of anything that a message quotes
# What is quoted, or a word, that is longer. An apostrophe within a word opens no quotation.
LONG = re.compile(rf"""(?<!\w)(?:'(?:\\.|[^'\\]){{{MOST},}}'|"(?:\\.|[^"\\]){{{MOST},}}")|\S{{{MOST + 1},}}""", re.S)

SPELLED = {byte: f"\\x{byte:02x}" for byte in (*range(32), *range(127, 256))} | {
    39: "\\'",
    92: "\\\\",
}  # between $' and '


class ChargenError(ValueError):
    """Something could not be done. The message is one sentence: what, where, and what to do about it."""

    def __init__(self, message: str = "") -> None:
        super().__init__(abridge(message))


class ReportedError(ChargenError):
    """An error of one process, raised in the others too so that all stop; the first process has printed it."""


def counted(number: int, noun: str) -> str:
    """A number with its noun, for messages.

    >>> counted(1, "text"), counted(2000, "text")
    ('1 text', '2,000 texts')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def abridge(message: str) -> str:
    """Shorten what a message quotes to MOST characters each, and the message to three times as many.

    >>> abridge(f"there is no label {'x' * 1_000_000!r}: add one").count("x")
    197
    """
    return LONG.sub(lambda found: shorten(found[0]), shorten(message, 3 * MOST))


def shorten(text: str, most: int = MOST) -> str:
    """The beginning and the end of a text, for a message.

    >>> shorten("abcdefgh", 5)
    'ab…gh'
    """
    if len(text) <= most:
        return text
    end = most // 2
    return text[: most - 1 - end] + "…" + text[-end:]


def shell_word(text: str) -> str:
    r"""A text as a shell takes it for one word, for a command that a message suggests.

    Control characters, and bytes of a file's name that are no text, are spelled as bash and zsh read them.

    >>> print(shell_word("book"), shell_word("my book (1)"), shell_word("a\x1b"))
    book 'my book (1)' $'a\x1b'
    """
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(SPELLED.get(byte, chr(byte)) for byte in os.fsencode(text)) + "'"

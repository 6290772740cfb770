"""The code blocks of the documents, and whether the command lines in them exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from chargen.cli import main

ROOT = Path(__file__).parent.parent


def blocks(document: str, language: str) -> list[str]:
    """The content of each block of a document that begins with ``` and the language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document, re.DOTALL | re.MULTILINE)


def command_lines(document: str) -> Iterator[list[str]]:
    """The arguments of each `chargen` in the sh blocks of a document."""
    for line in "".join(blocks(document, "sh")).splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        words.commenters = "#"
        command: list[str] = []
        for word in [*words, ";"]:
            if not set(word) <= set(";&|<>()"):
                command.append(word)
                continue
            if "chargen" in command:  # after nohup or torchrun, too
                yield command[command.index("chargen") + 1 :]
            command = []


def parse(arguments: list[str]) -> None:
    """Parse a command line as click does, and run nothing; click.UsageError for what does not exist."""
    command: click.Command = main
    context = command.make_context("chargen", list(arguments))
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert name is not None and found is not None
        command = found
        context = command.make_context(name, rest, parent=context)

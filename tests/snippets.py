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


def broken_links(page: Path) -> list[str]:
    """The links of a page to files of the repository, or to headings in them, that are not there."""
    broken = []
    for name, _, anchor in re.findall(r"\]\(([^)#]*)(#([^)]*))?\)", page.read_text(encoding="utf-8")):
        target = page.parent / name if name else page
        if "://" not in name and not (target.exists() and (not anchor or anchor in anchors(target))):
            broken.append(f"{name}#{anchor}" if anchor else name)
    return broken


def anchors(page: Path) -> list[str]:
    """What links call the headings of a page, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def parse(arguments: list[str]) -> None:
    """Parse a command line as click does, and run nothing; click.UsageError for what does not exist."""
    command: click.Command = main
    name, rest = "chargen", arguments
    context = click.Context(command, info_name=name)
    while isinstance(command, click.Group):
        if not rest:
            raise click.UsageError(f"{name} needs a command")
        name, *rest = rest
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"there is no command {name}")
        command = found
    command.make_context(name, rest, parent=context)

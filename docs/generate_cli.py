"""Write docs/cli.md: the help of every command, as `chargen COMMAND --help` shows it.

python docs/generate_cli.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from chargen.cli import main

PAGE = Path(__file__).with_name("cli.md")
COMMAND = "python docs/generate_cli.py"
WIDTH = 100  # columns, whatever the terminal has
TOP = f"""# Commands

This page is the output of `--help`, written by `{COMMAND}`. [guide.md](guide.md) shows what the commands are for.
"""


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """A context for a command, then for each command below it, in the order of the help."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, context_of(below, name, context))


def context_of(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    """The context in which a command shows its help, as wide as this page is."""
    settings = {"terminal_width": WIDTH, "max_content_width": WIDTH}
    return click.Context(command, info_name=name, parent=parent, **{**command.context_settings, **settings})


def page() -> str:
    """What docs/cli.md should hold."""
    sections = [TOP]
    for context in commands(main, context_of(main, "chargen")):
        shown = "\n".join(line.rstrip() for line in context.command.get_help(context).splitlines())
        sections.append(f"## {context.command_path}\n\n```text\n{shown}\n```\n")
    return "\n".join(sections)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

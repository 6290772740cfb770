"""`chargen check`: whether a run's files are whole."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from chargen.cli.command import Command
from chargen.cli.completion import RunName
from chargen.cli.output import echo, tell


@click.command(cls=Command)
@click.option(
    "-m", "--model", type=RunName(), help="A run: its name under checkpoints/, or a path.  [default: the newest]"
)
def command(model: str | None) -> None:
    """Check that the files of a run are whole: readable, as they were written, and fit for each other.

    Prints a line per file. The exit code is 1 if any file is damaged.

    \b
    chargen check
    chargen check -m book
    """
    from chargen.runs.check import check_run
    from chargen.runs.search import find_run, folder_of

    path = find_run(None).path if model is None else folder_of(model)
    damaged = 0
    for name, problem in check_run(Path(path)):
        echo(f"{'whole' if problem is None else 'damaged':<8} {name}" + (f": {problem}" if problem else ""))
        damaged += problem is not None
    if damaged:
        tell(f"chargen: {path} is not whole: restore it from a copy, or train again")
        sys.exit(1)

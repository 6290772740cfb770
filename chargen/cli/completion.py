"""Parameter types that complete runs, tasks, cells and inputs when the user presses Tab.

This module imports no NumPy, so that completion is instant.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from glob import escape
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from chargen.kinds import KINDS


class RunName(click.types.StringParamType):
    """A run: its name under `checkpoints/`, or a path."""

    name = "run"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete with the runs under `checkpoints/`, or with folders if no run matches."""
        runs = sorted(config.parent.name for config in Path("checkpoints").glob("*/config.json"))
        return _matching(runs, incomplete) or [CompletionItem(incomplete, type="dir")]


class Task(click.types.StringParamType):
    """What to train, by the name of the task; converted to the kind of run."""

    name = "task"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Convert a task to its kind of run; usage error for an unknown task."""
        kinds = {kind.task: kind.name for kind in KINDS.values()}
        return kinds[click.Choice(list(kinds)).convert(value, param, ctx)]

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The choices, as the help shows them."""
        return f"[{'|'.join(kind.task for kind in KINDS.values())}]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete with the tasks."""
        return _matching([kind.task for kind in KINDS.values()], incomplete)


class CellName(click.types.StringParamType):
    """A recurrent cell, by name."""

    name = "cell"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the name; usage error for an unknown cell."""
        from chargen.models.specs import SPECS

        return click.Choice(list(SPECS)).convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The choices, as the help shows them."""
        from chargen.models.specs import SPECS

        return f"[{'|'.join(SPECS)}]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete with the cells."""
        from chargen.models.specs import SPECS

        return _matching(SPECS, incomplete)


class Input(click.types.StringParamType):
    """A text: a file, a folder, a pattern, `-` for standard input, or a named corpus."""

    name = "input"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete with files, or with named corpora if no file matches."""
        from chargen.text.corpora import CORPORA

        files = [CompletionItem(incomplete, type="file")]
        path = Path(incomplete)
        is_file = any(path.parent.glob(f"{escape(path.name)}*"))
        return files if is_file else _matching(CORPORA, incomplete) or files


def _matching(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """The names that begin so, except those that a shell would not take literally."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete) and shlex.quote(name) == name]

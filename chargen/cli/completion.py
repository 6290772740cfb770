"""What the shell offers when Tab is pressed after an option or argument: runs, corpora, files. Imports no NumPy."""

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
        """The runs there are, or folders."""
        runs = sorted(config.parent.name for config in Path("checkpoints").glob("*/config.json"))
        return _among(runs, incomplete) or [CompletionItem(incomplete, type="dir")]


class Task(click.types.StringParamType):
    """What a training is to make, by its name; the kind of run comes out."""

    name = "task"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The kind of run."""
        kinds = {kind.task: kind.name for kind in KINDS.values()}
        return kinds[click.Choice(list(kinds)).convert(value, param, ctx)]

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The names, as the help shows them."""
        return f"[{'|'.join(kind.task for kind in KINDS.values())}]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The tasks there are."""
        return _among([kind.task for kind in KINDS.values()], incomplete)


class CellName(click.types.StringParamType):
    """A cell by its name."""

    name = "cell"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if a cell has it."""
        from chargen.models.specs import SPECS

        return click.Choice(list(SPECS)).convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The names, as the help shows them."""
        from chargen.models.specs import SPECS

        return f"[{'|'.join(SPECS)}]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The cells there are."""
        from chargen.models.specs import SPECS

        return _among(SPECS, incomplete)


class Input(click.types.StringParamType):
    """A text: a file, a folder, a pattern, - or a named corpus."""

    name = "input"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Files, or named corpora where no file begins so."""
        from chargen.text.corpora import CORPORA

        files = [CompletionItem(incomplete, type="file")]
        begun = Path(incomplete)
        there = any(begun.parent.glob(f"{escape(begun.name)}*"))
        return files if there else _among(CORPORA, incomplete) or files


def _among(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """The names that begin so, but for those that a shell would not take literally."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete) and shlex.quote(name) == name]

"""The command line: each command parses, calls and shows. Nothing imports it, and it imports late."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from typing import Any, NoReturn

import click

import chargen
from chargen.cli.command import nearest
from chargen.cli.output import visible
from chargen.errors import ChargenError, ReportedError

COMMANDS = {
    "train": "Train a language model, or a classifier, on your text.",
    "sample": "Write new text with a trained model.",
    "write": "Write with a trained model, in turns.",
    "score": "See how surprised a model is by a text.",
    "classify": "Label texts with a trained classifier.",
    "evaluate": "Measure a run on a text or on labelled data.",
    "check": "See whether the files of a run are whole.",
    "corpus": "List, fetch and inspect the named corpora.",
}


class Commands(click.Group):
    """A group that imports a command's module only when that command runs, so that `--help` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order a newcomer meets them."""
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that is called; UsageError, naming the nearest, for one that there is none of."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}{nearest(args[0], COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"chargen.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb; what cannot be done is one sentence on standard error and exit code 1."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(130)
        except ReportedError:
            sys.exit(1)
        except (ChargenError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # click ends quietly when the reader has gone
            _fail(_sentence(error), debug=ctx.params["debug"])
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if _lacks_memory(error):
                _fail(
                    "there is not enough memory: train with a smaller --batch-size, --sequence-length or --size; "
                    "write fewer --samples at once, or with a narrower --beam",
                    **ctx.params,
                )
            what = str(error).strip().partition("\n")[0]
            _fail(
                f"this failed unexpectedly ({type(error).__name__}: {what}): see where with chargen --debug",
                **ctx.params,
            )


def _fail(sentence: str, *, debug: bool) -> NoReturn:
    """Say what could not be done, and in which process where there are several, and end with 1."""
    if debug:
        traceback.print_exc()
    rank = int(os.environ.get("RANK", "0"))
    click.echo(f"chargen{f' (process {rank})' if rank else ''}: {visible(sentence)}", err=True)
    sys.exit(1)


def _lacks_memory(error: Exception) -> bool:
    """Whether Python, NumPy or torch found too little memory; torch is not imported to tell."""
    told = any(words in str(error) for words in ("not enough memory", "can't allocate memory"))
    return told or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _sentence(error: Exception) -> str:
    """What a person reads of an error."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    where = f" {error.filename}" if error.filename else ""
    advice = {
        errno.ENOSPC: "free some space; nothing saved before is lost",
        errno.EACCES: "choose a folder or file you may use, with --out for a run or CHARGEN_DATA for corpora",
        errno.EEXIST: "name another folder with --out",
        errno.ENOTDIR: "name another folder with --out",
        errno.EROFS: "choose a folder you may write, with --out for a run or CHARGEN_DATA for corpora",
    }
    what = f"{error.strerror.lower()}:{where}" if where else error.strerror.lower()
    hint = advice.get(error.errno or 0)
    return f"{what} ({hint})" if hint else what


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(chargen.__version__, prog_name="chargen")
@click.option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
def main(debug: bool) -> None:
    """Train recurrent language models on any text, write with them, classify with them.

    \b
    chargen train book.txt --minutes 3
    chargen sample "Once upon a time"
    """

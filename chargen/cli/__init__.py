"""The command line. Commands parse options, call the library and print; they import what they need when they run."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

import chargen
from chargen.cli.command import did_you_mean
from chargen.cli.output import standard_streams, tell, visible
from chargen.errors import ChargenError, ReportedError, abridge, shorten

COMMANDS = {
    "train": "Train a language model or a classifier on your text.",
    "sample": "Write new text with a trained model.",
    "write": "Write a text in turns with a trained model.",
    "score": "Show how likely a model finds each token of a text.",
    "classify": "Label texts with a trained classifier.",
    "evaluate": "Measure a run on a text or on labelled data.",
    "inspect": "Look inside a run: what its units, gates and gradients do.",
    "check": "See whether the files of a run are whole.",
    "corpus": "List, fetch and inspect the named corpora.",
}
HELP = getattr(click.exceptions, "NoArgsIsHelpError", ())  # a usage error whose message is the help
MEMORY_ADVICE = {  # of commands that do more than read their input
    "train": "train with a smaller --batch-size, --sequence-length or --size, or on shorter texts",
    "sample": "write fewer --samples at once, or with a narrower --beam",
    "write": "start from a shorter PROMPT",
}


class Commands(click.Group):
    """A group that imports a command's module only when it is needed, so that `--help` is instant."""

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """Parse the command line and run the command, with streams that take any text."""
        with standard_streams():
            try:
                return super().main(*arguments, **settings)
            except OSError as error:  # of writing the help; those of a command are shown by `invoke`
                _fail(_message(error), debug=False)

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        """Parse the command line."""
        with _readable_usage():
            return super().make_context(*arguments, **settings)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order a newcomer meets them."""
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called; UsageError, with the most similar name, if there is none."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}{did_you_mean(args[0], COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"chargen.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands to the help without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error is one sentence on standard error and exit code 1."""
        try:
            with _readable_usage():
                result = super().invoke(ctx)
            sys.stdout.flush()  # here, where a full disk is still said
            return result
        except KeyboardInterrupt:
            sys.exit(130)
        except ReportedError:
            sys.exit(1)
        except (ChargenError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # click exits quietly when the reader has closed the pipe
            _fail(_message(error), debug=ctx.params["debug"])
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if _is_out_of_memory(error):
                advice = MEMORY_ADVICE.get(ctx.invoked_subcommand or "", "divide the input into several files")
                _fail(f"there is not enough memory: {advice}", **ctx.params)
            first_line = str(error).strip().partition("\n")[0]
            _fail(
                f"this failed unexpectedly ({type(error).__name__}: {first_line}): see where with chargen --debug",
                **ctx.params,
            )


@contextmanager
def _readable_usage() -> Iterator[None]:
    """Shorten what errors of usage quote, and spell out its control characters."""
    try:
        yield
    except click.UsageError as error:
        if isinstance(error, HELP) or (readable := visible(abridge(said := error.format_message()))) == said:
            raise
        raise click.UsageError(readable, error.ctx) from error


def _fail(message: str, *, debug: bool) -> NoReturn:
    """Print an error message and exit with 1; a process of rank 1 or more adds its rank."""
    if debug:
        traceback.print_exc()
    rank = int(os.environ.get("RANK", "0"))
    tell(f"chargen{f' (process {rank})' if rank else ''}: {abridge(message)}")
    sys.exit(1)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python, NumPy or torch ran out of memory, without importing torch."""
    is_cpu_allocation = any(words in str(error) for words in ("not enough memory", "can't allocate memory"))
    return is_cpu_allocation or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _message(error: Exception) -> str:
    """An error as the user reads it; one of the operating system's with advice."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    advice = {
        errno.ENOSPC: "free some space; nothing saved before is lost",
        errno.EACCES: "choose a folder or file that you may use, with --out for a run or CHARGEN_DATA for corpora",
        errno.EEXIST: "name another folder with --out",
        errno.ENOTDIR: "name another folder with --out",
        errno.EROFS: "choose a folder that you may write to, with --out for a run or CHARGEN_DATA for corpora",
    }
    problem = error.strerror.lower() + (f": {shorten(str(error.filename))}" if error.filename else "")
    hint = advice.get(error.errno or 0)
    return f"{problem} ({hint})" if hint else problem


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(chargen.__version__, prog_name="chargen")
@click.option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
def main(debug: bool) -> None:
    """Train recurrent language models on any text, write with them, classify with them.

    \b
    chargen train book.txt --minutes 3
    chargen sample "Once upon a time"
    """

"""`chargen train`: options in, events shown."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from chargen.cli.command import Command, flag, without
from chargen.cli.completion import CellName, Input, RunName, Task
from chargen.cli.training_bar import encoding_bar, show_training
from chargen.kinds import LANGUAGE_MODEL, kind_of
from chargen.runs.formats import RENAMED_OPTIONS

if TYPE_CHECKING:
    from chargen.training.events import Event

GROUPS = {
    "Run": ("task", "out", "overwrite", "resume", "start_from", "config"),
    "Budget": ("minutes", "epochs", "steps", "patience"),
    "Text": (
        *("val", "val_fraction", "tokenizer", "vocab_size", "min_frequency", "encoding", "documents"),
        *("text_column", "label_column"),
    ),
    "Model": ("size", "cell", "num_layers", "hidden_size", "embedding_size", "tied"),
    "Classifiers": (
        *("bidirectional", "pooling", "max_length", "crop", "ngrams", "adapt", "probe", "balance", "metric"),
    ),
    "Optimization": (
        *("batch_size", "shards", "sequence_length", "optimizer", "learning_rate", "weight_decay", "clip"),
        *("dropout", "dropout_input", "dropout_embedding", "weight_drop", "activation_reg", "temporal_reg"),
        "seed",
    ),
    "Device and output": ("device", "precision", "log", "quiet"),
}
AS_LONG_AS = ("minutes", "epochs", "steps", "device", "precision")  # what may change when a run goes on


@click.command(
    cls=Command,
    groups=GROUPS,
    rules=[without("resume", "goes on with a run as it is", "overwrite", "config")],
    gone={flag(old): f"is called {flag(new)} now" for old, new in RENAMED_OPTIONS.items()},
)
@click.argument("inputs", type=Input(), metavar="[INPUT]...", nargs=-1)
@click.option("--task", type=Task(), help=f"[default: {LANGUAGE_MODEL}]")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="The run's folder.  [default: checkpoints/<input>]"
)
@click.option("--overwrite", is_flag=True, help="Replace the run that is there.")
@click.option("--resume", is_flag=True, help="Go on with a run; with a larger budget, also with a finished one.")
@click.option(
    "--from", "start_from", type=RunName(), metavar="RUN", help="Begin with another run's encoder and tokenizer."
)
@click.option("--config", type=click.Path(path_type=Path), help="Replay a run's config.json, but for what is typed.")
@click.option("--minutes", type=float, help="Train for so long.  [default: 3, if no other limit is set]")
@click.option("--epochs", type=float, help="Most passes over the text.  [default: more for a longer text]")
@click.option(
    "--steps", type=int, help="Updates of the weights; the same options, --shards too, then give the same weights."
)
@click.option(
    "--val",
    type=Input(),
    multiple=True,
    metavar="INPUT",
    help="Measure on this text, not on part of the input; repeatable.",
)
@click.option(
    "--val-fraction",
    type=float,
    help="Part held out to measure on.  [default: the last 0.1; of labelled texts 0.2, less of many]",
)
@click.option(
    "--tokenizer",
    type=click.Choice(["char", "byte", "bpe", "unigram"]),
    help="[default: char; for classifiers unigram, if most words in texts held out are known]",
)
@click.option("--vocab-size", type=int, help="Tokens at most.  [default: all characters; pieces that suit the text]")
@click.option("--min-frequency", type=int, help="Rarer characters become the unknown token.  [default: 1]")
@click.option("--encoding", help="How the text is encoded.  [default: utf-8]")
@click.option(
    "--documents",
    type=click.Choice(["line", "blank-line", "file", "jsonl"]),
    help="The text is a collection: each of these begins and ends on its own.  [default: one stream of text]",
)
@click.option(
    "--text-column",
    multiple=True,
    help="Column of the texts, in tables and JSON lines; repeatable for classifiers, which join them.",
)
@click.option("--label-column", help="Column of the labels; needed where two columns fit equally well.")
@click.option("--size", help="auto, tiny, small, medium or large.  [default: auto, by budget and device]")
@click.option("--cell", type=CellName(), help="[default: gru]")
@click.option("--num-layers", type=int, help="Recurrent layers.")
@click.option("--hidden-size", type=int, help="Units per layer.")
@click.option("--embedding-size", type=int, help="Embedding size.")
@click.option("--tied/--untied", default=None, help="Use one matrix for embedding and projection.")
@click.option("--bidirectional/--unidirectional", default=None, help="Read from both ends.")
@click.option(
    "--pooling",
    help="What of the outputs is judged: final, mean, max or concat.  [default: max; mean with --probe]",
)
@click.option("--max-length", type=int, help="Tokens of a text that are read.  [default: 1000]")
@click.option(
    "--crop",
    type=int,
    help="Tokens of a text that a step reads, a random stretch.  [default: what there is time for]",
)
@click.option("--ngrams/--no-ngrams", default=None, help="Combine the network with n-grams.  [default: --ngrams]")
@click.option(
    "--adapt/--no-adapt",
    default=None,
    help="Learn the texts' language before their labels.  [default: where n-grams tell little]",
)
@click.option(
    "--probe",
    is_flag=True,
    default=None,
    help="Leave the encoder that --from names as it is, and fit a sparse logistic regression to its outputs.",
)
@click.option("--balance", is_flag=True, default=None, help="Rare labels count as much as common ones.")
@click.option("--metric", help="What decides which weights are kept: loss, accuracy or macro-f1.  [default: loss]")
@click.option("--batch-size", type=int, help="Parallel streams, or texts a step.")
@click.option(
    "--shards",
    type=int,
    help="Parts of a batch that cores compute side by side; the same number gives the same weights on any number of "
    "cores.  [default: one per core, of at least 16 streams or texts]",
)
@click.option("--sequence-length", type=int, help="Truncated BPTT length.")
@click.option("--optimizer", help="muon or adamw.")
@click.option("--learning-rate", type=float, help="Peak learning rate.")
@click.option("--weight-decay", type=float, help="Decay of matrices per step, times the learning rate.")
@click.option("--clip", type=float, help="Largest joint norm of the gradients.")
@click.option("--dropout", type=float, help="Dropout between layers and after the last (0 to below 1).")
@click.option("--dropout-input", type=float, help="Dropout before the first layer (0 to below 1).")
@click.option("--dropout-embedding", type=float, help="Dropout of whole tokens (0 to below 1).")
@click.option("--weight-drop", type=float, help="Dropout of recurrent weights (0 to below 1).")
@click.option("--activation-reg", type=float, help="Weight of the outputs' mean square in the loss.")
@click.option("--temporal-reg", type=float, help="Weight of the mean square of their change from step to step.")
@click.option("--patience", type=int, help="Stop after so many evaluations without a better one.")
@click.option("--seed", type=int, help="[default: 0]")
@click.option("--device", help="auto, cpu, cuda, …  [default: auto]")
@click.option("--precision", help="auto, fp32 or bf16.  [default: auto, bf16 where it is measured to be faster]")
@click.option("--log", type=click.Choice(["tensorboard"]), help="Also write the run's figures for TensorBoard.")
@click.option("-q", "--quiet", is_flag=True, help="Show nothing but the last line.")
def command(**given: Any) -> None:
    """Train a language model on text, or a classifier on labelled texts.

    An INPUT is a file, a folder, a pattern, - for standard input, or a named corpus; with none, it is one made
    from your own Python.

    \b
    chargen train book.txt --minutes 10
    chargen train titles.txt --documents line
    chargen train reviews.csv --task classify
    chargen train reviews.csv --task classify --from book
    """
    kind = given.pop("task")
    out, quiet, log = given.pop("out"), given.pop("quiet"), given.pop("log")
    overwrite, resume, config = given.pop("overwrite"), given.pop("resume"), given.pop("config")
    asked = {name: value for name, value in given.items() if value not in (None, ())}
    with _interruptible() as stop:
        if resume:
            events = _resume(asked, kind, out, stop, quiet)
        else:
            events = _start(asked, kind, out, config, overwrite, stop, quiet)
        if log:
            from chargen.training.tensorboard import logged

            events = logged(events)
        done = show_training(events, quiet)
    if done is not None and done.summary["stopped"] == "interrupted":
        sys.exit(130)


def _start(
    asked: dict[str, Any],
    kind: str | None,
    out: Path | None,
    config: Path | None,
    overwrite: bool,
    stop: Callable[[], bool],
    quiet: bool,
) -> Iterator[Event]:
    from chargen.training.options import from_record, options_type
    from chargen.training.replaying import replay_options
    from chargen.training.setup import Hooks
    from chargen.training.start import start

    record: dict[str, Any] = {}
    if config:
        recorded, record = _read_config(config)
        _refuse_other_kind(kind, recorded, str(config))
        kind = recorded
    kind = kind or LANGUAGE_MODEL
    _refuse_foreign(asked, kind)
    record = replay_options(record, asked)
    record.setdefault("inputs", (kind_of(kind).default_input,))
    options = from_record(options_type(kind), record)
    with encoding_bar(quiet) as encoding:
        yield from start(options, out, overwrite=overwrite, hooks=Hooks(stop, encoding))


def _resume(
    asked: dict[str, Any], kind: str | None, out: Path | None, stop: Callable[[], bool], quiet: bool
) -> Iterator[Event]:
    from chargen.runs.folder import is_run, load_run
    from chargen.runs.search import find_run
    from chargen.training.options import LanguageModelOptions, Options, options_of
    from chargen.training.schedule import Budget
    from chargen.training.setup import Hooks
    from chargen.training.start import default_folder, resume

    changed = asked.keys() - {*AS_LONG_AS, "inputs"}
    if changed:
        raise click.UsageError(
            f"{flag(min(changed))} cannot change when a run goes on: leave it out, or begin another with --from"
        )
    if out is None and "inputs" in asked:
        out = default_folder(LanguageModelOptions(inputs=asked["inputs"]))
    run = load_run(out) if out and is_run(out) else find_run(str(out) if out else None, kind)
    _refuse_other_kind(kind, run.kind, run.name)
    known = options_of(run, Options).inputs
    if [Path(text).resolve() for text in asked.get("inputs", known)] != [Path(text).resolve() for text in known]:
        raise click.UsageError(
            f"{run.name} was trained on {', '.join(known)}, and --resume goes on with that: leave INPUT out, or "
            f"train on another text with --from {run.name}"
        )
    budget = Budget(asked.get("minutes"), asked.get("epochs"), asked.get("steps"))
    with encoding_bar(quiet) as encoding:
        yield from resume(
            run, budget, device=asked.get("device"), precision=asked.get("precision"), hooks=Hooks(stop, encoding)
        )


def _read_config(path: Path) -> tuple[str, dict[str, Any]]:
    """The kind and the options in a run's config.json."""
    from chargen.errors import ChargenError

    try:
        config = json.loads(path.read_bytes())
        return config["kind"], config["options"]
    except (ValueError, KeyError, TypeError) as error:
        raise ChargenError(f"{path} is no config.json of a run: name one that chargen wrote") from error


def _refuse_other_kind(asked: str | None, kind: str, name: str) -> None:
    if asked not in (None, kind):
        raise click.UsageError(f"{name} is a {kind_of(kind).title}, which contradicts --task: leave --task out")


def _refuse_foreign(asked: dict[str, Any], kind: str) -> None:
    from chargen.training.options import options_type

    own = {field.name for field in fields(options_type(kind))}
    foreign = sorted(asked.keys() - own)
    if foreign:
        raise click.UsageError(
            f"{flag(foreign[0])} is not for a {kind_of(kind).title}: leave it out, or choose another --task"
        )


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """A function that tells whether SIGINT or SIGTERM came; before its first call, and twice, they end all."""
    received: list[int] = []
    asked = False

    def stop() -> bool:
        nonlocal asked
        asked = True
        return bool(received)

    def note(number: int, frame: FrameType | None) -> None:
        if received or not asked:  # a text that is being prepared leaves nothing to save
            raise KeyboardInterrupt
        received.append(number)
        click.echo("chargen: saving; once more to stop at once", err=True)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

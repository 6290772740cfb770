"""`chargen train`: options in, events shown."""

from __future__ import annotations

import json
import math
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from chargen.cli.completion import CellName, Input, RunName, Task
from chargen.kinds import LANGUAGE_MODEL, kind_of

if TYPE_CHECKING:
    from chargen.training.events import Done, Evaluated, Event, Started, Step

AS_LONG_AS = ("minutes", "epochs", "steps", "device", "precision")  # what may change when a run goes on
BAR = "{percentage:3.0f}%|{bar}| {desc}"
SMOOTHING = 0.05  # of the loss that the bar shows


@click.command()
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
@click.option("--epochs", type=float, help="Passes over the text, at most.  [default: more the longer it is]")
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
@click.option("--vocab-size", type=int, help="Symbols at most.  [default: all characters; pieces that suit the text]")
@click.option("--min-frequency", type=int, help="Rarer characters become the unknown symbol.  [default: 1]")
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
@click.option("--hidden-size", type=int, help="Units a layer.")
@click.option("--embedding-size", type=int, help="Embedding size.")
@click.option("--tied/--untied", default=None, help="Use one matrix for embedding and projection.")
@click.option("--bidirectional/--unidirectional", default=None, help="Classifiers: read from both ends.")
@click.option(
    "--pooling",
    help="Classifiers: what of the outputs is judged: final, mean, max or concat.  [default: max; mean with --probe]",
)
@click.option("--max-length", type=int, help="Classifiers: tokens of a text that are read.  [default: 1000]")
@click.option(
    "--crop",
    type=int,
    help="Classifiers: tokens of a text that a step reads, a random stretch.  [default: what there is time for]",
)
@click.option(
    "--ngrams/--no-ngrams", default=None, help="Classifiers: combine the network with n-grams.  [default: --ngrams]"
)
@click.option(
    "--adapt/--no-adapt",
    default=None,
    help="Classifiers: learn the texts' language before their labels.  [default: where n-grams tell little]",
)
@click.option(
    "--probe",
    is_flag=True,
    default=None,
    help="Classifiers: leave the encoder that --from names as it is, and fit a sparse logistic regression to its "
    "outputs.",
)
@click.option("--balance", is_flag=True, default=None, help="Classifiers: rare labels count as much as common ones.")
@click.option(
    "--metric", help="Classifiers: what decides which weights are kept: loss, accuracy or macro-f1.  [default: loss]"
)
@click.option("--batch-size", type=int, help="Parallel streams, or texts a step.")
@click.option(
    "--shards",
    type=int,
    help="Parts of a step that cores compute side by side; the same number gives the same weights on any number of "
    "cores.  [default: a part a core, of 16 streams or texts at least]",
)
@click.option("--sequence-length", type=int, help="Truncated BPTT length.")
@click.option("--optimizer", help="muon or adamw.")
@click.option("--learning-rate", type=float, help="At its peak.")
@click.option("--weight-decay", type=float)
@click.option("--clip", type=float, help="Largest norm of the gradients.")
@click.option("--dropout", type=float, help="Share left out between layers and after the last.")
@click.option("--dropout-input", type=float, help="Share left out before the first layer.")
@click.option("--dropout-embedding", type=float, help="Share of symbols left out.")
@click.option("--weight-drop", type=float, help="Share of recurrent weights left out.")
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
    if resume and (overwrite or config):
        raise click.UsageError("--resume goes on with a run as it is: leave --overwrite and --config out")
    with _interruptible() as stop:
        if resume:
            events = _resume(asked, kind, out, stop, quiet)
        else:
            events = _start(asked, kind, out, config, overwrite, stop, quiet)
        if log:
            from chargen.training.tensorboard import logged

            events = logged(events)
        done = _show(events, quiet)
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
    from chargen.training.replaying import replayed
    from chargen.training.setup import Hooks
    from chargen.training.start import start

    record: dict[str, Any] = {}
    if config:
        recorded, record = _read_config(config)
        _refuse_other_kind(kind, recorded, str(config))
        kind = recorded
    kind = kind or LANGUAGE_MODEL
    _refuse_foreign(asked, kind)
    record = replayed(record, asked)
    record.setdefault("inputs", (kind_of(kind).default_input,))
    options = from_record(options_type(kind), record)
    with _encoding_bar(quiet) as encoding:
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
            f"{_flag(min(changed))} cannot change when a run goes on: leave it out, or begin another with --from"
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
    with _encoding_bar(quiet) as encoding:
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
        flag = "--tied/--untied" if foreign[0] == "tied" else _flag(foreign[0])
        raise click.UsageError(f"{flag} is not for a {kind_of(kind).title}: leave it out, or choose another --task")


def _flag(name: str) -> str:
    return "--from" if name == "start_from" else f"--{name.replace('_', '-')}"


def _show(events: Iterator[Event], quiet: bool) -> Done | None:
    """Draw a training as it goes on standard error; gives its last event."""
    from tqdm import tqdm

    from chargen.training.distributed import launched_rank
    from chargen.training.events import Done, Evaluated, Note, Started, Step

    quiet = quiet or launched_rank() > 0
    done: Done | None = None
    loss: float | None = None
    hidden = True if quiet else None  # None: unless at a terminal
    with tqdm(total=1, bar_format=BAR, miniters=0, disable=hidden, leave=False, file=sys.stderr) as bar:
        for event in events:
            match event:
                case Step():
                    loss = event.loss if loss is None else loss + SMOOTHING * (event.loss - loss)
                    bar.n = min(1.0, event.fraction)
                    bar.set_description_str(_progress(event, loss), refresh=False)
                    bar.update(0)
                case Note() if not quiet:
                    bar.write(f"chargen: {event.text}", file=sys.stderr)
                case Started() if not quiet:
                    bar.write(_beginning(event), file=sys.stderr)
                case Evaluated() if not quiet:
                    bar.write(_evaluation(event), file=sys.stderr)
                    if event.best and (kind := kind_of(event.run.kind)).preview:
                        bar.write(_indented(kind.get("preview")(event.run)), file=sys.stderr)
                case Done():
                    done = event
    if done is not None and launched_rank() == 0:
        click.echo(_ending(done), err=True)
    return done


def _beginning(event: Started) -> str:
    from chargen.models.config import ModelConfig

    encoder = event.run.model_config(ModelConfig).encoder
    shape = f"{encoder.cell} {encoder.num_layers}x{encoder.hidden_size}, {event.parameters:,} parameters"
    again = f", going on from step {event.resumed_step:,}" if event.resumed_step else ""
    return f"chargen: {shape}, to {event.run.path}{again}"


def _progress(event: Step, loss: float) -> str:
    from tqdm import tqdm

    bits = f", {event.bits / event.loss * loss:.3f} bits/char" if event.bits is not None and event.loss else ""
    left = event.seconds * max(0.0, 1 / event.fraction - 1)  # of all sittings, which tqdm knows nothing of
    times = "<".join(map(tqdm.format_interval, (event.seconds, left)))
    return f"{times}, loss {loss:.3f}{bits}, {event.tokens / event.seconds:,.0f} tokens/s"


def _figures(record: dict[str, Any]) -> str:
    if "accuracy" in record:
        return f"accuracy {record['accuracy']:.4f}, macro-F1 {record['macro_f1']:.4f}, loss {record['val_loss']:.4f}"
    if "val_bpc" not in record:
        return f"loss {record['val_loss']:.4f}"
    return (
        f"{record['val_loss']:.4f} nats per token, {record['val_bpc']:.4f} bits per character, "
        f"perplexity {math.exp(min(record['val_loss'], 700)):.2f}"
    )


def _evaluation(event: Evaluated) -> str:
    record = event.record
    line = f"step {record['step']:,}, {record['seconds']:.0f} s: {_figures(record)}"
    return line if event.best else f"{line}, not the best"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines() if line.strip())


def _ending(event: Done) -> str:
    summary, run = event.summary, event.run
    cost = f"{summary['seconds']:.0f} s, {summary['tokens_per_second']:,.0f} tokens/s"
    if summary["stopped"] == "interrupted":
        return f"interrupted after {cost}, saved in {run.path}: chargen train --resume --out {run.path}"
    lines = [f"{_figures(summary)} on held-out text; {cost}"]
    if "accuracy_interval" in summary:
        low, high = summary["accuracy_interval"]
        lines.append(f"  measured on {summary['texts']:,} texts: accuracy {low:.3f} to {high:.3f} (95% interval)")
    if "ngrams" in summary:
        alone = (("n-grams", summary["ngrams"]), ("the network", summary["network"]))
        lines += [f"  {name} alone: {_figures(figures)}" for name, figures in alone]
    lines.append(f"next: {kind_of(run.kind).use.format(run.name)}")
    return "\n".join(lines)


@contextmanager
def _encoding_bar(quiet: bool) -> Iterator[Callable[[float], object]]:
    """A bar for the text's preparation, there only while that goes on, and only if it takes a while."""
    from tqdm import tqdm

    form = "preparing {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    bars: list[tqdm] = []

    def show(share: float) -> None:
        if not bars:
            bars.append(tqdm(total=1.0, bar_format=form, delay=1.0, disable=True if quiet else None, leave=False))
        bars[0].update(share - bars[0].n)
        if share >= 1:
            bars[0].close()

    try:
        yield show
    finally:
        for bar in bars:
            bar.close()


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

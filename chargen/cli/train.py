"""`chargen train`: train a run with the options that are typed, and show its events."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from chargen.cli.command import Command, excludes, flag
from chargen.cli.output import tell
from chargen.cli.training_bar import encoding_bar, show_training
from chargen.cli.training_options import GROUPS, training_options
from chargen.kinds import LANGUAGE_MODEL, kind_of
from chargen.runs.formats import RENAMED_OPTIONS

if TYPE_CHECKING:
    from chargen.training.events import Event

RESUMABLE = ("minutes", "epochs", "steps", "device", "precision")  # options that may change when a run is resumed


@click.command(
    cls=Command,
    groups=GROUPS,
    rules=[excludes("resume", "continues a run as it is", "overwrite", "config")],
    gone={flag(old): f"is called {flag(new)} now" for old, new in RENAMED_OPTIONS.items()},
)
@training_options
def command(**options: Any) -> None:
    """Train a language model on text, or a classifier on labelled texts.

    An INPUT is a file, a folder, a pattern, - for standard input, or a named corpus; the default is a corpus made
    from your own Python.

    \b
    chargen train book.txt --minutes 10
    chargen train titles.txt --documents line
    chargen train reviews.csv --task classify
    chargen train reviews.csv --task classify --from book
    """
    from chargen.training.events import INTERRUPTED

    kind = options.pop("task")
    out, quiet, log = options.pop("out"), options.pop("quiet"), options.pop("log")
    overwrite, resume, config = options.pop("overwrite"), options.pop("resume"), options.pop("config")
    typed = {name: value for name, value in options.items() if value not in (None, ())}
    with _interruptible() as stop:
        if resume:
            events = _resume(typed, kind, out, stop, quiet)
        else:
            events = _start(typed, kind, out, config, overwrite, stop, quiet)
        if log:
            from chargen.training.tensorboard import logged

            events = logged(events)
        done = show_training(events, quiet)
    if done is not None and done.summary["stopped"] == INTERRUPTED:
        sys.exit(130)


def _start(
    typed: dict[str, Any],
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
        recorded_kind, record = _read_config(config)
        _refuse_other_kind(kind, recorded_kind, str(config))
        kind = recorded_kind
    kind = kind or LANGUAGE_MODEL
    _refuse_foreign(typed, kind)
    record = replay_options(record, typed)
    record.setdefault("inputs", (kind_of(kind).default_input,))
    options = from_record(options_type(kind), record)
    with encoding_bar(quiet) as encoding:
        yield from start(options, out, overwrite=overwrite, hooks=Hooks(stop, encoding))


def _resume(
    typed: dict[str, Any], kind: str | None, out: Path | None, stop: Callable[[], bool], quiet: bool
) -> Iterator[Event]:
    from chargen.runs.folder import is_run, load_run
    from chargen.runs.inputs import own_texts
    from chargen.runs.search import find_run
    from chargen.training.options import LanguageModelOptions, Options, options_of
    from chargen.training.schedule import Budget
    from chargen.training.setup import Hooks
    from chargen.training.start import default_folder, resume

    changed = typed.keys() - {*RESUMABLE, "inputs"}
    if changed:
        raise click.UsageError(
            f"{flag(min(changed))} cannot change when a run is resumed: leave it out, or start another with --from"
        )
    if out is None and "inputs" in typed:
        out = default_folder(LanguageModelOptions(inputs=typed["inputs"]))
    run = load_run(out) if out and is_run(out) else find_run(str(out) if out else None, kind)
    _refuse_other_kind(kind, run.kind, run.name)
    inputs = options_of(run, Options).inputs
    if (named := typed.get("inputs", inputs)) != inputs and _resolved(named) != _resolved(own_texts(run).inputs):
        raise click.UsageError(
            f"{run.name} was trained on {', '.join(inputs)}, and --resume continues with that: leave INPUT out, or "
            f"train on another text with --from {run.argument}"
        )
    budget = Budget(typed.get("minutes"), typed.get("epochs"), typed.get("steps"))
    with encoding_bar(quiet) as encoding:
        yield from resume(
            run, budget, device=typed.get("device"), precision=typed.get("precision"), hooks=Hooks(stop, encoding)
        )


def _resolved(texts: Iterable[str]) -> list[str]:
    return [os.path.realpath(text) for text in texts]


def _read_config(path: Path) -> tuple[str, dict[str, Any]]:
    """Read the kind and the options from a run's config.json."""
    from chargen.errors import ChargenError

    try:
        config = json.loads((path / "config.json" if path.is_dir() else path).read_bytes())
        return config["kind"], {**config["options"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ChargenError(f"{path} is not the config.json of a run: name one that chargen wrote") from error


def _refuse_other_kind(wanted: str | None, kind: str, name: str) -> None:
    if wanted not in (None, kind):
        raise click.UsageError(f"{name} is a {kind_of(kind).title}, which contradicts --task: leave --task out")


def _refuse_foreign(typed: dict[str, Any], kind: str) -> None:
    from chargen.training.options import options_type

    own = {field.name for field in fields(options_type(kind))}
    foreign = sorted(typed.keys() - own)
    if foreign:
        raise click.UsageError(
            f"{flag(foreign[0])} is not for a {kind_of(kind).title}: leave it out, or choose another --task"
        )


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether SIGINT or SIGTERM has arrived.

    A second signal interrupts at once, and so does one before the first call, when there is nothing to save yet.
    """
    received: list[int] = []
    is_training = is_told = False

    def stop() -> bool:
        nonlocal is_training, is_told
        is_training = True
        if received and not is_told:
            is_told = True
            tell("chargen: saving; interrupt again to stop at once")
        return bool(received)

    def handle(number: int, frame: FrameType | None) -> None:
        # It says nothing itself: a signal may come while standard error is written to, which must not be done twice.
        if received or not is_training:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""From options to a run: `start` begins a training, `resume` goes on with one."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import chargen
from chargen.errors import ChargenError
from chargen.hardware import choose_device, keep_freed_memory
from chargen.kinds import kind_of
from chargen.models.config import ModelConfig
from chargen.runs.create import create_run, recover, refuse_existing
from chargen.runs.folder import CHECKPOINTS, Run
from chargen.runs.inputs import check_unchanged, own_texts
from chargen.runs.lock import training_lock
from chargen.runs.search import find_run
from chargen.text.labelled import LabelledSet
from chargen.text.packed import COMPRESSED
from chargen.training.chosen import ENCODER_OPTIONS
from chargen.training.distributed import World, join, leave
from chargen.training.events import Done, Event, Note
from chargen.training.loop import train
from chargen.training.options import Options, options_of, to_record
from chargen.training.schedule import Budget
from chargen.training.setup import Context, Hooks, Prepared
from chargen.workers import Workers, workers_for


def start(
    options: Options,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    hooks: Hooks | None = None,
    examples: LabelledSet | None = None,
) -> Iterator[Event]:
    """Train a new run.

    Args:
        options: What to train, and on what.
        out: The run's folder; by default one in `checkpoints/` that is named after the first input.
        overwrite: Replace a run that is there already, once the new training is ready to begin.
        hooks: Callbacks.
        examples: Labelled texts for a classifier whose options name no inputs; these need `out`.

    Yields:
        A Note for each choice that a person should know, then what `loop.train` yields.

    Raises:
        ChargenError: The folder already holds a run and `overwrite` is False, or options and data don't fit together.
    """
    hooks = hooks or Hooks()
    path = out or default_folder(options)
    with _joined(options, path) as (world, workers, device):
        world.broadcast(lambda: refuse_existing(path, overwrite=overwrite))
        source = find_run(options.start_from) if options.start_from else None
        context = Context(world, workers, device, source, examples=examples, progress=hooks.encoding)
        prepared = _prepare(options, context)
        yield from map(Note, prepared.notes)
        if prepared.pretrain:
            pretrained = yield from prepared.pretrain(path, hooks)
            if pretrained is None:
                return
            known, (options, source) = prepared.notes, pretrained
            prepared = _prepare(options, replace(context, source=source, is_adapted=True))
            yield from (Note(note) for note in prepared.notes if note not in known)
        if prepared.fit:
            yield from prepared.fit(lambda: _create(path, prepared, overwrite=overwrite))
            return
        run = world.broadcast(lambda: _create(path, prepared, overwrite=overwrite))
        limits = prepared.options.budget
        for event in train(
            prepared.task, prepared.optimizer_settings, limits, run, stop=hooks.stop, world=world, workers=workers
        ):
            if isinstance(event, Done) and prepared.record_speed:
                prepared.record_speed(event.summary["seconds"], event.summary["tokens_per_second"])
            yield event


def resume(
    run: Run, budget: Budget, *, device: str | None = None, precision: str | None = None, hooks: Hooks | None = None
) -> Iterator[Event]:
    """Go on with a run from its last save.

    Args:
        run: The run to go on with.
        budget: Replaces the run's budget if it has any limit.
        device: Replaces the run's device.
        precision: Replaces the run's precision.
        hooks: Callbacks.

    Yields:
        What `loop.train` yields.

    Raises:
        ChargenError: The training or validation text has changed, the saved state is missing or does not fit, or the
            run was fitted at once.
    """
    hooks = hooks or Hooks()
    before = options_of(run, Options)
    options = replace(before, device=device or before.device, precision=precision or before.precision)
    if budget != Budget():
        options = replace(options, minutes=budget.minutes, epochs=budget.epochs, steps=budget.steps)
    if "-" in options.inputs and sys.stdin.isatty():
        raise ChargenError(f"{run.name} was trained on standard input: pipe the same text into chargen again")
    own = own_texts(run, piped=True)
    _check_shape(before, run)
    with _joined(options, run.path) as (world, workers, where):
        if world.is_writer:
            recover(run.path)
        # A run that was killed before its first save still needs the weights of its source.
        source = find_run(options.start_from) if options.start_from and not run.can_resume else None
        run.ngrams()  # raises if they are missing, before any work is done
        context = Context(world, workers, where, source, resumed=run, progress=hooks.encoding)
        prepared = _prepare(replace(options, inputs=own.inputs, val=own.val), context)
        if prepared.fit:
            raise ChargenError(
                f"{run.name} was fitted at once, so it cannot be resumed: fit it again with --overwrite"
            )
        check_unchanged(run, prepared.data, own)
        if world.is_writer and options != before:
            run = run.save_config({**run.config, "options": to_record(options)})
        yield from train(
            prepared.task,
            prepared.optimizer_settings,
            options.budget,
            run,
            resume=True,
            reset_patience=options != before,
            stop=hooks.stop,
            world=world,
            workers=workers,
        )


def _check_shape(options: Options, run: Run) -> None:
    """Raise ChargenError unless options, config and weights have one shape: a model is made of the options' one."""
    encoder = run.model_config(ModelConfig).encoder
    for name in ENCODER_OPTIONS:
        if getattr(options, name) not in (None, getattr(encoder, name)):
            raise ChargenError(f"{run.path / 'config.json'} has two values of {name}: the run is damaged")
    if run.has_weights:
        run.weights()


def default_folder(options: Options) -> Path:
    """The folder for a run: in `checkpoints/`, named after the first input.

    Raises:
        ChargenError: The options name no input.

    >>> default_folder(Options(inputs=("texts/book.txt.gz",))).name
    'book'
    """
    if not options.inputs:
        raise ChargenError("a run of texts that are not in files needs a folder: name it with out")
    first = options.inputs[0]
    name = "stdin" if first == "-" else Path(os.path.realpath(first)).name
    if Path(name).suffix.lower() in COMPRESSED:
        name = Path(name).stem
    return CHECKPOINTS / (Path(name).stem.replace("*", "").strip(".-_") or "text")


@contextmanager
def _joined(options: Options, path: Path) -> Iterator[tuple[World, Workers, torch.device]]:
    """The processes and threads that share a training of the run at `path` until it ends, and their device."""
    device = choose_device(options.device)
    keep_freed_memory()
    with ExitStack() as stack:
        stack.callback(leave)
        world = join(device)
        world.broadcast(lambda: stack.enter_context(training_lock(path)))
        yield world, stack.enter_context(workers_for(device)), device


def _prepare(options: Options, context: Context) -> Prepared:
    prepared: Prepared = kind_of(options.kind).get("prepare")(options, context)
    return prepared


def _create(path: Path, prepared: Prepared, *, overwrite: bool) -> Run:
    config: dict[str, Any] = {
        "kind": prepared.options.kind,
        "model": asdict(prepared.model),
        "data": asdict(prepared.data),
        "options": to_record(prepared.options),
        "versions": {
            "chargen": chargen.__version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    return create_run(path, config, prepared.tokenizer, prepared.labels, prepared.ngrams, overwrite=overwrite)

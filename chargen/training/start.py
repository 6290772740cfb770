"""From options to a run: what `chargen train` calls to begin a training, or to go on with one."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import chargen
from chargen.errors import ChargenError
from chargen.hardware import choose_device, keep_freed_memory
from chargen.kinds import kind_of
from chargen.runs.create import create_run, refuse_existing
from chargen.runs.folder import CHECKPOINTS, Run
from chargen.runs.search import find_run
from chargen.text.labelled import LabelledSet
from chargen.training.distributed import World, join, leave
from chargen.training.events import Done, Event, Note
from chargen.training.loop import train
from chargen.training.options import Options, options_of, to_record
from chargen.training.schedule import Budget
from chargen.training.setup import Hooks, Prepared, Setting
from chargen.workers import Workers, workers_for


def start(
    options: Options,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    hooks: Hooks | None = None,
    examples: LabelledSet | None = None,
) -> Iterator[Event]:
    """Train what the options say and write the run to `out`, by default a folder named after the input.

    examples: labelled texts for a classifier whose options name no inputs; `out` is needed then.
    ChargenError when the folder holds a run and `overwrite` is not asked for, and for whatever the text, the labels
    or the options make impossible; a run that was there is replaced only when the new training can begin.
    """
    hooks = hooks or Hooks()
    with _joined(options) as (world, workers, device):
        path = out or default_folder(options)
        world.agree(lambda: refuse_existing(path, overwrite=overwrite))
        source = find_run(options.start_from) if options.start_from else None
        setting = Setting(world, workers, device, source, examples=examples, progress=hooks.encoding)
        prepared = _prepare(options, setting)
        yield from map(Note, prepared.notes)
        if prepared.first:
            learned = yield from prepared.first(path, hooks)
            if learned is None:
                return
            told, (options, source) = prepared.notes, learned
            prepared = _prepare(options, replace(setting, source=source, is_learned=True))
            yield from (Note(note) for note in prepared.notes if note not in told)
        if prepared.fit:
            yield from prepared.fit(lambda: _create(path, prepared, overwrite=overwrite))
            return
        run = world.agree(lambda: _create(path, prepared, overwrite=overwrite))
        limits = prepared.options.budget
        for event in train(
            prepared.task, prepared.optimisation, limits, run, stop=hooks.stop, world=world, workers=workers
        ):
            if isinstance(event, Done) and prepared.correct:
                prepared.correct(event.summary["seconds"], event.summary["tokens_per_second"])
            yield event


def resume(
    run: Run, budget: Budget, *, device: str | None = None, precision: str | None = None, hooks: Hooks | None = None
) -> Iterator[Event]:
    """Go on with a run where it was saved last; limits set in `budget`, device and precision replace the run's own.

    ChargenError when its text, or the one it is validated on, is no longer the one it began with.
    """
    hooks = hooks or Hooks()
    before = options_of(run, Options)
    options = replace(before, device=device or before.device, precision=precision or before.precision)
    if budget != Budget():
        options = replace(options, minutes=budget.minutes, epochs=budget.epochs, steps=budget.steps)
    if "-" in options.inputs and sys.stdin.isatty():
        raise ChargenError(f"{run.name} was trained on standard input: pipe the same text into chargen once more")
    with _joined(options) as (world, workers, where):
        # A run killed before its first save still needs the weights that it was to start from.
        source = find_run(options.start_from) if options.start_from and not run.can_resume else None
        run.ngrams()  # raises where they are missing
        prepared = _prepare(options, Setting(world, workers, where, source, resumed=run, progress=hooks.encoding))
        if prepared.fit:
            raise ChargenError(
                f"{run.name} was fitted at once and has nothing to go on with: fit it again with --overwrite"
            )
        run.check_unchanged(prepared.data)
        if world.is_writer and options != before:
            run = run.save_config({**run.config, "options": to_record(options)})
        yield from train(
            prepared.task,
            prepared.optimisation,
            options.budget,
            run,
            resume=True,
            renewed=options != before,
            stop=hooks.stop,
            world=world,
            workers=workers,
        )


def default_folder(options: Options) -> Path:
    """`checkpoints/` and the name of the first input."""
    if not options.inputs:
        raise ChargenError("texts that are in no file give a run no name: name its folder with out")
    first = options.inputs[0]
    name = "stdin" if first == "-" else Path(first).resolve().name
    for suffix in (".gz", ".xz", ".zst"):
        name = name.removesuffix(suffix)
    return CHECKPOINTS / (Path(name).stem.replace("*", "").strip(".-_") or "text")


@contextmanager
def _joined(options: Options) -> Iterator[tuple[World, Workers, torch.device]]:
    """The processes and the threads that share a training, until it ends, and the device they use."""
    device = choose_device(options.device)
    keep_freed_memory()
    try:
        world = join(device)
        with workers_for(device) as workers:
            yield world, workers, device
    finally:
        leave()


def _prepare(options: Options, setting: Setting) -> Prepared:
    prepared: Prepared = kind_of(options.kind).get("prepare")(options, setting)
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

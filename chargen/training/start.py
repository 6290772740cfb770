"""From options to a run: what `chargen train` calls to begin a training, or to go on with one."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

import chargen
from chargen.errors import ChargenError
from chargen.hardware import choose_device, keep_freed_memory
from chargen.kinds import kind_of
from chargen.runs.folder import CHECKPOINTS, Run, create_run, is_run, refuse_existing
from chargen.runs.search import find_run
from chargen.text.labelled import LabelledSet
from chargen.training.distributed import World, join, leave
from chargen.training.events import Done, Event, Note, Step
from chargen.training.loop import INTERRUPTED, train
from chargen.training.options import ClassifierOptions, Options, from_record, options_type, to_record
from chargen.training.recipes import after_language, language_options
from chargen.training.schedule import Budget
from chargen.training.setup import Prepared, Setting, refuse_beside_probe
from chargen.training.tasks.classifier import Classification
from chargen.training.tasks.probe import fit_probe, store_probe
from chargen.workers import Workers, workers_for


@dataclass(frozen=True)
class Hooks:
    """How whoever watches a training may take part in it."""

    stop: Callable[[], bool] = lambda: False  # asked after each step; True saves and ends
    encoding: Callable[[float], object] | None = None  # told the share, 0 to 1, of the text that is encoded


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
    with _joined(options) as (world, workers):
        world.agree(lambda: refuse_beside_probe(options, world.size))
        path = out or default_folder(options)
        world.agree(lambda: refuse_existing(path, overwrite=overwrite))
        source = find_run(options.start_from) if options.start_from else None
        setting = Setting(world, workers, source, examples=examples, progress=hooks.encoding)
        prepared = _prepare(options, setting)
        yield from map(Note, prepared.notes)
        if prepared.adapt_to is not None:
            assert isinstance(prepared.options, ClassifierOptions) and isinstance(options, ClassifierOptions)
            source = yield from learn_language(prepared.adapt_to, prepared.options, path, hooks)
            if source is None:
                return
            options = after_language(options, str(source.path))
            told = prepared.notes
            prepared = _prepare(options, replace(setting, source=source))
            assert isinstance(prepared.options, ClassifierOptions)
            prepared = replace(prepared, options=replace(prepared.options, adapt=True))
            yield from (Note(note) for note in prepared.notes if note not in told)
        if isinstance(options, ClassifierOptions) and options.probe:
            assert isinstance(prepared.task, Classification)
            fits = fit_probe(prepared.task, balance=options.balance, seed=options.seed)
            yield from store_probe(prepared.task, fits, _create(path, prepared, overwrite=overwrite))
            return
        run = world.agree(lambda: _create(path, prepared, overwrite=overwrite))
        for event in train(
            prepared.task,
            prepared.optimisation,
            prepared.options.budget,
            run,
            stop=hooks.stop,
            world=world,
            workers=workers,
        ):
            if isinstance(event, Done) and prepared.correct:
                prepared.correct(event.summary["seconds"], event.summary["tokens_per_second"])
            yield event


def learn_language(
    texts: list[str], options: ClassifierOptions, path: Path, hooks: Hooks
) -> Generator[Event, None, Run | None]:
    """Train a language model on the texts of a classifier that is to be at `path`, beside it; gives its run.

    Without their labels, as ULMFiT does (Howard & Ruder 2018, arXiv:1801.06146). None when it was interrupted. Nobody
    named its folder, so it replaces none that is there; a file beside it keeps the texts, so that it can be resumed.
    """
    names = (f"{path.name}-language{f'-{number}' if number > 1 else ''}" for number in count(1))
    places = ((path.with_name(name), path.with_name(f"{name}.jsonl")) for name in names)
    language, file = next(place for place in places if not any(map(Path.exists, place)))
    yield Note(f"learning the language of the texts first, for {language} (--no-adapt leaves it out)")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    try:
        for event in start(language_options(options, str(file)), language, hooks=hooks):
            if isinstance(event, Done):
                if event.summary["stopped"] != INTERRUPTED:
                    return event.run
                yield Note(f"no label is learned yet: when {language} is done, go on with --from {language}")
                yield event
            elif isinstance(event, Step):
                yield event
    except ChargenError as error:
        raise ChargenError(
            f"the language of the texts cannot be learned (--no-adapt leaves it out): {error}"
        ) from error
    finally:
        if not is_run(language):
            file.unlink(missing_ok=True)
    return None


def resume(
    run: Run, budget: Budget, *, device: str | None = None, precision: str | None = None, hooks: Hooks | None = None
) -> Iterator[Event]:
    """Go on with a run where it was saved last; limits set in `budget`, device and precision replace the run's own.

    ChargenError when its text, or the one it is validated on, is no longer the one it began with.
    """
    hooks = hooks or Hooks()
    options = options_of(run)
    refuse_beside_probe(options, resumed=True)
    options = replace(options, device=device or options.device, precision=precision or options.precision)
    if budget != Budget():
        options = replace(options, minutes=budget.minutes, epochs=budget.epochs, steps=budget.steps)
    if "-" in options.inputs and sys.stdin.isatty():
        raise ChargenError(f"{run.name} was trained on standard input: pipe the same text into chargen once more")
    with _joined(options) as (world, workers):
        # A run killed before its first save still needs the weights that it was to start from.
        source = find_run(options.start_from) if options.start_from and not run.is_begun else None
        run.ngrams()  # raises where they are missing
        setting = Setting(world, workers, source, run.tokenizer(), run.config["data"], progress=hooks.encoding)
        prepared = _prepare(options, setting)
        run.refuse_changed(prepared.data["fingerprint"], prepared.data["validation"])
        renewed = options != options_of(run)
        if world.is_writer and renewed:
            run = run.save_config({**run.config, "options": to_record(options)})
        yield from train(
            prepared.task,
            prepared.optimisation,
            options.budget,
            run,
            resume=True,
            renewed=renewed,
            stop=hooks.stop,
            world=world,
            workers=workers,
        )


def options_of(run: Run) -> Options:
    """The options that a run was trained with, every choice made."""
    return from_record(options_type(run.kind), run.config["options"])


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
def _joined(options: Options) -> Iterator[tuple[World, Workers]]:
    """The processes and the threads that share a training, until it ends."""
    device = choose_device(options.device)
    keep_freed_memory()
    try:
        world = join(device)
        with workers_for(device) as workers:
            yield world, workers
    finally:
        leave()


def _prepare(options: Options, setting: Setting) -> Prepared:
    prepared: Prepared = kind_of(options.kind).get("prepare")(options, setting)
    return prepared


def _create(path: Path, prepared: Prepared, *, overwrite: bool) -> Run:
    config: dict[str, Any] = {
        "kind": prepared.options.kind,
        "model": prepared.model,
        "data": prepared.data,
        "options": to_record(prepared.options),
        "versions": {
            "chargen": chargen.__version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    return create_run(path, config, prepared.tokenizer, prepared.labels, prepared.ngrams, overwrite=overwrite)

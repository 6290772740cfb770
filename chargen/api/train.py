"""Training from Python: options in, a model out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chargen.api.classifier import TextClassifier
from chargen.api.writer import TextWriter
from chargen.kinds import CLASSIFIER, LANGUAGE_MODEL, kind_of
from chargen.runs.folder import Run
from chargen.training.events import Done, Event
from chargen.training.options import ClassifierOptions, LanguageModelOptions, Options
from chargen.training.start import start


def train(
    *inputs: str | Path,
    out: str | Path | None = None,
    overwrite: bool = False,
    on_event: Callable[[Event], object] | None = None,
    **options: Any,
) -> TextWriter:
    """Train a language model on texts and load it.

    inputs: files, folders, patterns, named corpora; out: the run's folder; options: the fields of
    `LanguageModelOptions`, such as minutes, hidden_size or documents; on_event: told each event of the training.
    ChargenError for what cannot be done.
    """
    asked = LanguageModelOptions(
        inputs=tuple(map(str, inputs)) or (kind_of(LANGUAGE_MODEL).default_input,), **options
    )
    return TextWriter(_finish(asked, out, overwrite, on_event))


def train_classifier(
    *inputs: str | Path,
    out: str | Path | None = None,
    overwrite: bool = False,
    on_event: Callable[[Event], object] | None = None,
    **options: Any,
) -> TextClassifier:
    """Train a classifier on labelled texts and load it; arguments as for `train`, of `ClassifierOptions`."""
    named = tuple(map(str, inputs)) or (kind_of(CLASSIFIER).default_input,)
    asked = ClassifierOptions(inputs=named, **options)
    return TextClassifier.from_run(_finish(asked, out, overwrite, on_event))


def _finish(
    options: Options, out: str | Path | None, overwrite: bool, on_event: Callable[[Event], object] | None
) -> Run:
    """Run a training to its end."""
    for event in start(options, None if out is None else Path(out), overwrite=overwrite):
        if on_event:
            on_event(event)
        if isinstance(event, Done):
            return event.run
    raise AssertionError("a training ends with Done")

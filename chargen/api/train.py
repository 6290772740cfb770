"""Train a model from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from chargen.api.classifier import TextClassifier
from chargen.api.writer import TextWriter
from chargen.kinds import CLASSIFIER, LANGUAGE_MODEL, kind_of
from chargen.runs.folder import Run
from chargen.training.events import Event, outcome
from chargen.training.options import ClassifierOptions, LanguageModelOptions, Options, make_options
from chargen.training.start import start

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from chargen.api.keywords import ClassifierKeywords, LanguageModelKeywords


def train(
    *inputs: str | Path,
    out: str | Path | None = None,
    overwrite: bool = False,
    on_event: Callable[[Event], object] | None = None,
    **options: Unpack[LanguageModelKeywords],
) -> TextWriter:
    """Train a language model on texts and load it.

    Args:
        *inputs: Files, folders, patterns, named corpora; none: a corpus made from your own Python.
        out: Folder for the run; None: `checkpoints/` and the name of the first input.
        overwrite: Replace a run that is in the folder.
        on_event: Called with each event of the training.
        **options: The options of `chargen train`, with underscores for hyphens: minutes, hidden_size, documents, …

    Returns:
        The trained model, ready to write.

    Raises:
        ChargenError: An option is unknown or out of range, `out` holds a run, or the text cannot be trained on.

    >>> writer = chargen.train("book.txt", minutes=3)  # doctest: +SKIP
    """
    return TextWriter(_run(LanguageModelOptions, LANGUAGE_MODEL, inputs, out, overwrite, on_event, dict(options)))


def train_classifier(
    *inputs: str | Path,
    out: str | Path | None = None,
    overwrite: bool = False,
    on_event: Callable[[Event], object] | None = None,
    **options: Unpack[ClassifierKeywords],
) -> TextClassifier:
    """Train a classifier on labelled texts and load it.

    Args:
        *inputs: Tables or folders of labelled texts; none: a corpus made from your own Python.
        out: Folder for the run; None: `checkpoints/` and the name of the first input.
        overwrite: Replace a run that is in the folder.
        on_event: Called with each event of the training.
        **options: The options of `chargen train --task classify`, with underscores for hyphens: minutes, ngrams, …

    Returns:
        The fitted classifier.

    Raises:
        ChargenError: An option is unknown or out of range, `out` holds a run, or the texts cannot be trained on.

    >>> classifier = chargen.train_classifier("reviews.csv", minutes=3)  # doctest: +SKIP
    """
    run = _run(ClassifierOptions, CLASSIFIER, inputs, out, overwrite, on_event, dict(options))
    return TextClassifier.from_run(run)


def _run(
    options_type: type[Options],
    kind: str,
    inputs: tuple[str | Path, ...],
    out: str | Path | None,
    overwrite: bool,
    on_event: Callable[[Event], object] | None,
    options: dict[str, object],
) -> Run:
    """Train, and return the run."""
    named = tuple(map(str, inputs)) or (kind_of(kind).default_input,)
    request = make_options(options_type, inputs=named, **options)
    return outcome(start(request, None if out is None else Path(out), overwrite=overwrite), on_event).run

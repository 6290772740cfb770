"""Load a run from Python. Writing and classifying need no torch, so nothing here imports it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chargen.kinds import CLASSIFIER, LANGUAGE_MODEL, kind_of
from chargen.runs.search import find_run

if TYPE_CHECKING:
    from chargen.api.classifier import TextClassifier
    from chargen.api.writer import TextWriter


def load(name: str | Path | None = None) -> Any:
    """Load a run of any kind.

    Args:
        name: Its name under `checkpoints/`, or its path; None: the newest run.

    Returns:
        A `TextWriter` for a language model, a fitted `TextClassifier` for a classifier. If you know which it is,
        `load_language_model` and `load_classifier` return the precise type.

    Raises:
        ChargenError: There is no such run, or it is damaged.

    >>> chargen.load("book").generate("Once")  # doctest: +SKIP
    """
    run = find_run(None if name is None else str(name))
    return kind_of(run.kind).get("load")(run)


def load_language_model(name: str | Path | None = None) -> TextWriter:
    """Load a language model.

    Args:
        name: Its name under `checkpoints/`, or its path; None: the newest language model.

    Raises:
        ChargenError: There is no such run, it is a classifier, or it is damaged.
    """
    from chargen.api.writer import TextWriter

    return TextWriter(find_run(None if name is None else str(name), LANGUAGE_MODEL))


def load_classifier(name: str | Path | None = None) -> TextClassifier:
    """Load a classifier.

    Args:
        name: Its name under `checkpoints/`, or its path; None: the newest classifier.

    Raises:
        ChargenError: There is no such run, it is a language model, or it is damaged.
    """
    from chargen.api.classifier import TextClassifier

    return TextClassifier.from_run(find_run(None if name is None else str(name), CLASSIFIER))

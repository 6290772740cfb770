"""What texts and labels may be: sequences as scikit-learn's users have them, or one clear sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d

from chargen.api.writer import TextWriter
from chargen.classification.labeller import Labeller
from chargen.errors import ChargenError
from chargen.runs.folder import Run
from chargen.runs.search import find_run


def as_run(run: Run | str | Path | None, kind: str | None = None) -> Run:
    """A run, or the one of a name or a path; with None the newest of a kind."""
    return run if isinstance(run, Run) else find_run(None if run is None else str(run), kind)


def without_models(state: dict[str, Any]) -> dict[str, Any]:
    """The state of an estimator to pickle: models are made anew from the run."""
    return {name: None if isinstance(value, (TextWriter, Labeller)) else value for name, value in state.items()}


def tags_of_texts(tags: Any) -> Any:
    """Scikit-learn's tags of an estimator that reads texts."""
    tags.input_tags.one_d_array = tags.input_tags.string = True
    tags.input_tags.two_d_array = False
    return tags


def _sequence(values: Any, name: str) -> list[Any]:
    """The elements of a one-dimensional sequence of any of the types that people have."""
    if hasattr(values, "__array__") and not hasattr(values, "__getitem__"):
        values = np.asarray(values)
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__getitem__"):
        what = "texts" if name == "X" else "labels"
        raise ChargenError(f"{name} is of type {type(values).__name__}, but must be a sequence of {what}: use a list")
    if (shape := getattr(values, "shape", None)) is not None and len(shape) != 1:
        raise ChargenError(f"{name} has the shape {tuple(shape)}, but must have one dimension: name a column of it")
    return list(values.tolist() if isinstance(values, np.ndarray) else values)


def as_texts(X: Any) -> list[str]:
    """Texts (N,) as a list; ChargenError for anything else, naming the first that is no text."""
    texts = _sequence(X, "X")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            what = "missing" if _is_missing(text) else f"of type {type(text).__name__}"
            raise ChargenError(f"X[{index}] is {what}, but must be a text (str): replace it or leave it out")
        if not _is_unicode(text):
            raise ChargenError(f"X[{index}] has half a surrogate pair, which is no character: remove it")
    return texts


def as_labels(y: Any) -> tuple[str, list[Any]]:
    """The type of labels (N,), by name, and the labels as Python has them; ChargenError for what is no label."""
    if y is None:
        raise ChargenError(
            "a classifier requires y to be passed, but the target y is None: give a label for each text"
        )
    labels = _sequence(column_or_1d(y, warn=True) if len(getattr(y, "shape", ())) > 1 else y, "y")
    labels = [label.item() if isinstance(label, np.generic) else label for label in labels]
    found: set[type] = set()
    for index, label in enumerate(labels):
        if isinstance(label, int) and not -(2**63) <= label < 2**63:
            raise ChargenError(f"y[{index}] has more than 64 bits, which no array of labels holds: make it a str")
        if isinstance(label, str) and (label.endswith("\0") or not _is_unicode(label)):
            raise ChargenError(f"y[{index}] ends in NUL or has half a surrogate pair: remove these characters")
        if isinstance(label, (bool, int, str)):
            found.add(bool if isinstance(label, bool) else int if isinstance(label, int) else str)
        else:
            what = "missing" if _is_missing(label) else f"of type {type(label).__name__}"
            raise ChargenError(f"Unknown label type: y[{index}] is {what}, but must be a str, an int or a bool")
    if len(found) > 1:
        names = " and ".join(sorted(one.__name__ for one in found))
        raise ChargenError(f"y has labels of several types, {names}: make them all one")
    kind = next(iter(found), str)
    return kind.__name__, list(map(kind, labels))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value)

"""Check texts and labels that are passed to estimators, and convert them to lists."""

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
    """Find a run.

    Args:
        run: A run, its name or its path; None: the newest.
        kind: Required kind, if the run is not given itself; None: any.

    Raises:
        ChargenError: There is no such run, or it is of another kind.
    """
    return run if isinstance(run, Run) else find_run(None if run is None else str(run), kind)


def without_models(state: dict[str, Any]) -> dict[str, Any]:
    """The state of an estimator to pickle, without models, which can be made again from its run."""
    return {name: None if isinstance(value, (TextWriter, Labeller)) else value for name, value in state.items()}


def tags_of_texts(tags: Any) -> Any:
    """Change scikit-learn's tags to those of an estimator that reads a sequence of texts."""
    tags.input_tags.one_d_array = tags.input_tags.string = True
    tags.input_tags.two_d_array = False
    return tags


def _sequence(values: Any, name: str) -> list[Any]:
    """List the elements of a list, array or Series; ChargenError for anything else."""
    if hasattr(values, "__array__") and not hasattr(values, "__getitem__"):
        values = np.asarray(values)
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__getitem__"):
        elements = "texts" if name == "X" else "labels"
        raise ChargenError(
            f"{name} is of type {type(values).__name__}, but must be a sequence of {elements}: use a list"
        )
    if (shape := getattr(values, "shape", None)) is not None and len(shape) != 1:
        raise ChargenError(f"{name} has the shape {tuple(shape)}, but must have one dimension: select a column")
    return list(values.tolist() if isinstance(values, np.ndarray) else values)


def as_texts(X: Any) -> list[str]:
    """Convert texts (N,) to a list.

    Raises:
        ChargenError: `X` is no sequence of str; the message names the first element that is none.

    >>> as_texts(np.array(["so good", "so bad"]))
    ['so good', 'so bad']
    """
    texts = _sequence(X, "X")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            what = "missing" if _is_missing(text) else f"of type {type(text).__name__}"
            raise ChargenError(f"X[{index}] is {what}, but must be a text (str): replace it or leave it out")
        if not _is_unicode(text):
            raise ChargenError(f"X[{index}] has half a surrogate pair, which is no valid character: remove it")
    return texts


def as_labels(y: Any) -> tuple[str, list[Any]]:
    """Convert labels (N,) to Python's types.

    Args:
        y: A sequence of str, of int, or of bool.

    Returns:
        The name of that type, and the labels (N,).

    Raises:
        ChargenError: An element is no label, or the labels have several types.

    >>> as_labels(np.array([3, 1, 3]))
    ('int', [3, 1, 3])
    """
    if y is None:
        raise ChargenError(
            "a classifier requires y to be passed, but the target y is None: give a label for each text"
        )
    labels = _sequence(column_or_1d(y, warn=True) if len(getattr(y, "shape", ())) > 1 else y, "y")
    labels = [label.item() if isinstance(label, np.generic) else label for label in labels]
    types: set[type] = set()
    for index, label in enumerate(labels):
        if isinstance(label, int) and not -(2**63) <= label < 2**63:
            raise ChargenError(f"y[{index}] has more than 64 bits, too many for an array of labels: make it a str")
        if isinstance(label, str) and (label.endswith("\0") or not _is_unicode(label)):
            raise ChargenError(f"y[{index}] ends in NUL or has half a surrogate pair: remove these characters")
        if isinstance(label, (bool, int, str)):
            types.add(bool if isinstance(label, bool) else int if isinstance(label, int) else str)
        else:
            what = "missing" if _is_missing(label) else f"of type {type(label).__name__}"
            raise ChargenError(f"Unknown label type: y[{index}] is {what}, but must be a str, an int or a bool")
    if len(types) > 1:
        names = " and ".join(sorted(label_type.__name__ for label_type in types))
        raise ChargenError(f"y has labels of several types, {names}: convert them to one type")
    label_type = next(iter(types), str)
    return label_type.__name__, list(map(label_type, labels))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value)

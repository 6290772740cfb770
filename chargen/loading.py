"""What `chargen.load` does; models write and label without torch, so nothing here imports it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chargen.checkpoint import LANGUAGE_MODEL, find_run

if TYPE_CHECKING:
    from chargen.estimators import TextClassifier
    from chargen.generation.writer import TextWriter


def load(name: str | Path | None = None) -> TextWriter | TextClassifier:
    """A trained run by its name under `checkpoints/`, or its path; the newest one when None is named.

    A language model comes as a `TextWriter`, a classifier as a fitted `TextClassifier`.
    """
    run = find_run(None if name is None else str(name))
    if run.kind == LANGUAGE_MODEL:
        from chargen.generation.writer import TextWriter

        return TextWriter(run)
    from chargen.estimators import TextClassifier  # scikit-learn takes a while to import

    return TextClassifier.from_run(run)

"""What `chargen.load` does; models write and label without torch, so nothing here imports it."""

from __future__ import annotations

from pathlib import Path

from chargen.checkpoint import LANGUAGE_MODEL, find_run
from chargen.classification import TextClassifier
from chargen.generation.writer import TextWriter


def load(name: str | Path | None = None) -> TextWriter | TextClassifier:
    """A trained run by its name under `checkpoints/`, or its path; the newest one when None is named."""
    run = find_run(None if name is None else str(name))
    if run.kind == LANGUAGE_MODEL:
        return TextWriter(run)
    return TextClassifier(run)

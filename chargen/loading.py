"""What `chargen.load` does; a language model writes without torch, so nothing here imports it before it must."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chargen.checkpoint import LANGUAGE_MODEL, find_run
from chargen.generation.writer import TextWriter

if TYPE_CHECKING:
    from chargen.classification import TextClassifier


def load(name: str | Path | None = None) -> TextWriter | TextClassifier:
    """A trained run by its name under `checkpoints/`, or its path; the newest one when None is named."""
    run = find_run(None if name is None else str(name))
    if run.kind == LANGUAGE_MODEL:
        return TextWriter(run)
    from chargen.classification import TextClassifier

    return TextClassifier(run)

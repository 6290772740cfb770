"""What `chargen.load` does; models write and label without torch, so nothing here imports it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chargen.kinds import kind_of
from chargen.runs.search import find_run

if TYPE_CHECKING:
    from chargen.api.classifier import TextClassifier
    from chargen.api.writer import TextWriter


def load(name: str | Path | None = None) -> TextWriter | TextClassifier:
    """A trained run by its name under `checkpoints/`, or its path; the newest one when None is named.

    A language model comes as a `TextWriter`, a classifier as a fitted `TextClassifier`.
    """
    run = find_run(None if name is None else str(name))
    loaded: TextWriter | TextClassifier = kind_of(run.kind).get("load")(run)
    return loaded

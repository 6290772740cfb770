"""Gradients of other models beside an inspected one: of other runs, and of cells that are trained briefly."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from chargen.api.inspected_texts import Texts, predict_passage
from chargen.errors import ChargenError
from chargen.inspection.findings import Curve
from chargen.inspection.gradients import STEPS, measure_gradients
from chargen.inspection.passage import Passage
from chargen.inspection.untrained import untrained
from chargen.kinds import LANGUAGE_MODEL
from chargen.models.config import LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.models.specs import SPECS
from chargen.models.weights import load_weights
from chargen.runs.folder import CHECKPOINTS, Run, is_path, is_run
from chargen.runs.inputs import own_texts
from chargen.runs.search import find_run
from chargen.training.events import outcome
from chargen.training.options import LanguageModelOptions, options_of
from chargen.training.start import start

Progress = Callable[[float], object]

READING = (  # options of how a text is read and split
    *("encoding", "documents", "text_column", "val_fraction"),
    *("tokenizer", "vocab_size", "min_frequency"),
)
BRIEF: dict[str, Any] = {  # a training of some seconds on a laptop
    "num_layers": 1,
    "hidden_size": 128,
    "embedding_size": 32,
    "steps": 400,
    "batch_size": 16,
    "sequence_length": 100,
    "device": "cpu",
    "precision": "fp32",
}


Other = tuple[str, Run | None]  # a run by its name, or a cell, of which a model is still to be trained


def models_to_compare(run: Run, texts: Texts, names: Sequence[str]) -> list[Other]:
    """Find the models to compare with, before any work is done.

    Args:
        run: The inspected run, on whose text cells are trained.
        texts: What all read.
        names: Cells and runs; several may stand in one, with commas. A run that is called like a cell is named by its
            path.

    Raises:
        ChargenError: There is no such run, it is no language model, it cannot read the texts, or the text that cells
            would be trained on is gone.
    """
    models: list[Other] = []
    for name in filter(None, (name.strip() for several in names for name in _split(several))):
        if name in SPECS:
            own_texts(run)
            models.append((name, None))
        else:
            other = _named_run(name)
            predict_passage(other, other.tokenizer(), texts)
            models.append((str(other.path) if other.name in SPECS else other.name, other))
    return models


def curves_to_compare(
    run: Run, texts: Texts, models: Sequence[Other], progress: Progress
) -> tuple[list[Curve], list[str]]:
    """The gradients of other models, trained and untrained, on the same text.

    Args:
        run: The inspected run, on whose text cells are trained.
        texts: What all read.
        models: From `models_to_compare`.
        progress: Called with the fraction done, 0 to 1.

    Returns:
        Two curves for each model, and sentences on what was trained and on what could not be measured.

    Raises:
        ChargenError: The text that a cell was trained on lacks characters of the texts.
    """
    curves: list[Curve] = []
    notes: list[str] = []
    for number, (name, other) in enumerate(models):
        if other:
            found = _curves(name, other, texts)
        else:
            with tempfile.TemporaryDirectory(prefix="chargen-") as folder:
                found = _curves(name, _trained_briefly(name, run, Path(folder) / name), texts)
        if not found:
            notes.append(f"{name} reads no text in more than {STEPS + 1} tokens, so its gradients are not compared")
        curves += found
        progress((number + 1) / len(models))
    if cells := [name for name, other in models if not other]:
        size = f"{BRIEF['num_layers']} layer of {BRIEF['hidden_size']} units, {BRIEF['steps']} steps"
        notes.append(f"to compare with, {', '.join(cells)} were trained briefly on the text of {run.name} ({size})")
    return curves, notes


def curves_of(
    name: str,
    trained: LanguageModel,
    fresh: LanguageModel,
    passage: Passage,
    progress: Progress = lambda fraction: None,
) -> list[Curve]:
    """The gradients of a model, trained and untrained; none if no text is long enough.

    Args:
        name: Of the model.
        trained: The model.
        fresh: One of the same shape, as training begins with it.
        passage: What both read.
        progress: Called with the fraction done, 0 to 1.
    """
    found = (
        measure_gradients(trained, passage, progress=lambda fraction: progress(fraction / 2)),
        measure_gradients(fresh, passage, progress=lambda fraction: progress(0.5 + fraction / 2)),
    )
    return [Curve(name, own is found[0], own) for own in found if own]


def _named_run(name: str) -> Run:
    try:
        return find_run(name, LANGUAGE_MODEL)
    except ChargenError as error:
        if _is_run(name) or is_path(name):
            raise
        raise ChargenError(f"{error}; or compare with a cell: {', '.join(SPECS)}") from None


def _split(name: str) -> list[str]:
    """The names in a list with commas; or the name of a run that has commas itself."""
    return [name] if _is_run(name) else name.split(",")


def _is_run(name: str) -> bool:
    return is_run(Path(name)) or is_run(CHECKPOINTS / name)


def _curves(name: str, run: Run, texts: Texts) -> list[Curve]:
    make = partial(LanguageModel, run.model_config(LanguageModelConfig))
    passage = predict_passage(run, run.tokenizer(), texts)
    return curves_of(name, load_weights(make(), run.weights()), untrained(make), passage)


def _trained_briefly(cell: str, run: Run, path: Path) -> Run:
    """A small model of a cell, trained on the text of a run."""
    own, texts = options_of(run, LanguageModelOptions), own_texts(run)
    same = {name: getattr(own, name) for name in READING}
    options = LanguageModelOptions(inputs=texts.inputs, val=texts.val, cell=cell, **same, **BRIEF)
    return outcome(start(options, path)).run

"""Gradients of other models beside an inspected one: of other runs, and of cells that are trained briefly."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from chargen.api.inspected_texts import Texts, predict_passage
from chargen.inspection.findings import Curve
from chargen.inspection.gradients import STEPS, measure_gradients
from chargen.inspection.untrained import untrained
from chargen.kinds import LANGUAGE_MODEL
from chargen.models.config import LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.models.specs import SPECS
from chargen.models.weights import load_weights
from chargen.runs.folder import Run
from chargen.runs.inputs import own_texts
from chargen.runs.search import find_run
from chargen.training.events import Done
from chargen.training.options import LanguageModelOptions, options_of
from chargen.training.start import start

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


def curves_to_compare(
    run: Run, texts: Texts, names: Sequence[str], progress: Callable[[float], object]
) -> tuple[list[Curve], list[str]]:
    """The gradients of other models, trained and untrained, on the same text.

    Args:
        run: The inspected run, on whose text cells are trained.
        texts: What all read.
        names: Runs, or cells; several may stand in one name, with commas.
        progress: Called with the fraction done, 0 to 1.

    Returns:
        Two curves for each model, and sentences on what was trained and on what could not be measured.

    Raises:
        ChargenError: There is no such run, it is no language model, or it cannot read the text.
    """
    single = [name.strip() for several in names for name in _split(several)]
    cells = [name for name in single if name in SPECS]
    curves: list[Curve] = []
    notes: list[str] = []
    for number, name in enumerate(single):
        if name in SPECS:
            with tempfile.TemporaryDirectory(prefix="chargen-") as folder:
                found = _curves(name, _trained_briefly(name, run, Path(folder) / "run"), texts)
        else:
            other = find_run(name, LANGUAGE_MODEL)
            found = _curves(other.name, other, texts)
        if not found:
            notes.append(f"{name} reads no text in more than {STEPS + 1} tokens, so its gradients are not compared")
        curves += found
        progress((number + 1) / len(single))
    if cells:
        size = f"{BRIEF['num_layers']} layer of {BRIEF['hidden_size']} units, {BRIEF['steps']} steps"
        notes.append(f"to compare with, {', '.join(cells)} were trained briefly on the text of {run.name} ({size})")
    return curves, notes


def _split(name: str) -> list[str]:
    """The cells in a list with commas; else the name of a run, which may have commas."""
    parts = name.split(",")
    return parts if all(part.strip() in SPECS for part in parts) else [name]


def _curves(name: str, run: Run, texts: Texts) -> list[Curve]:
    config = run.model_config(LanguageModelConfig)
    passage = predict_passage(run, run.tokenizer(), texts)
    trained = load_weights(LanguageModel(config), run.weights())
    found = []
    for is_trained, model in ((True, trained), (False, untrained(partial(LanguageModel, config)))):
        gradients = measure_gradients(model, passage)
        if gradients:
            found.append(Curve(name, is_trained, gradients))
    return found


def _trained_briefly(cell: str, run: Run, path: Path) -> Run:
    """A small model of a cell, trained on the text of a run."""
    own, texts = options_of(run, LanguageModelOptions), own_texts(run)
    same = {name: getattr(own, name) for name in READING}
    options = LanguageModelOptions(inputs=texts.inputs, val=texts.val, cell=cell, **same, **BRIEF)
    for event in start(options, path):
        if isinstance(event, Done):
            return event.run
    raise AssertionError("a training ends with Done")

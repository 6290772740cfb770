"""Starting from another run: its weights, shape and tokenizer are taken over, or it is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import SENTENCE, edit_json
from trainings import notes_of, run_of, small

from chargen.errors import ChargenError
from chargen.runs.folder import Run
from chargen.training.options import ClassifierOptions, LanguageModelOptions
from chargen.training.schedule import Budget
from chargen.training.start import resume, start

pytestmark = pytest.mark.usefixtures("data_folder")


def assert_same_encoder(one: Run, other: Run) -> None:
    shared = [name for name in one.weights() if name.startswith("encoder.")]
    assert "encoder.embedding.weight" in shared and len(shared) >= 5
    for name in shared:
        np.testing.assert_allclose(other.weights()[name], one.weights()[name], atol=1e-9)


def test_fine_tuning_takes_over_weights_shape_and_tokenizer(text: str, tmp_path: Path) -> None:
    first = run_of(start(small(text), tmp_path / "first"))
    new = tmp_path / "new.txt"
    new.write_text((SENTENCE + "Ünï\n") * 30, encoding="utf-8")
    options = LanguageModelOptions(
        inputs=(str(new),),
        start_from=str(first.path),
        steps=1,
        batch_size=4,
        sequence_length=8,
        learning_rate=1e-12,
        device="cpu",
    )
    events = list(start(options, tmp_path / "second"))
    notes = notes_of(events)
    assert "'Ü'" in notes and "new to" in notes
    second = run_of(events)
    assert second.tokenizer().to_bytes() == first.tokenizer().to_bytes()
    for name, weight in first.weights().items():
        np.testing.assert_allclose(second.weights()[name], weight, atol=1e-9)
    resumed = run_of(resume(second, Budget(steps=3)))
    assert resumed.summary()["steps"] == 3


def test_a_classifier_starts_from_a_language_models_encoder(text: str, table: str, tmp_path: Path) -> None:
    first = run_of(start(small(text), tmp_path / "first"))
    options = ClassifierOptions(
        inputs=(table,), start_from=str(first.path), steps=1, learning_rate=1e-12, device="cpu"
    )
    second = run_of(start(options, tmp_path / "second"))
    assert_same_encoder(first, second)
    assert second.config["data"]["framed"] is False  # read as the encoder knows texts


def test_tied_weights_are_taken_over_tied(text: str, tmp_path: Path) -> None:
    first = run_of(start(small(text, tied=True, embedding_size=12), tmp_path / "first"))
    options = LanguageModelOptions(
        inputs=(text,),
        start_from=str(first.path),
        steps=1,
        batch_size=4,
        sequence_length=8,
        learning_rate=1e-12,
        device="cpu",
    )
    second = run_of(start(options, tmp_path / "second"))
    assert second.weights().keys() == first.weights().keys()
    for name, weight in first.weights().items():
        np.testing.assert_allclose(second.weights()[name], weight, atol=1e-9)


def test_an_encoder_that_does_not_fit_is_refused_not_left_random(text: str, table: str, tmp_path: Path) -> None:
    first = run_of(start(small(text), tmp_path / "first"))
    options = ClassifierOptions(inputs=(table,), start_from=str(first.path), bidirectional=True, device="cpu")
    with pytest.raises(ChargenError, match="--bidirectional True contradicts --from"):
        list(start(options, tmp_path / "second"))
    both_ways = run_of(start(ClassifierOptions(inputs=(table,), steps=2, hidden_size=6), tmp_path / "third"))
    with pytest.raises(ChargenError, match="reads from both ends"):
        list(start(LanguageModelOptions(inputs=(text,), start_from=str(both_ways.path)), tmp_path / "fourth"))
    again = ClassifierOptions(inputs=(table,), start_from=str(both_ways.path), steps=1, learning_rate=1e-12)
    assert_same_encoder(both_ways, run_of(start(again, tmp_path / "fifth")))


def test_fine_tuning_refuses_another_shape(text: str, tmp_path: Path) -> None:
    first = run_of(start(small(text), tmp_path / "first"))
    with pytest.raises(ChargenError, match="--hidden-size 20 contradicts --from"):
        list(start(small(text, hidden_size=20, start_from=str(first.path)), tmp_path / "second"))


def test_a_shape_beyond_sense_is_refused_before_a_model_is_made(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_of(start(small(text), tmp_path / "first"))
    edit_json(first.path / "config.json", lambda config: config["model"]["encoder"].update(hidden_size=1 << 16))
    made = "chargen.training.tasks.language_model.LanguageModel"
    monkeypatch.setattr(made, lambda config: pytest.fail("a model is made"))
    options = LanguageModelOptions(inputs=(text,), start_from=str(first.path), steps=1, batch_size=4, device="cpu")
    with pytest.raises(ChargenError, match=r"but config\.json says"):
        list(start(options, tmp_path / "second"))

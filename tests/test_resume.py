"""Resuming: the end is that of an uninterrupted training, whatever stopped it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import SENTENCE, edit_json
from trainings import assert_equal_runs, run_of, small, stop_after

from chargen.api.evaluate import evaluate
from chargen.errors import ChargenError
from chargen.runs.folder import load_run
from chargen.training.events import Evaluated, Step
from chargen.training.options import ClassifierOptions, Options, options_of
from chargen.training.schedule import Budget
from chargen.training.start import resume, start

pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("stopped_at", [1, 8, 15, 29])
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    text: str, tmp_path: Path, stopped_at: int, cell: str
) -> None:
    options = small(text, cell=cell)
    whole = run_of(start(options, tmp_path / "whole"))
    stopped = run_of(start(options, tmp_path / "parts", hooks=stop_after(stopped_at)))
    assert stopped.summary()["stopped"] == "interrupted"
    torch.manual_seed(99)  # whatever happened in between
    resumed = run_of(resume(stopped, Budget()))
    assert_equal_runs(whole, resumed)


def test_a_finished_run_goes_on_with_a_larger_budget(text: str, tmp_path: Path) -> None:
    run = run_of(start(small(text, steps=10), tmp_path / "run"))
    events = list(resume(run, Budget(steps=25)))
    steps = [event.step for event in events if isinstance(event, Step)]
    assert steps == list(range(11, 26))
    assert options_of(load_run(run.path), Options).steps == 25


def test_resuming_a_finished_run_trains_no_more(text: str, tmp_path: Path) -> None:
    run = run_of(start(small(text), tmp_path / "run"))
    before = run.summary()
    events = list(resume(run, Budget()))
    assert not any(isinstance(event, Step) for event in events)
    assert run_of(events).summary()["val_loss"] == before["val_loss"]


def test_a_text_that_changed_is_not_resumed(text: str, tmp_path: Path) -> None:
    run = run_of(start(small(text), tmp_path / "run", hooks=stop_after(5)))
    Path(text).write_text(SENTENCE * 41)
    with pytest.raises(ChargenError, match="has changed since"):
        list(resume(run, Budget()))


def test_a_text_to_validate_on_that_changed_is_not_resumed(text: str, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(SENTENCE * 10)
    run = run_of(start(small(text, val=(str(other),)), tmp_path / "run", hooks=stop_after(5)))
    list(resume(run, Budget(steps=7)))
    other.write_text(SENTENCE * 11)
    with pytest.raises(ChargenError, match=r"the text in .*other\.txt has changed since"):
        list(resume(run, Budget()))


def test_a_resumed_training_reads_with_the_tokenizer_it_has(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = small(text, tokenizer="bpe", vocab_size=300)
    whole = run_of(start(options, tmp_path / "whole"))
    part = run_of(start(options, tmp_path / "part", hooks=stop_after(5)))
    shutil.rmtree(tmp_path / "data" / "encoded")

    def learned(*arguments: object, **settings: object) -> None:
        raise AssertionError("a tokenizer was learned again, by what may be another version")

    monkeypatch.setattr("chargen.text.corpus.train_tokenizer", learned)
    assert_equal_runs(whole, run_of(resume(part, Budget())))
    assert evaluate(whole)["nats_per_token"] == pytest.approx(whole.summary()["val_loss"], rel=1e-4)


def test_a_resumed_classifier_equals_an_uninterrupted_one(table: str, tmp_path: Path) -> None:
    options = ClassifierOptions(
        inputs=(table,), steps=20, hidden_size=8, batch_size=8, device="cpu", precision="fp32"
    )
    whole = run_of(start(options, tmp_path / "whole"))
    parts = run_of(start(options, tmp_path / "parts", hooks=stop_after(7)))
    assert_equal_runs(whole, run_of(resume(parts, Budget())))


def test_a_classifier_resumed_reads_texts_as_it_began_to(text: str, table: str, tmp_path: Path) -> None:
    first = run_of(start(small(text), tmp_path / "first"))
    options = ClassifierOptions(inputs=(table,), start_from=str(first.path), steps=12, device="cpu", precision="fp32")
    whole = run_of(start(options, tmp_path / "whole"))
    parts = run_of(start(options, tmp_path / "parts", hooks=stop_after(5)))
    assert_equal_runs(whole, run_of(resume(parts, Budget())))


def test_patience_stays_spent(table: str, tmp_path: Path) -> None:
    options = ClassifierOptions(
        inputs=(table,), steps=200, hidden_size=4, patience=2, learning_rate=1e-9, device="cpu"
    )
    run = run_of(start(options, tmp_path / "run"))
    events = list(resume(run, Budget()))
    assert not any(isinstance(event, Step) for event in events)
    assert run_of(events).summary()["stopped"] == "no better for a while"


def test_a_larger_budget_renews_patience(table: str, tmp_path: Path) -> None:
    options = ClassifierOptions(
        inputs=(table,), steps=200, hidden_size=4, patience=2, learning_rate=1e-9, device="cpu"
    )
    run = run_of(start(options, tmp_path / "run"))
    summary = run_of(resume(run, Budget(steps=400))).summary()
    assert summary["steps"] > 60


def test_a_run_whose_training_state_is_gone_keeps_its_weights(text: str, tmp_path: Path) -> None:
    run = run_of(start(small(text), tmp_path / "run"))
    weights = run.weights()
    shutil.rmtree(run.path / "training")
    with pytest.raises(ChargenError, match=r"lacks training/state.safetensors, so it cannot be resumed: .* --from"):
        list(resume(run, Budget(steps=60)))
    for name, weight in run.weights().items():
        np.testing.assert_array_equal(weight, weights[name])


def test_an_evaluation_out_of_turn_leaves_no_trace(text: str, tmp_path: Path) -> None:
    stopped = run_of(start(small(text), tmp_path / "run", hooks=stop_after(1)))
    assert [record["step"] for record in stopped.metrics()] == [1]
    state = stopped.training_state()
    assert state is not None and state[1]["best"] is None and state[1]["evaluation_tokens"] == 0
    finished = run_of(resume(stopped, Budget()))
    assert [record["step"] for record in finished.metrics()][:2] == [3, 6]


@pytest.mark.parametrize("writes", range(12))
def test_a_full_disk_keeps_what_was_saved(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """The disk is full from some write on: the config, then at each evaluation weights, metrics and state."""
    run = run_of(start(small(text, steps=10), tmp_path / "run"))
    count = 0

    def fsync(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count > writes:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fsync)
        with pytest.raises(OSError, match="No space left"):
            list(resume(run, Budget(steps=20)))
    assert not [path for path in run.path.rglob("*") if path.name.startswith(".")]
    assert all(np.isfinite(weight).all() for weight in run.weights().values())
    finished = run_of(resume(load_run(run.path), Budget(steps=20)))
    whole = run_of(resume(run_of(start(small(text, steps=10), tmp_path / "other")), Budget(steps=20)))
    for name, weight in whole.weights().items():
        np.testing.assert_array_equal(finished.weights()[name], weight)


def test_a_run_that_is_moved_away_while_it_trains_is_noticed_and_goes_on_elsewhere(text: str, tmp_path: Path) -> None:
    events = start(small(text, steps=12), tmp_path / "run")
    with pytest.raises(ChargenError, match="was moved or deleted while it was trained"):
        for event in events:
            if isinstance(event, Evaluated):
                (tmp_path / "run").rename(tmp_path / "moved")
    assert not (tmp_path / "run").exists()
    run = run_of(list(resume(load_run(tmp_path / "moved"), Budget())))
    assert run.path == tmp_path / "moved" and run.summary()["steps"] == 12


def test_layers_beyond_sense_are_refused_before_a_model_is_made(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(start(small(text), tmp_path / "run", hooks=stop_after(5)))
    monkeypatch.setattr("chargen.training.start._prepare", lambda *arguments: pytest.fail("a model is made"))
    edit_json(run.path / "config.json", lambda config: config["options"].update(hidden_size=1 << 16))
    with pytest.raises(ChargenError, match="has two values of hidden_size"):
        list(resume(load_run(run.path), Budget()))
    edit_json(run.path / "config.json", lambda config: config["model"]["encoder"].update(hidden_size=1 << 16))
    with pytest.raises(ChargenError, match=r"but config\.json says"):
        list(resume(load_run(run.path), Budget()))

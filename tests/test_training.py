"""Training: what it leaves behind, that it learns, and that stopping, resuming and failing lose nothing."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from chargen.api.evaluate import evaluate
from chargen.errors import ChargenError
from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.models.dropout import Dropout
from chargen.models.language_model import LanguageModel
from chargen.models.specs import SPECS
from chargen.runs.folder import Run, load_run
from chargen.text.tokenizers.char import CharTokenizer
from chargen.training import loop
from chargen.training.batches import Streams
from chargen.training.classifier_recipes import classifier_recipe
from chargen.training.events import Done, Evaluated, Event, Note, Started, Step
from chargen.training.options import (
    ChosenLanguageModelOptions,
    ClassifierOptions,
    LanguageModelOptions,
    Options,
    from_record,
    options_of,
    to_record,
)
from chargen.training.recipes import LADDER, Speed, language_model_recipe
from chargen.training.schedule import Budget
from chargen.training.setup import Hooks
from chargen.training.start import default_folder, resume, start
from chargen.training.tasks.language_model import LanguageModelling
from chargen.workers import Workers

SENTENCE = "the cat sat on the mat, and the dog ran after the hat.\n"


@pytest.fixture(autouse=True)
def _data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARGEN_DATA", str(tmp_path / "data"))


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_text(SENTENCE * 40, encoding="utf-8")
    return str(path)


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "table.csv"
    rows = [f"{word} {number},{label}" for number in range(30) for word, label in (("good", "pos"), ("bad", "neg"))]
    path.write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return str(path)


def small(text: str, **changes: Any) -> LanguageModelOptions:
    """A model of a few hundred weights with every kind of dropout, so that random numbers matter."""
    settings: dict[str, Any] = {
        "steps": 30,
        "num_layers": 2,
        "hidden_size": 12,
        "embedding_size": 6,
        "batch_size": 4,
        "sequence_length": 8,
        "learning_rate": 0.02,
        "dropout": 0.2,
        "dropout_input": 0.1,
        "dropout_embedding": 0.1,
        "weight_drop": 0.1,
        "precision": "fp32",
        "device": "cpu",
    }
    return LanguageModelOptions(inputs=(text,), **settings | changes)


def run_of(events: list[Event]) -> Run:
    assert isinstance(events[-1], Done)
    return events[-1].run


def stop_after(steps: int) -> Hooks:
    """Hooks that stop a training after so many steps."""
    count = iter(range(1, 10**9))
    return Hooks(stop=lambda: next(count) >= steps)


def test_a_training_tells_what_happens_in_order(text: str, tmp_path: Path) -> None:
    events = list(start(small(text), tmp_path / "run"))
    kinds = [type(event) for event in events if not isinstance(event, Note)]
    assert kinds[0] is Started and kinds[-1] is Done
    steps = [event for event in events if isinstance(event, Step)]
    assert [event.step for event in steps] == list(range(1, 31))
    assert steps[-1].fraction == 1 and steps[-1].tokens == 30 * 4 * 8
    assert all(event.bits == pytest.approx(event.loss / math.log(2)) for event in steps)
    evaluations = [event.record["step"] for event in events if isinstance(event, Evaluated)]
    assert evaluations == [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]


def test_a_run_folder_holds_what_the_contract_says(text: str, tmp_path: Path) -> None:
    run = run_of(list(start(small(text), tmp_path / "run")))
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "metrics.jsonl",
        "summary.json",
        "training",
    }
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary.keys() >= {
        "val_loss",
        "val_bpc",
        "parameters",
        "seconds",
        "tokens",
        "tokens_per_second",
        "stopped",
    }
    assert summary["val_bpc"] == pytest.approx(summary["val_loss"] / math.log(2))
    assert summary["parameters"] == sum(weight.size for weight in run.weights().values())
    assert summary["stopped"] == "budget spent"
    assert load_run(run.path).config["options"]["hidden_size"] == 12
    assert len(run.metrics()) == 10


def test_it_learns(text: str, tmp_path: Path) -> None:
    run = run_of(list(start(small(text, steps=300, dropout=0.0, weight_drop=0.0), tmp_path / "run")))
    assert run.summary()["val_loss"] < 0.5  # the text repeats itself; its symbols alone have 2.7 nats


def test_the_same_options_give_the_same_weights_and_another_seed_others(text: str, tmp_path: Path) -> None:
    first, again, other = (
        run_of(list(start(small(text, seed=seed), tmp_path / f"run{number}"))).weights()
        for number, seed in enumerate((1, 1, 2))
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("stopped_at", [1, 8, 15, 29])
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    text: str, tmp_path: Path, stopped_at: int, cell: str
) -> None:
    options = small(text, cell=cell)
    whole = run_of(list(start(options, tmp_path / "whole")))
    stopped = run_of(list(start(options, tmp_path / "parts", hooks=stop_after(stopped_at))))
    assert stopped.summary()["stopped"] == "interrupted"
    torch.manual_seed(99)  # whatever happened in between
    resumed = run_of(list(resume(stopped, Budget())))
    assert_equal_runs(whole, resumed)


def assert_equal_runs(one: Run, other: Run) -> None:
    states = [run.training_state() for run in (one, other)]
    assert states[0] is not None and states[1] is not None
    assert states[0][0].keys() == states[1][0].keys()
    for name, tensor in states[0][0].items():
        assert np.array_equal(tensor, states[1][0][name]), name
    weights = one.weights()
    assert all(np.array_equal(weights[name], other.weights()[name]) for name in weights)

    def figures(run: Run) -> list[tuple[int, float]]:
        return [(record["step"], record["val_loss"]) for record in run.metrics()]

    assert figures(one) == figures(other)


def test_a_finished_run_goes_on_with_a_larger_budget(text: str, tmp_path: Path) -> None:
    run = run_of(list(start(small(text, steps=10), tmp_path / "run")))
    events = list(resume(run, Budget(steps=25)))
    steps = [event.step for event in events if isinstance(event, Step)]
    assert steps == list(range(11, 26))
    assert options_of(load_run(run.path), Options).steps == 25


def test_resuming_a_finished_run_trains_no_more(text: str, tmp_path: Path) -> None:
    run = run_of(list(start(small(text), tmp_path / "run")))
    before = run.summary()
    events = list(resume(run, Budget()))
    assert not any(isinstance(event, Step) for event in events)
    assert run_of(events).summary()["val_loss"] == before["val_loss"]


def test_a_text_that_changed_is_not_resumed(text: str, tmp_path: Path) -> None:
    run = run_of(list(start(small(text), tmp_path / "run", hooks=stop_after(5))))
    Path(text).write_text(SENTENCE * 41)
    with pytest.raises(ChargenError, match="has changed since"):
        list(resume(run, Budget()))


def test_a_text_to_validate_on_that_changed_is_not_resumed(text: str, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(SENTENCE * 10)
    run = run_of(list(start(small(text, val=(str(other),)), tmp_path / "run", hooks=stop_after(5))))
    list(resume(run, Budget(steps=7)))
    other.write_text(SENTENCE * 11)
    with pytest.raises(ChargenError, match=r"the text in .*other\.txt has changed since"):
        list(resume(run, Budget()))


def test_a_resumed_training_reads_with_the_tokenizer_it_has(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = small(text, tokenizer="bpe", vocab_size=300)
    whole = run_of(list(start(options, tmp_path / "whole")))
    part = run_of(list(start(options, tmp_path / "part", hooks=stop_after(5))))
    shutil.rmtree(tmp_path / "data" / "encoded")

    def learned(*arguments: object, **settings: object) -> None:
        raise AssertionError("a tokenizer was learned again, by what may be another version")

    monkeypatch.setattr("chargen.text.corpus.train_tokenizer", learned)
    assert_equal_runs(whole, run_of(list(resume(part, Budget()))))
    assert evaluate(whole)["nats_per_token"] > 0


def test_characters_without_a_symbol_are_told_and_where_they_are(text: str, tmp_path: Path) -> None:
    def notes(events: Iterator[Event]) -> str:
        return " ".join(event.text for event in events if isinstance(event, Note))

    other, new = tmp_path / "other.txt", tmp_path / "new.txt"
    other.write_text((SENTENCE + "ß") * 10, encoding="utf-8")
    new.write_text((SENTENCE + "Ü") * 30, encoding="utf-8")
    first = tmp_path / "first"
    told = notes(start(small(text, val=(str(other),)), first))
    assert "1 characters ('ß') of the validation text have no symbol and become the unknown symbol: 10 pl" in told
    assert "are rarer than" in notes(start(small(str(new), min_frequency=100, steps=1), tmp_path / "rare"))
    from_first = LanguageModelOptions(
        inputs=(str(new),), start_from=str(first), steps=1, batch_size=4, sequence_length=8, device="cpu"
    )
    assert f"('Ü') are new to {first}" in notes(start(from_first, tmp_path / "second"))


def test_a_run_is_not_overwritten_unasked(text: str, tmp_path: Path) -> None:
    run = run_of(list(start(small(text), tmp_path / "run")))
    with pytest.raises(ChargenError, match="already holds a run: --resume"):
        list(start(small(text, steps=5), run.path))
    assert run.summary()["steps"] == 30
    list(start(small(text, steps=5), run.path, overwrite=True))
    assert run.summary()["steps"] == 5


def test_options_that_cannot_be_leave_the_old_run_alone(text: str, tmp_path: Path) -> None:
    run = run_of(list(start(small(text), tmp_path / "run")))
    with pytest.raises(ChargenError, match="tied weights need"):
        list(start(small(text, tied=True), run.path, overwrite=True))
    assert run.summary()["steps"] == 30


def spoil(
    monkeypatch: pytest.MonkeyPatch, when: Callable[[int, float], bool], factor: float = math.inf
) -> list[float]:
    """Make losses explode at the steps and learning rates that `when` says; gives the rates that were tried."""
    genuine = loop.update
    rates: list[float] = []

    def update(task: Any, optimizer: Any, step: int, rate: float, *rest: Any) -> tuple[float, int]:
        rates.append(rate)
        if when(step, rate):
            real = task.losses

            def infinite(step: int) -> tuple[list[Callable[[], Tensor]], int]:
                losses, tokens = real(step)
                return [lambda: losses[0]() * factor, *losses[1:]], tokens

            task.losses = infinite
            try:
                return genuine(task, optimizer, step, rate, *rest)
            finally:
                del task.losses
        return genuine(task, optimizer, step, rate, *rest)

    monkeypatch.setattr(loop, "update", update)
    return rates


@pytest.mark.parametrize("factor", [math.inf, math.nan])
def test_a_loss_that_is_no_number_rolls_back_to_half_the_learning_rate(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    tried: list[int] = []

    def once(step: int, rate: float) -> bool:
        tried.append(step)
        return step == 20 and tried.count(20) == 1

    rates = spoil(monkeypatch, once, factor)
    events = list(start(small(text), tmp_path / "run"))
    steps = [event.step for event in events if isinstance(event, Step)]
    assert steps == [*range(1, 21), *range(19, 31)]  # back to the evaluation at step 18
    assert rates[21] == pytest.approx(rates[18] / 2)
    assert any(isinstance(event, Note) and "half the learning rate" in event.text for event in events)
    run = run_of(events)
    assert all(np.isfinite(weight).all() for weight in run.weights().values())
    assert [record["step"] for record in run.metrics()] == [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]


def test_losses_that_stay_too_high_roll_back_to_before_they_rose(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def once(step: int, rate: float) -> bool:
        tried.append(step)
        return step >= 14 and tried.count(14) == 1

    spoil(monkeypatch, once, 4.0)
    events = list(start(small(text, steps=40), tmp_path / "run"))
    steps = [event.step for event in events if isinstance(event, Step)]
    assert steps == [*range(1, 24), *range(13, 41)]  # no state with too high a loss is saved, not at steps 16 and 20
    assert [record["step"] for record in run_of(events).metrics()] == [4, 8, 12, 16, 20, 24, 28, 32, 36, 40]


def test_one_strange_batch_does_not_end_a_training(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, lambda step, rate: step % 7 == 5, 50.0)
    events = list(start(small(text), tmp_path / "run"))
    assert [event.step for event in events if isinstance(event, Step)] == list(range(1, 31))


@pytest.mark.parametrize("spoilt", [1, 11])
def test_weights_that_are_no_numbers_are_never_kept(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: int
) -> None:
    """Weights may be ruined by the very step that an evaluation and a save follow."""
    genuine = loop.update
    done: list[int] = []

    def update(task: Any, optimizers: Any, step: int, *rest: Any) -> tuple[float, int]:
        result = genuine(task, optimizers, step, *rest)
        if step == spoilt and not done:
            done.append(step)
            with torch.no_grad():
                next(task.model.parameters()).fill_(math.nan)
        return result

    monkeypatch.setattr(loop, "update", update)
    options = small(text, steps=20)  # evaluated at every second step
    events = list(start(options, tmp_path / "run"))
    assert sum(isinstance(event, Note) and "half the learning rate" in event.text for event in events) == 1
    run = run_of(events)
    assert all(np.isfinite(weight).all() for weight in run.weights().values())
    assert run.summary()["val_loss"] < 3


def test_a_loss_that_stays_infinite_ends_the_training_with_the_best_weights(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, lambda step, rate: step == 20)
    with pytest.raises(ChargenError, match=r"explodes at step 21, after 2 attempts .*--learning-rate below"):
        list(start(small(text), tmp_path / "run"))
    run = load_run(tmp_path / "run")
    assert [record["step"] for record in run.metrics()] == [3, 6, 9, 12, 15, 18]
    assert all(np.isfinite(weight).all() for weight in run.weights().values())


def test_an_update_whose_loss_is_not_finite_moves_nothing(text: str, tmp_path: Path) -> None:
    class Exploding:
        model = torch.nn.Linear(3, 2)

        def losses(self, step: int) -> tuple[list[Callable[[], Tensor]], int]:
            return [lambda: self.model(torch.full((4, 3), math.inf)).sum()], 4

    task: Any = Exploding()
    optimizers = [torch.optim.SGD(task.model.parameters(), lr=0.1)]
    before = [weight.clone() for weight in task.model.parameters()]
    loss, _ = loop.update(task, optimizers, 0, 0.1, 1.0)
    assert not math.isfinite(loss)
    assert all(torch.equal(a, b) for a, b in zip(before, task.model.parameters(), strict=True))


def test_patience_ends_a_training_early(table: str, tmp_path: Path) -> None:
    options = ClassifierOptions(
        inputs=(table,), steps=200, hidden_size=4, patience=2, learning_rate=1e-9, device="cpu"
    )
    run = run_of(list(start(options, tmp_path / "run")))
    assert run.summary()["stopped"] == "no better for a while"
    assert run.summary()["steps"] == 60


def test_a_classifier_learns_and_keeps_its_most_accurate_weights(table: str, tmp_path: Path) -> None:
    options = ClassifierOptions(inputs=(table,), steps=60, hidden_size=16, batch_size=8, device="cpu")
    events = list(start(options, tmp_path / "run"))
    run = run_of(events)
    assert run.labels() == ["neg", "pos"]
    assert run.summary()["accuracy"] == max(record["accuracy"] for record in run.metrics()) == 1.0
    assert {"accuracy", "macro_f1", "val_loss"} <= run.summary().keys()


def test_a_resumed_classifier_equals_an_uninterrupted_one(table: str, tmp_path: Path) -> None:
    options = ClassifierOptions(
        inputs=(table,), steps=20, hidden_size=8, batch_size=8, device="cpu", precision="fp32"
    )
    whole = run_of(list(start(options, tmp_path / "whole")))
    parts = run_of(list(start(options, tmp_path / "parts", hooks=stop_after(7))))
    assert_equal_runs(whole, run_of(list(resume(parts, Budget()))))


@pytest.mark.parametrize("shards", [1, 3])
def test_a_classifiers_shards_have_the_loss_of_its_batch(table: str, tmp_path: Path, shards: int) -> None:
    options = ClassifierOptions(
        inputs=(table,), steps=3, hidden_size=8, batch_size=5, shards=shards, device="cpu", precision="fp32"
    )
    steps = [event.loss for event in start(options, tmp_path / str(shards)) if isinstance(event, Step)]
    options = replace(options, shards=2)
    others = [event.loss for event in start(options, tmp_path / "other") if isinstance(event, Step)]
    assert steps == pytest.approx(others, rel=1e-5)


def test_fine_tuning_takes_over_weights_shape_and_tokenizer(text: str, tmp_path: Path) -> None:
    first = run_of(list(start(small(text), tmp_path / "first")))
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
    notes = " ".join(event.text for event in events if isinstance(event, Note))
    assert "'Ü'" in notes and "new to" in notes
    second = run_of(events)
    assert second.tokenizer().to_bytes() == first.tokenizer().to_bytes()
    for name, weight in first.weights().items():
        np.testing.assert_allclose(second.weights()[name], weight, atol=1e-9)
    resumed = run_of(list(resume(second, Budget(steps=3))))
    assert resumed.summary()["steps"] == 3


def test_a_classifier_starts_from_a_language_models_encoder(text: str, table: str, tmp_path: Path) -> None:
    first = run_of(list(start(small(text), tmp_path / "first")))
    options = ClassifierOptions(
        inputs=(table,), start_from=str(first.path), steps=1, learning_rate=1e-12, device="cpu"
    )
    second = run_of(list(start(options, tmp_path / "second")))
    for name, weight in first.weights().items():
        if name.startswith("encoder."):
            np.testing.assert_allclose(second.weights()[name], weight, atol=1e-9)
    assert second.config["data"]["framed"] is False  # read as the encoder knows texts


def test_a_classifier_resumed_reads_texts_as_it_began_to(text: str, table: str, tmp_path: Path) -> None:
    first = run_of(list(start(small(text), tmp_path / "first")))
    options = ClassifierOptions(inputs=(table,), start_from=str(first.path), steps=12, device="cpu", precision="fp32")
    whole = run_of(list(start(options, tmp_path / "whole")))
    parts = run_of(list(start(options, tmp_path / "parts", hooks=stop_after(5))))
    assert_equal_runs(whole, run_of(list(resume(parts, Budget()))))


def test_tied_weights_are_taken_over_tied(text: str, tmp_path: Path) -> None:
    first = run_of(list(start(small(text, tied=True, embedding_size=12), tmp_path / "first")))
    options = LanguageModelOptions(
        inputs=(text,),
        start_from=str(first.path),
        steps=1,
        batch_size=4,
        sequence_length=8,
        learning_rate=1e-12,
        device="cpu",
    )
    second = run_of(list(start(options, tmp_path / "second")))
    assert second.weights().keys() == first.weights().keys()
    for name, weight in first.weights().items():
        np.testing.assert_allclose(second.weights()[name], weight, atol=1e-9)


def test_an_encoder_that_does_not_fit_is_refused_not_left_random(text: str, table: str, tmp_path: Path) -> None:
    first = run_of(list(start(small(text), tmp_path / "first")))
    options = ClassifierOptions(inputs=(table,), start_from=str(first.path), bidirectional=True, device="cpu")
    with pytest.raises(ChargenError, match="--bidirectional True contradicts --from"):
        list(start(options, tmp_path / "second"))
    both_ways = run_of(list(start(ClassifierOptions(inputs=(table,), steps=2, hidden_size=6), tmp_path / "third")))
    with pytest.raises(ChargenError, match="reads from both ends"):
        list(start(LanguageModelOptions(inputs=(text,), start_from=str(both_ways.path)), tmp_path / "fourth"))
    again = ClassifierOptions(inputs=(table,), start_from=str(both_ways.path), steps=1, learning_rate=1e-12)
    for name, weight in run_of(list(start(again, tmp_path / "fifth"))).weights().items():
        if name.startswith("encoder."):
            np.testing.assert_allclose(weight, both_ways.weights()[name], atol=1e-9)


def test_patience_stays_spent(table: str, tmp_path: Path) -> None:
    options = ClassifierOptions(
        inputs=(table,), steps=200, hidden_size=4, patience=2, learning_rate=1e-9, device="cpu"
    )
    run = run_of(list(start(options, tmp_path / "run")))
    events = list(resume(run, Budget()))
    assert not any(isinstance(event, Step) for event in events)
    assert run_of(events).summary()["stopped"] == "no better for a while"


def test_a_larger_budget_renews_patience(table: str, tmp_path: Path) -> None:
    options = ClassifierOptions(
        inputs=(table,), steps=200, hidden_size=4, patience=2, learning_rate=1e-9, device="cpu"
    )
    run = run_of(list(start(options, tmp_path / "run")))
    summary = run_of(list(resume(run, Budget(steps=400)))).summary()
    assert summary["steps"] > 60


def test_a_run_whose_training_state_is_gone_keeps_its_weights(text: str, tmp_path: Path) -> None:
    run = run_of(list(start(small(text), tmp_path / "run")))
    weights = run.weights()
    shutil.rmtree(run.path / "training")
    with pytest.raises(ChargenError, match=r"lacks its folder training/, so it cannot be resumed: .* --from"):
        list(resume(run, Budget(steps=60)))
    for name, weight in run.weights().items():
        np.testing.assert_array_equal(weight, weights[name])


def test_an_evaluation_out_of_turn_leaves_no_trace(text: str, tmp_path: Path) -> None:
    stopped = run_of(list(start(small(text), tmp_path / "run", hooks=stop_after(1))))
    assert [record["step"] for record in stopped.metrics()] == [1]
    state = stopped.training_state()
    assert state is not None and state[1]["best"] is None and state[1]["evaluation_tokens"] == 0
    finished = run_of(list(resume(stopped, Budget())))
    assert [record["step"] for record in finished.metrics()][:2] == [3, 6]


def test_fine_tuning_refuses_another_shape(text: str, tmp_path: Path) -> None:
    first = run_of(list(start(small(text), tmp_path / "first")))
    with pytest.raises(ChargenError, match="--hidden-size 20 contradicts --from"):
        list(start(small(text, hidden_size=20, start_from=str(first.path)), tmp_path / "second"))


def test_documents_begin_and_end(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(["anna", "bert", "carla", "dora"] * 40), encoding="utf-8")
    run = run_of(list(start(small(str(names), documents="line"), tmp_path / "run")))
    assert run.config["data"]["documents"] == "line"
    assert run.config["data"]["tokens"] == run.config["data"]["characters"] + 160  # a begin symbol each


@pytest.mark.parametrize("tokenizer", ["byte", "bpe", "unigram"])
def test_bits_per_character_compare_across_tokenizers(text: str, tmp_path: Path, tokenizer: str) -> None:
    vocab_size = None if tokenizer == "byte" else 270
    run = run_of(list(start(small(text, tokenizer=tokenizer, vocab_size=vocab_size), tmp_path / "run")))
    summary, data = run.summary(), run.config["data"]
    ratio = data["tokens"] / data["characters"]
    assert summary["val_bpc"] == pytest.approx(summary["val_loss"] / math.log(2) * ratio, rel=0.1)


def test_a_text_to_validate_on_is_used_whole_and_the_input_too(text: str, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("the rat\n" * 10, encoding="utf-8")
    run = run_of(list(start(small(text, val=(str(other),)), tmp_path / "run")))
    assert run.config["data"]["tokens"] == 40 * len(SENTENCE)
    with pytest.raises(ChargenError, match="contradict"):
        list(start(small(text, val=(str(other),), val_fraction=0.2), tmp_path / "again"))


@pytest.mark.parametrize(
    ("content", "message"),
    [("short", "too few to train"), ("", "no text in")],
)
def test_texts_that_are_too_short_are_refused_and_leave_nothing(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "tiny.txt"
    path.write_text(content)
    with pytest.raises(ChargenError, match=message):
        list(start(small(str(path)), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_short_text_is_not_read_for_ever_and_says_so(text: str, tmp_path: Path) -> None:
    options = replace(small(text, minutes=0.5), steps=None, batch_size=None, sequence_length=None)
    events = list(start(options, tmp_path / "run"))
    notes = " ".join(event.text for event in events if isinstance(event, Note))
    made = options_of(run_of(events), Options)
    assert made.epochs is not None and f"the text is read {made.epochs:g} times at most" in notes
    summary = run_of(events).summary()
    assert summary["stopped"] == "budget spent" and summary["tokens"] <= made.epochs * len(SENTENCE) * 40
    asked = list(start(replace(options, epochs=1.0), tmp_path / "asked"))
    assert "times at most" not in " ".join(event.text for event in asked if isinstance(event, Note))


def test_a_short_text_shrinks_streams_and_window_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text(SENTENCE * 2)
    events = list(start(small(str(path), steps=5, batch_size=64, sequence_length=64), tmp_path / "run"))
    notes = " ".join(event.text for event in events if isinstance(event, Note))
    assert "the text is short" in notes
    assert run_of(events).config["options"]["batch_size"] == 1


@pytest.mark.parametrize("writes", range(12))
def test_a_full_disk_keeps_what_was_saved(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """The disk is full from some write on: the config, then at each evaluation weights, metrics and state."""
    run = run_of(list(start(small(text, steps=10), tmp_path / "run")))
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
    finished = run_of(list(resume(load_run(run.path), Budget(steps=20))))
    whole = run_of(list(resume(run_of(list(start(small(text, steps=10), tmp_path / "other"))), Budget(steps=20))))
    for name, weight in whole.weights().items():
        np.testing.assert_array_equal(finished.weights()[name], weight)


def test_options_survive_json_and_unknown_ones_are_refused(text: str) -> None:
    options = small(text, val=("a", "b"), documents="line")
    record = json.loads(json.dumps(to_record(options)))
    assert from_record(LanguageModelOptions, record) == options
    with pytest.raises(ChargenError, match=r"does not know \(heads\)"):
        from_record(LanguageModelOptions, record | {"heads": 8})


def device_of(products: float) -> Speed:
    """A device that does so many products a second, but no more than 5,000 steps."""

    def speed(options: ChosenLanguageModelOptions) -> float:
        weights = 65 * options.hidden_size + 6 * options.num_layers * options.hidden_size**2
        return min(products / weights, 5000 * options.batch_size * options.sequence_length)

    return speed


def chosen(
    tokens: int = 10**6, vocab_size: int = 65, products: float = 3e10, **asked: Any
) -> ChosenLanguageModelOptions:
    options = LanguageModelOptions(inputs=("x",), **asked)
    return language_model_recipe(options, tokens, vocab_size, device_of(products))


def test_recipes_leave_no_choice_and_change_none() -> None:
    made = chosen(hidden_size=77, dropout=0.25, minutes=1, epochs=2)
    assert (made.hidden_size, made.dropout, made.minutes, made.epochs) == (77, 0.25, 1, 2)
    open_fields = {"vocab_size", "min_frequency", "tokenizer", "steps", "val_fraction", "documents"}
    open_fields |= {"start_from", "patience"}
    assert {name for name, value in to_record(made).items() if value is None} <= open_fields
    labelled = classifier_recipe(ClassifierOptions(inputs=("x",), tokenizer="char"), 10_000)
    open_fields |= {"text_column", "label_column", "adapt", "crop"}  # which the texts decide
    assert {name for name, value in to_record(labelled).items() if value is None} <= open_fields
    sizes = [chosen(size=size).hidden_size for size in ("tiny", "small", "medium", "large")]
    assert sizes == sorted(set(sizes))


def test_more_time_takes_a_larger_model_and_more_readings_more_dropout() -> None:
    by_time = [
        chosen(minutes=minutes, epochs=10**9, products=4.5e10) for minutes in (0.05, 0.3, 1, 3, 10, 60, 10_000)
    ]
    shapes = [(options.num_layers, options.hidden_size) for options in by_time]
    assert shapes == sorted(set(shapes))
    assert chosen(products=3e13, minutes=3).hidden_size == chosen(minutes=100).hidden_size
    by_size = [chosen(tokens=tokens, minutes=30).dropout for tokens in (10**8, 2 * 10**6, 10**5)]
    assert by_size == sorted(by_size) and len(set(by_size)) == 3


def test_a_short_text_is_read_in_fewer_streams_and_not_for_ever() -> None:
    sizes = (10**4, 10**5, 10**6, 10**7)
    shapes = [chosen(tokens=tokens, epochs=200).hidden_size for tokens in sizes]
    assert shapes == sorted(shapes) and len(set(shapes)) > 1
    streams = [chosen(tokens=tokens).batch_size for tokens in sizes]
    assert streams == sorted(streams) and len(set(streams)) == 3
    for processes in (2, 3, 8):
        shared = [
            language_model_recipe(LanguageModelOptions(inputs=("x",)), n, 65, device_of(3e10), processes)
            for n in sizes
        ]
        assert all(made.batch_size % processes == 0 for made in shared)
    epochs = [chosen(tokens=tokens).epochs for tokens in sizes]
    assert epochs == sorted(set(epochs))  # type: ignore[type-var]
    assert chosen(tokens=10**5, sequence_length=128).batch_size < chosen(tokens=10**5).batch_size
    assert chosen(tokens=10**4, steps=10**6).epochs is None and chosen(tokens=10**4, epochs=99).epochs == 99


def test_smaller_steps_learn_more_from_as_much() -> None:
    weights = [chosen(batch_size=batch, epochs=4).hidden_size for batch in (4, 32, 256)]
    assert weights == sorted(weights, reverse=True) and len(set(weights)) > 1


@pytest.mark.parametrize("minutes", [0.1, 1, 3, 10, 30, 1000])
def test_few_shapes_are_measured_and_the_choice_is_that_of_measuring_all(minutes: float) -> None:
    asked: list[tuple[int | None, int | None]] = []
    speed = device_of(3e10)

    def counted(options: ChosenLanguageModelOptions) -> float:
        asked.append((options.num_layers, options.hidden_size))
        return speed(options)

    options = LanguageModelOptions(inputs=("x",), minutes=minutes, epochs=1e9)
    made = language_model_recipe(options, 10**7, 65, counted)
    assert len(set(asked)) <= 4
    enough = [
        shape
        for shape in LADDER
        if 60 * minutes * speed(replace(made, num_layers=shape.num_layers, hidden_size=shape.hidden_size))
        >= shape.from_tokens
    ]
    assert (made.num_layers, made.hidden_size) == (enough[-1].num_layers, enough[-1].hidden_size)


def test_what_is_chosen_suits_what_was_asked() -> None:
    assert chosen(optimizer="adamw").learning_rate != chosen(optimizer="muon").learning_rate
    assert chosen(start_from="x").learning_rate < chosen().learning_rate
    assert (
        chosen(tied=True, hidden_size=96).embedding_size == 96
        and chosen(tied=True, embedding_size=80).hidden_size == 80
    )
    assert chosen(tied=True).embedding_size == chosen().hidden_size
    assert chosen(hidden_size=32, minutes=60).embedding_size == 32
    for tokens in (10**3, 10**5, 10**7):
        made = chosen(tokens=tokens)
        assert chosen(tokens=tokens, minutes=3, epochs=made.epochs) == made  # typing what is chosen changes nothing
    assert chosen(hidden_size=1500, epochs=20).dropout > chosen(hidden_size=100, epochs=20).dropout


def test_a_budget_of_steps_is_deterministic_whatever_the_machine() -> None:
    def refused(options: LanguageModelOptions) -> float:
        raise AssertionError("a speed was asked for")

    for budget in ({"steps": 1000}, {"epochs": 3.0}):
        options = LanguageModelOptions(inputs=("x",), **budget)
        language_model_recipe(options, 10**6, 65, refused)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": "huge"}, "unknown size 'huge'"),
        ({"precision": "fp8"}, "unknown precision"),
        ({"hidden_size": 0}, "hidden size is 0"),
        ({"batch_size": -1}, "batch size is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"learning_rate": 0.0}, "learning rate is 0.0"),
        ({"learning_rate": float("nan")}, "learning rate is nan"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"epochs": float("inf")}, "epochs is inf"),
        ({"text_column": "body"}, "for documents in JSON lines"),
        ({"weight_decay": -1.0}, "weight decay is -1.0"),
        ({"patience": 0}, "patience is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"val_fraction": 1.5}, "val fraction is 1.5"),
        ({"minutes": -3}, "minutes is -3, but must be a number more than 0"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ChargenError, match=message):
        LanguageModelOptions(inputs=("x",), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "warp"}, "device 'warp' cannot be used"),
        ({"val_fraction": 0.0}, "--val"),
        ({"start_from": "nowhere"}, "no run called 'nowhere'"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_written(
    text: str, tmp_path: Path, changes: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ChargenError, match=message):
        list(start(small(text, **changes), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("book.txt", "book"),
        ("a/b/c.txt.gz", "c"),
        ("-", "stdin"),
        ("texts/*.md", "text"),
        ("python-docs", "python-docs"),
    ],
)
def test_a_run_is_named_after_its_input(given: str, expected: str) -> None:
    options: Options = LanguageModelOptions(inputs=(given,))
    assert default_folder(options) == Path("checkpoints", expected)


def task_of(shards: int = 1, cell: str = "gru", **settings: Any) -> LanguageModelling:
    torch.manual_seed(0)
    tokenizer = CharTokenizer("abc")
    model = LanguageModel(LanguageModelConfig(EncoderConfig(tokenizer.vocab_size, cell, 1, 5, 4)))
    ids = np.random.default_rng(0).integers(3, tokenizer.vocab_size, 100)
    streams = Streams(ids, 3, 6)
    return LanguageModelling(
        model, streams, ids, tokenizer, 1.0, torch.device("cpu"), "fp32", shards=shards, **settings
    )


def loss_of(task: LanguageModelling, step: int) -> Tensor:
    losses, tokens = task.losses(step)
    assert tokens == 18
    return torch.stack([loss() for loss in losses]).sum()


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_activation_regularisation_adds_its_mean_squares(shards: int) -> None:
    plain = task_of(shards)
    tokens = torch.from_numpy(plain.streams.ids[plain.streams.places(0)])
    outputs, _ = plain.model.encoder(tokens[:-1])
    penalised = loss_of(task_of(shards, activation_reg=2.0, temporal_reg=3.0), 0)
    expected = 2 * outputs.square().mean() + 3 * (outputs[1:] - outputs[:-1]).square().mean()
    torch.testing.assert_close(penalised - loss_of(plain, 0), expected)


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_state_passes_from_window_to_window_without_gradient(shards: int) -> None:
    task = task_of(shards)
    loss_of(task, 0)
    state = tuple(
        tuple(torch.cat(parts) for parts in zip(*layers, strict=True)) for layers in zip(*task.states, strict=True)
    )
    assert not state[0][0].requires_grad and state[0][0].abs().sum() > 0
    assert torch.equal(task.carried()["state.0.0"], state[0][0])
    tokens = torch.from_numpy(task.streams.ids[task.streams.places(1)])
    logits, _ = task.model(tokens[:-1], state)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[1:].flatten())
    torch.testing.assert_close(loss_of(task, 1), expected)


@pytest.mark.parametrize("cell", SPECS)
def test_shards_have_the_loss_and_the_gradient_of_the_whole_batch(cell: str) -> None:
    everything = Dropout(0.2, 0.2, 0.2, 0.2, 0.2)
    found = []
    for shards in (1, 2, 3):
        task = task_of(shards, cell, dropout=everything)
        torch.manual_seed(1)
        with Workers(2) as workers:
            for step in range(3):  # the state passes on as well
                loss = workers.gradients(task.model, task.losses(step)[0])
        found.append([loss, *(weight.grad for weight in task.model.parameters())])
    for other in found[1:]:
        for one, another in zip(found[0], other, strict=True):
            torch.testing.assert_close(one, another)


def test_tensorboard_gets_the_figures(text: str, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from chargen.training.tensorboard import logged

    events = list(logged(start(small(text), tmp_path / "run")))
    log = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert [scalar.value for scalar in log.Scalars("train/loss")] == pytest.approx(losses)
    evaluations = [event.record["val_bpc"] for event in events if isinstance(event, Evaluated)]
    assert [scalar.value for scalar in log.Scalars("validation/val_bpc")] == pytest.approx(evaluations)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"minutes": "3"}, "minutes is '3', but must be a number"),
        ({"hidden_size": 2.5}, "hidden size is 2.5, but must be a whole number"),
        ({"hidden_size": True}, "hidden size is True, but must be a whole number"),
        ({"seed": None}, "seed is None, but must be a whole number"),
        ({"tied": "no"}, "tied is 'no', but must be True or False"),
        ({"device": 5}, "device is 5, but must be a text"),
        ({"val": 5}, "val is 5, but must be a sequence of texts"),
    ],
)
def test_options_of_a_wrong_type_are_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ChargenError, match=f"^{re.escape(sentence)}$"):
        LanguageModelOptions(inputs=("x",), **options)


def test_options_take_what_means_the_same() -> None:
    given: dict[str, Any] = {"inputs": "a.txt", "val": Path("v.txt"), "epochs": 2}
    given |= {"hidden_size": np.int64(8), "dropout": np.float32(0.5), "tied": np.bool_(True)}
    made = LanguageModelOptions(**given)
    assert (made.inputs, made.val, made.epochs) == (("a.txt",), ("v.txt",), 2.0)
    assert (made.hidden_size, made.dropout, made.tied) == (8, 0.5, True)
    assert from_record(LanguageModelOptions, json.loads(json.dumps(to_record(made)))) == made

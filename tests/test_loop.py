"""The loop: what it tells, that it learns, and that losses and weights that explode lose nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from trainings import run_of, small

from chargen.errors import ChargenError
from chargen.runs.folder import load_run
from chargen.training import loop
from chargen.training.events import Done, Evaluated, Note, Started, Step
from chargen.training.options import ClassifierOptions
from chargen.training.start import start

pytestmark = pytest.mark.usefixtures("data_folder")


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


def test_it_learns(text: str, tmp_path: Path) -> None:
    run = run_of(start(small(text, steps=300, dropout=0.0, weight_drop=0.0), tmp_path / "run"))
    assert run.summary()["val_loss"] < 0.5  # the text repeats itself; its symbols alone have 2.7 nats


def test_the_same_options_give_the_same_weights_and_another_seed_others(text: str, tmp_path: Path) -> None:
    first, again, other = (
        run_of(start(small(text, seed=seed), tmp_path / f"run{number}")).weights()
        for number, seed in enumerate((1, 1, 2))
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


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
    run = run_of(start(options, tmp_path / "run"))
    assert run.summary()["stopped"] == "no better for a while"
    assert run.summary()["steps"] == 60


def test_a_classifier_learns_and_keeps_its_most_accurate_weights(table: str, tmp_path: Path) -> None:
    options = ClassifierOptions(inputs=(table,), steps=60, hidden_size=16, batch_size=8, device="cpu")
    events = list(start(options, tmp_path / "run"))
    run = run_of(events)
    assert run.labels() == ["neg", "pos"]
    assert run.summary()["accuracy"] == max(record["accuracy"] for record in run.metrics()) == 1.0
    assert {"accuracy", "macro_f1", "val_loss"} <= run.summary().keys()

"""Trainings of a second, and what is asked of the runs that they leave."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from chargen.runs.folder import Run
from chargen.training.events import Done, Event, Note
from chargen.training.options import LanguageModelOptions
from chargen.training.setup import Hooks


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


def run_of(events: Iterable[Event]) -> Run:
    """The run that a training leaves."""
    last = list(events)[-1]
    assert isinstance(last, Done)
    return last.run


def notes_of(events: Iterable[Event]) -> str:
    """What was told on the way."""
    return " ".join(event.text for event in events if isinstance(event, Note))


def stop_after(steps: int) -> Hooks:
    """Hooks that stop a training after so many steps."""
    count = iter(range(1, 10**9))
    return Hooks(stop=lambda: next(count) >= steps)


def assert_equal_runs(one: Run, other: Run) -> None:
    """Bit for bit: weights, training state, and the losses on the way."""
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

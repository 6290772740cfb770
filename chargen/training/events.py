"""What a training reports. The loop yields these events; the command line draws them, tests read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from chargen.runs.folder import Run

# Why a training stopped, in `Done.summary["stopped"]` and summary.json.
BUDGET_SPENT = "budget spent"
INTERRUPTED = "interrupted"
OUT_OF_PATIENCE = "no better for a while"


@dataclass(frozen=True)
class Note:
    """Something a person should know, in one sentence: a choice made, a batch shrunk, characters left out."""

    text: str


@dataclass(frozen=True)
class Started:
    """The run's folder exists, and the first step comes next."""

    run: Run
    parameters: int  # of the model
    resumed_step: int  # steps made before it was resumed; 0 for a new run


@dataclass(frozen=True)
class Step:
    """One update of the weights."""

    step: int  # updates so far
    loss: float  # mean cross-entropy of this batch, nats per token (for a classifier: per text)
    bits: float | None  # the same in bits per character; None for a classifier
    learning_rate: float
    fraction: float  # of the budget spent, 0 to 1
    seconds: float  # of training so far, those before a resume included
    tokens: int  # read so far, by all processes


@dataclass(frozen=True)
class Evaluated:
    """The model was evaluated on the validation set, and the training was saved."""

    run: Run
    record: dict[str, Any]  # the line that metrics.jsonl holds
    best: bool  # highest score so far, so the run now has these weights


@dataclass(frozen=True)
class Done:
    """The training ended, and the best weights were evaluated once more, on more of the validation set."""

    run: Run
    summary: dict[str, Any]  # the content of summary.json


Event = Note | Started | Step | Evaluated | Done


def outcome(events: Iterable[Event], on_event: Callable[[Event], object] | None = None) -> Done:
    """Go through the events of a training to its end.

    Args:
        events: The training's; reading them runs it.
        on_event: Called with each.

    Raises:
        RuntimeError: There is no end.
    """
    for event in events:
        if on_event:
            on_event(event)
        if isinstance(event, Done):
            return event
    raise RuntimeError("a training ends with Done")

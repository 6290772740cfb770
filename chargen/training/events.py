"""What a training tells whoever watches it. The loop yields these; the command line draws them, a test reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chargen.runs.folder import Run


@dataclass(frozen=True)
class Note:
    """Something a person should know, in a sentence: a choice made, a window shrunk, characters left out."""

    text: str


@dataclass(frozen=True)
class Started:
    """The run's folder is there and the first step comes next."""

    run: Run
    parameters: int
    resumed_step: int  # 0 for a new run


@dataclass(frozen=True)
class Step:
    """One update of the weights."""

    step: int  # updates so far
    loss: float  # mean cross-entropy of this batch, nats per token (per text, for a classifier)
    bits: float | None  # the same in bits per character; None for a classifier
    learning_rate: float
    fraction: float  # of the budget spent, 0 to 1
    seconds: float  # of training so far, earlier sittings included
    tokens: int  # read so far, those of all processes


@dataclass(frozen=True)
class Evaluated:
    """The model was measured on the validation text and saved."""

    run: Run
    record: dict[str, Any]  # what metrics.jsonl holds of it
    best: bool  # of the highest merit so far, so these weights are now the run's


@dataclass(frozen=True)
class Done:
    """The training ended; the run's best weights were measured once more, on more of the validation text."""

    run: Run
    summary: dict[str, Any]  # what summary.json holds


Event = Note | Started | Step | Evaluated | Done

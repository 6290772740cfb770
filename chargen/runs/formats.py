"""Records within a run's files, and what earlier versions called things: their runs go on loading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RENAMED_OPTIONS = {
    "layers": "num_layers",
    "hidden": "hidden_size",
    "embedding": "embedding_size",
    "batch": "batch_size",
    "window": "sequence_length",
}


def rename_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded options under their current names.

    >>> rename_options({"hidden": 256, "seed": 0})
    {'hidden_size': 256, 'seed': 0}
    """
    return {RENAMED_OPTIONS.get(name, name): value for name, value in options.items()}


@dataclass(frozen=True)
class TokenizerRecord:
    """What config.json says of the tokenizer."""

    kind: str
    file: str


@dataclass(frozen=True)
class Evaluation:
    """What every line of metrics.jsonl has."""

    step: int
    val_loss: float

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
    """Recorded options under their current names, and without a column of texts that was never read.

    >>> rename_options({"hidden": 256, "documents": None, "text_column": "text"})
    {'hidden_size': 256, 'documents': None}
    """
    renamed = {RENAMED_OPTIONS.get(name, name): value for name, value in options.items()}
    if renamed.get("text_column") == "text" and renamed.get("documents", "jsonl") != "jsonl":
        del renamed["text_column"]
    return renamed


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

"""Names that earlier versions used, so that their runs still load and old flags get a helpful answer."""

from __future__ import annotations

from collections.abc import Mapping
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

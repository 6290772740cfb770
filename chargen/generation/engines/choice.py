"""Which engine runs a language model: NumPy's starts at once, torch's repays its import on a GPU or for much text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chargen.errors import ChargenError
from chargen.generation.engines.contract import EmbeddingEngine
from chargen.models.config import LanguageModelConfig
from chargen.models.layers_numpy import has_twin

ENGINES = ("auto", "numpy", "torch")
MANY_SAMPLES = 32  # at once; from here on, and from so many characters in all, torch's engine repays its import
MANY_CHARACTERS = 200_000


def choose_engine(
    config: LanguageModelConfig,
    weights: Mapping[str, np.ndarray],
    kind: str = "auto",
    device: str | None = None,
    *,
    samples: int = 1,
    characters: int = 0,
) -> EmbeddingEngine:
    """The engine that was asked for, or the one that writes so many samples of so much text sooner.

    Args:
        config: The model's shape.
        weights: By name, as `Run.weights` gives them.
        kind: One of ENGINES.
        device: cpu, cuda, …, for torch's engine; None: the best there is, where torch's is chosen.
        samples: How many are written at once.
        characters: Of all samples together.

    Raises:
        ChargenError: NumPy is asked for and cannot run the cell, or the device is not available.
    """
    if kind == "numpy" and not has_twin(config.encoder.cell):
        raise ChargenError(f"the engine numpy cannot run the cell {config.encoder.cell}: choose the engine torch")
    much = kind == "auto" and samples >= MANY_SAMPLES and characters >= MANY_CHARACTERS
    needed = kind == "torch" or device is not None or not has_twin(config.encoder.cell)
    if much or needed:
        from chargen.generation.engines.torch_engine import TorchEngine
        from chargen.hardware import choose_device, choose_precision

        where = choose_device(device or "auto" if much or kind == "torch" or device else "cpu")
        precision = choose_precision("auto", where) if much else "fp32"
        if needed or where.type == "cuda" or precision == "bf16":
            return TorchEngine(config, weights, str(where), precision)
    from chargen.generation.engines.numpy_engine import NumpyEngine

    return NumpyEngine(config, weights)

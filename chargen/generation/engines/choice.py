"""Choose an engine: NumPy starts at once; torch is worth the time to import it on a GPU or for much text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chargen.errors import ChargenError
from chargen.generation.engines.contract import EmbeddingEngine
from chargen.models.cells_numpy.registry import runs_in_numpy
from chargen.models.config import LanguageModelConfig

ENGINES = ("auto", "numpy", "torch")
# From so many samples at once and so many characters in all, torch saves more time than its import takes.
MANY_SAMPLES = 32
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
    """Choose the engine that the user asks for, or else the one that writes this much text sooner.

    Args:
        config: Sizes and parts of the model.
        weights: By name, as `Run.weights` gives them.
        kind: One of ENGINES; auto: whichever is faster.
        device: Of the torch engine: cpu, cuda, …; None: the best one, if that engine is chosen.
        samples: Number of samples to write at once.
        characters: Number of characters to write, in all samples together.

    Raises:
        ChargenError: The user asks for NumPy, which cannot run this cell, or the device is not available.
    """
    if kind == "numpy" and not runs_in_numpy(config.encoder.cell):
        raise ChargenError(f"the engine numpy cannot run the cell {config.encoder.cell}: choose the engine torch")
    is_much = kind == "auto" and samples >= MANY_SAMPLES and characters >= MANY_CHARACTERS
    needs_torch = kind == "torch" or device is not None or not runs_in_numpy(config.encoder.cell)
    if is_much or needs_torch:
        from chargen.generation.engines.torch_engine import TorchEngine
        from chargen.hardware import choose_device, choose_precision

        where = choose_device(device or "auto" if is_much or kind == "torch" or device else "cpu")
        precision = choose_precision("auto", where) if is_much else "fp32"
        if needs_torch or where.type == "cuda" or precision == "bf16":
            return TorchEngine(config, weights, str(where), precision)
    from chargen.generation.engines.numpy_engine import NumpyEngine

    return NumpyEngine(config, weights)

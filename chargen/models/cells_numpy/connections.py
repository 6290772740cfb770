"""What lies between layers in NumPy; `models/connections.py` has the readable twin.

Shapes: I inputs, H outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chargen.models.cells_numpy.layer import Array
from chargen.models.config import EncoderConfig

EPSILON = np.float32(1e-5)  # torch's


class Connections:
    """Layer normalisation, and paths around layers. Threads may share it."""

    def __init__(self, config: EncoderConfig, weights: Mapping[str, Array]) -> None:
        """Set up from a model's weights by name."""
        self.kind = config.connections
        self.around = [size == config.output_size for size in config.input_sizes]
        pairs = {
            name.removesuffix(".weight"): (weight, weights[f"{name.removesuffix('weight')}bias"])
            for name, weight in weights.items()
            if name.startswith("encoder.connections.") and name.endswith(".weight")
        }
        self._norms = {int(name.rpartition(".")[2]): pair for name, pair in pairs.items() if ".norms." in name}
        self._highways = {int(name.rpartition(".")[2]): pair for name, pair in pairs.items() if ".highways." in name}

    def normed(self, number: int, values: Array) -> Array:
        """What layer `number` reads (…, I), or after the last layer the outputs (…, H)."""
        if not self._norms:
            return values
        weight, bias = self._norms[number]
        centred = values - values.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        result: Array = centred / np.sqrt(variance + EPSILON) * weight + bias
        return result

    def has_path(self, number: int) -> bool:
        """Whether a path leads around layer `number`."""
        return self.kind != "none" and self.around[number]

    def connect(self, number: int, below: Array, outputs: Array) -> Array:
        """What goes on from layer `number` (…, H), given its inputs (…, I) before normalisation and its outputs."""
        if not self.has_path(number):
            return outputs
        if self.kind == "residual":
            return below + outputs
        weight, bias = self._highways[number]
        half = np.float32(0.5)
        t = half * np.tanh(half * (below @ weight.T + bias)) + half
        result: Array = below + t * (outputs - below)
        return result

"""A layer with some of its outputs held at a value; `cells/clamped.py` is its readable twin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chargen.models.cells_numpy.layer import Array, Layer, State


class ClampedLayer(Layer):
    """A layer that, after each step, sets some units of its output, which is also the first part of its state."""

    def __init__(self, layer: Layer, values: Mapping[int, float]) -> None:
        """Set up from a layer, and the values by number of the unit."""
        super().__init__({})
        self.layer, self.units = layer, np.array(list(values))
        self.values = np.array(list(values.values()), np.float32)
        self.hidden_size, self.x_size, self.scratch_size = layer.hidden_size, layer.x_size, layer.scratch_size

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams."""
        return self.layer.initial_state(batch)

    def x_gates(self, x: Array) -> Array:
        """See `Layer.x_gates`."""
        return self.layer.x_gates(x)

    def advance(self, x_gates: Array, state: State, new: State, gates: Array) -> None:
        """See `Layer.advance`."""
        self.layer.advance(x_gates, state, new, gates)
        new[0][:, self.units] = self.values

    def step(self, x: Array, state: State, new: State) -> None:
        """See `Layer.step`."""
        self.layer.step(x, state, new)
        new[0][:, self.units] = self.values

"""The interface of engines, which run a language model. The state is an argument and a result.

Shapes: B streams, T steps, V vocabulary, H hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from chargen.generation.samplers import Sampling
from chargen.models.units import Clamps

Array = npt.NDArray[np.floating[Any]]
Ids = npt.NDArray[np.integer[Any]]


class Engine(Protocol):
    """A language model that can be run. No method changes the state it is given."""

    def start(self, batch: int) -> Any:
        """The state of B streams before anything is read."""

    def select(self, state: Any, streams: Ids) -> Any:
        """The state of some streams, by their indices, which may repeat and be in any order."""

    def step(self, ids: Ids, state: Any) -> tuple[Array, Any]:
        """Read ids (B,); returns logits (B, V) for the next token, and the new state."""

    def read(self, ids: Ids, state: Any) -> tuple[Array, Any]:
        """Read ids (T, B), T at least 1; returns logits (B, V) for the next token, and the new state."""

    def read_all(self, ids: Ids, state: Any) -> tuple[Array, Any]:
        """Read ids (T, B); returns logits (T, B, V) for the token after each id, and the new state."""


class EmbeddingEngine(Engine, Protocol):
    """An engine that can also embed texts as vectors, and hold units."""

    output_size: int  # H, size of the last layer's output

    def mean_outputs(self, ids: Sequence[Ids], state: Any) -> Array:
        """Average the last layer's outputs over each text.

        Args:
            ids: Of each text (·,), of any lengths.
            state: Of B streams, from which the B texts are read.

        Returns:
            Means (B, H); zeros for an empty text.
        """

    def clamped(self, clamps: Clamps) -> EmbeddingEngine:
        """An engine of the same weights that holds some units of the layers' outputs, whatever it reads.

        Raises:
            ChargenError: There is no such unit, or a value is not finite.
        """


@runtime_checkable
class DrawingEngine(Engine, Protocol):
    """An engine that can draw many tokens in a row on its device, so that the host need not wait for each."""

    draws: bool  # whether drawing on the device is faster

    def write(
        self, logits: Array, state: Any, sampling: Sampling, bias: Array, uniform: Array
    ) -> tuple[Ids, Array, Array, Any]:
        """Draw K tokens per stream, reading each before drawing the next.

        Args:
            logits: For the first token (B, V).
            state: Of the B streams.
            sampling: The settings, without repetition penalty.
            bias: (V,).
            uniform: Random numbers (K, B) in [0, 1).

        Returns:
            The ids drawn (K, B), the logits (K, B, V) that each was drawn from, and the logits (B, V) and the state
            after the last one.
        """

"""What every engine offers: ids in, logits out, and the state is a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from chargen.generation.samplers import Sampling

Array = npt.NDArray[np.floating[Any]]
Ids = npt.NDArray[np.integer[Any]]


class Engine(Protocol):
    """A language model that runs: state goes in and comes out, unchanged by what is done with it."""

    def start(self, batch: int) -> Any:
        """The state of B streams that have read nothing."""

    def select(self, state: Any, streams: Ids) -> Any:
        """The state of some streams, in any order and number."""

    def step(self, ids: Ids, state: Any) -> tuple[Array, Any]:
        """Read ids (B,); gives logits (B, V) for what follows, and the new state."""

    def read(self, ids: Ids, state: Any) -> tuple[Array, Any]:
        """Read ids (T, B); gives logits (B, V) for what follows, and the new state."""

    def read_all(self, ids: Ids, state: Any) -> tuple[Array, Any]:
        """Read ids (T, B); gives logits (T, B, V) after each of them, and the new state."""


class EmbeddingEngine(Engine, Protocol):
    """An engine that gives texts as vectors, too."""

    output_size: int  # H, numbers that the last layer gives a step

    def mean_outputs(self, ids: Sequence[Ids], state: Any) -> Array:
        """The mean (B, H) of the last layer's outputs over each text's ids (N,), of any lengths; zeros for none."""


@runtime_checkable
class DrawingEngine(Engine, Protocol):
    """An engine that can draw where it runs, many symbols in a row, so that it need not wait for each."""

    draws: bool  # whether that is the faster way

    def write(
        self, logits: Array, state: Any, sampling: Sampling, bias: Array, uniform: Array
    ) -> tuple[Ids, Array, Array, Any]:
        """Ids (K, B) drawn by uniform (K, B), the logits (K, B, V) they were drawn by, then logits (B, V), state."""

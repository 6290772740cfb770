"""What a training step leaves out: fractions, and the masks that are drawn by them.

Shapes: B streams, V vocabulary, E embedding, H hidden, G gates.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from torch import Tensor

from chargen.errors import ChargenError


@dataclass(frozen=True)
class Dropout:
    """Fractions left out while training, each with one mask per step: variational dropout and its kin.

    Gal & Ghahramani 2016, arXiv:1512.05287; Merity et al. 2017, arXiv:1708.02182. No part of the model's shape.
    """

    embedding: float = 0.0  # whole tokens of the embedding
    input: float = 0.0  # what enters the first layer
    between: float = 0.0  # what passes from a layer to the next
    output: float = 0.0  # what leaves the last layer
    recurrent: float = 0.0  # recurrent weights (weight drop)

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < 1:
                raise ChargenError(
                    f"dropout {field.name} is {getattr(self, field.name)}, but must be from 0 to below 1"
                )


NO_DROPOUT = Dropout()


@dataclass(frozen=True)
class Masks:
    """What one step leaves out: factors that are 0, or else 1 / (1 - fraction); None leaves nothing out."""

    embedding: Tensor | None = None  # (V, 1)
    input: Tensor | None = None  # (1, B, E)
    between: tuple[Tensor | None, ...] = ()  # one per layer after the first: (1, B, outputs)
    output: Tensor | None = None  # (1, B, outputs)
    recurrent: tuple[Tensor | None, ...] = ()  # one per layer, those that read backwards last: (G·H, H)

    def of(self, streams: slice) -> Masks:
        """The masks of some of the streams."""

        def select(mask: Tensor | None) -> Tensor | None:
            return None if mask is None else mask[:, streams]

        between = tuple(map(select, self.between))
        return replace(self, input=select(self.input), between=between, output=select(self.output))


NO_MASKS = Masks()


def masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """Values (T, B, ·) with one mask (1, B, ·) for all T steps."""
    return values if mask is None else values * mask.to(values.dtype)

"""Dropout in training: the fractions to drop, and one step's masks.

Shapes: B streams, V vocabulary, E embedding, H hidden, G gates; outputs: H, or 2·H if bidirectional.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from torch import Tensor

from chargen.errors import ChargenError


@dataclass(frozen=True)
class Dropout:
    """Fractions to drop in training, each from 0 to below 1. A mask is the same at all time steps of a training step.

    Variational dropout: Gal & Ghahramani 2016, arXiv:1512.05287; weight drop: Merity et al. 2017, arXiv:1708.02182.

    Raises:
        ChargenError: A fraction is below 0, or 1 or more.

    >>> Dropout(output=0.3, recurrent=0.5)
    Dropout(embedding=0.0, input=0.0, between=0.0, output=0.3, recurrent=0.5)
    """

    embedding: float = 0.0  # of whole tokens (rows of the embedding)
    input: float = 0.0  # of the first layer's inputs
    between: float = 0.0  # of the other layers' inputs
    output: float = 0.0  # of the last layer's outputs
    recurrent: float = 0.0  # of recurrent weights (weight drop)

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < 1:
                raise ChargenError(
                    f"dropout {field.name} is {getattr(self, field.name)}, but must be from 0 to below 1"
                )


NO_DROPOUT = Dropout()


@dataclass(frozen=True)
class Masks:
    """One training step's masks: factors that are 0 or 1 / (1 - fraction); None drops nothing."""

    embedding: Tensor | None = None  # (V, 1)
    input: Tensor | None = None  # (1, B, E)
    between: tuple[Tensor | None, ...] = ()  # one per layer after the first: (1, B, outputs)
    output: Tensor | None = None  # (1, B, outputs)
    recurrent: tuple[Tensor | None, ...] = ()  # one per layer, backward layers last: (G·H, H)

    def select(self, streams: slice) -> Masks:
        """The masks of some streams."""

        def columns(mask: Tensor | None) -> Tensor | None:
            return None if mask is None else mask[:, streams]

        between = tuple(map(columns, self.between))
        return replace(self, input=columns(self.input), between=between, output=columns(self.output))


NO_MASKS = Masks()


def masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """Multiply values (T, B, ·) by a mask (1, B, ·), the same at all T steps; None changes nothing.

    >>> import torch
    >>> masked(torch.ones(2, 1, 3), torch.tensor([[[0.0, 2.0, 2.0]]])).tolist()
    [[[0.0, 2.0, 2.0]], [[0.0, 2.0, 2.0]]]
    """
    return values if mask is None else values * mask.to(values.dtype)

"""The encoder: an embedding and a stack of recurrent layers, shared by language models and classifiers.

Shapes: T steps, B streams, E embedding, H hidden, L layers. State goes in and comes out; nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import zip_longest
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from chargen.errors import ChargenError
from chargen.models.cells.cell import Cell, State
from chargen.models.cells.registry import CELLS
from chargen.models.config import EncoderConfig

StackState = tuple[State, ...]  # one state per layer


@dataclass(frozen=True)
class Dropout:
    """Shares left out while training, each with one mask a step: variational dropout and its kin.

    Gal & Ghahramani 2016, arXiv:1512.05287; Merity et al. 2017, arXiv:1708.02182. No part of the model's shape.
    """

    embedding: float = 0.0  # whole symbols of the embedding
    input: float = 0.0  # what enters the first layer
    between: float = 0.0  # what passes from a layer to the next
    output: float = 0.0  # what leaves the last layer
    recurrent: float = 0.0  # recurrent weights (weight drop)

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < 1:
                raise ChargenError(
                    f"dropout {field.name} is {getattr(self, field.name)}, but a share is at least 0 and below 1"
                )


NO_DROPOUT = Dropout()


@dataclass(frozen=True)
class Masks:
    """What one step leaves out: factors that are 0, or else 1 / (1 - share); None leaves nothing out."""

    embedding: Tensor | None = None  # (V, 1)
    input: Tensor | None = None  # (1, B, E)
    between: tuple[Tensor | None, ...] = ()  # a layer after the first: (1, B, outputs)
    output: Tensor | None = None  # (1, B, outputs)
    recurrent: tuple[Tensor | None, ...] = ()  # a layer, those that read backwards last: (G·H, H)

    def of(self, streams: slice) -> Masks:
        """The masks of some of the streams."""

        def select(mask: Tensor | None) -> Tensor | None:
            return None if mask is None else mask[:, streams]

        between = tuple(map(select, self.between))
        return replace(self, input=select(self.input), between=between, output=select(self.output))


NO_MASKS = Masks()


class Stack(nn.ModuleList):
    """A list of recurrent layers, told so to the type checker."""

    def __iter__(self) -> Iterator[Cell]:
        return iter(cast("Iterator[Cell]", super().__iter__()))


class Encoder(nn.Module):
    """Embedding and recurrent stack; bidirectional ones read every layer from both ends."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        cell = CELLS[config.cell]
        sizes = [config.embedding_size] + [config.output_size] * (config.num_layers - 1)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.layers = Stack(cell(size, config.hidden_size) for size in sizes)
        self.backward_layers = Stack(cell(size, config.hidden_size) for size in sizes if config.bidirectional)
        nn.init.normal_(self.embedding.weight, std=0.1)
        for layer in [*self.layers, *self.backward_layers]:
            layer.initialise()

    def initial_state(self, batch: int) -> StackState:
        """The zero state of `batch` streams."""
        return tuple(layer.initial_state(batch) for layer in self.layers)

    def draw_masks(self, shares: Dropout, batch: int) -> Masks:
        """Masks for one step of `batch` streams, drawn by torch's global generator."""
        config = self.config

        def draw(share: float, *shape: int) -> Tensor | None:
            return dropout(self.embedding.weight.new_ones(shape), share) if share else None

        return Masks(
            draw(shares.embedding, config.vocab_size, 1),
            draw(shares.input, 1, batch, config.embedding_size),
            tuple(draw(shares.between, 1, batch, config.output_size) for _ in self.layers[1:]),
            draw(shares.output, 1, batch, config.output_size),
            tuple(
                draw(shares.recurrent, *getattr(layer, layer.spec.recurrent).shape) if layer.spec.recurrent else None
                for layer in [*self.layers, *self.backward_layers]
            ),
        )

    def forward(
        self, ids: Tensor, state: StackState | None = None, lengths: Tensor | None = None, masks: Masks = NO_MASKS
    ) -> tuple[Tensor, StackState]:
        """Outputs (T, B, H), or 2·H when bidirectional, and the state after ids (T, B).

        `lengths` (B,) says how many steps of each stream are its own; only the way back needs to know, since
        it starts there. The state is that of the way forwards, after all T steps. `masks` are of the same B streams,
        as `draw_masks` gives them; none outside of training.
        """
        states = state or self.initial_state(ids.shape[1])
        outputs = _masked(self._embed(ids, masks), masks.input)  # (T, B, E)
        passing: Sequence[Tensor | None] = (None, *masks.between)
        recurrent = masks.recurrent or (None,) * (len(self.layers) + len(self.backward_layers))
        after = []
        for i, (layer, back) in enumerate(zip_longest(self.layers, self.backward_layers)):
            inputs = _masked(outputs, passing[i] if i < len(passing) else None)
            outputs, last = layer(inputs, states[i], recurrent[i])  # (T, B, H)
            if back is not None:
                turned, _ = back(
                    reverse(inputs, lengths), back.initial_state(ids.shape[1]), recurrent[len(self.layers) + i]
                )
                outputs = torch.cat([outputs, reverse(turned, lengths)], dim=-1)  # (T, B, 2·H)
            after.append(last)
        return _masked(outputs, masks.output), tuple(after)

    def step(self, ids: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """Outputs (B, H) and the next state after one step of ids (B,), without dropout and forwards only."""
        outputs: Tensor = self.embedding(ids)
        after = []
        for layer, before in zip(self.layers, state, strict=True):
            outputs, last = layer.step(outputs, before)
            after.append(last)
        return outputs, tuple(after)

    def _embed(self, ids: Tensor, masks: Masks) -> Tensor:
        weight = self.embedding.weight
        return nn.functional.embedding(ids, weight if masks.embedding is None else weight * masks.embedding)


def _masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """Values (T, B, ·) with one mask (1, B, ·) for all T steps."""
    return values if mask is None else values * mask.to(values.dtype)


def reverse(values: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Values (T, B, ·) with the first `lengths` (B,) steps of each stream turned round, or all T."""
    if lengths is None:
        return values.flip(0)
    steps = torch.arange(len(values), device=values.device)[:, None]  # (T, 1)
    turned = torch.where(steps < lengths, lengths - 1 - steps, steps)  # (T, B)
    return values.gather(0, turned[..., None].expand_as(values))

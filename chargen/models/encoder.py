"""The encoder: an embedding and a stack of recurrent layers, shared by language models and classifiers.

Shapes: T steps, B streams, E embedding, H hidden, L layers. State goes in and comes out; nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import zip_longest
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from chargen.errors import ChargenError
from chargen.models.cells import CELLS, RecurrentLayer, State, initialise
from chargen.models.config import EncoderConfig

StackState = tuple[State, ...]  # a state a layer


@dataclass(frozen=True)
class Dropout:
    """Shares left out while training, each with one mask a call: variational dropout and its kin.

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


class Stack(nn.ModuleList):
    """A list of recurrent layers, told so to the type checker."""

    def __iter__(self) -> Iterator[RecurrentLayer]:
        return iter(cast("Iterator[RecurrentLayer]", super().__iter__()))


class Encoder(nn.Module):
    """Embedding and recurrent stack; bidirectional ones read every layer from both ends."""

    def __init__(self, config: EncoderConfig, dropout: Dropout | None = None) -> None:
        super().__init__()
        self.config = config
        self.dropout = dropout or Dropout()
        cell = CELLS[config.cell]
        sizes = [config.embedding_size] + [config.output_size] * (config.num_layers - 1)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.layers = Stack(cell(size, config.hidden_size) for size in sizes)
        self.backward_layers = Stack(cell(size, config.hidden_size) for size in sizes if config.bidirectional)
        nn.init.normal_(self.embedding.weight, std=0.1)
        for layer in [*self.layers, *self.backward_layers]:
            initialise(layer)

    def start(self, batch: int) -> StackState:
        """The zero state of `batch` streams."""
        return tuple(layer.start(batch) for layer in self.layers)

    def forward(
        self, ids: Tensor, state: StackState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, StackState]:
        """Outputs (T, B, H), or 2·H when bidirectional, and the state after ids (T, B).

        `lengths` (B,) says how many steps of each stream are its own; only the way back needs to know, since
        it starts there. The state is that of the way forwards, after all T steps.
        """
        shares = self.dropout
        states = state or self.start(ids.shape[1])
        outputs = self._locked(self._embed(ids), shares.input)  # (T, B, E)
        after = []
        for i, (layer, back) in enumerate(zip_longest(self.layers, self.backward_layers)):
            inputs = self._locked(outputs, shares.between) if i else outputs
            outputs, last = layer(inputs, states[i], shares.recurrent)  # (T, B, H)
            if back is not None:
                turned, _ = back(reverse(inputs, lengths), back.start(ids.shape[1]), shares.recurrent)
                outputs = torch.cat([outputs, reverse(turned, lengths)], dim=-1)  # (T, B, 2·H)
            after.append(last)
        return self._locked(outputs, shares.output), tuple(after)

    def step(self, ids: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """Outputs (B, H) and the next state after one step of ids (B,), without dropout and forwards only."""
        outputs: Tensor = self.embedding(ids)
        after = []
        for layer, before in zip(self.layers, state, strict=True):
            outputs, last = layer.step(outputs, before)
            after.append(last)
        return outputs, tuple(after)

    def _embed(self, ids: Tensor) -> Tensor:
        weight = self.embedding.weight
        if self.training and self.dropout.embedding:
            weight = weight * dropout(weight.new_ones(len(weight), 1), self.dropout.embedding)
        return nn.functional.embedding(ids, weight)

    def _locked(self, values: Tensor, share: float) -> Tensor:
        """Dropout of (T, B, ·) with one mask for all T steps."""
        if not self.training or not share:
            return values
        return values * dropout(torch.ones_like(values[:1]), share)


def reverse(values: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Values (T, B, ·) with the first `lengths` (B,) steps of each stream turned round, or all T."""
    if lengths is None:
        return values.flip(0)
    steps = torch.arange(len(values), device=values.device)[:, None]  # (T, 1)
    turned = torch.where(steps < lengths, lengths - 1 - steps, steps)  # (T, B)
    return values.gather(0, turned[..., None].expand_as(values))

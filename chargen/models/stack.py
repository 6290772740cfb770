"""A stack of recurrent layers, run in one direction or in both. Like a cell, it takes a state and gives the next.

Shapes: T steps, B streams, I inputs, H hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from chargen.models.cells.cell import Cell, State
from chargen.models.dropout import masked

StackState = tuple[State, ...]  # one per layer


class Stack(nn.ModuleList):
    """Layers, each reading the outputs of the one before."""

    def __iter__(self) -> Iterator[Cell]:
        return iter(cast("Iterator[Cell]", super().__iter__()))

    def initialise(self) -> None:
        """Give the weights the random values that a training begins with."""
        for layer in self:
            layer.initialise()

    def initial_state(self, batch: int) -> StackState:
        """The zero state of `batch` streams."""
        return tuple(layer.initial_state(batch) for layer in self)

    def forward(
        self,
        inputs: Tensor,
        state: StackState,
        between: Sequence[Tensor | None] = (),
        recurrent: Sequence[Tensor | None] = (),
    ) -> tuple[Tensor, StackState]:
        """Run the layers over time.

        Args:
            inputs: (T, B, I).
            state: Before the first step.
            between: Masks (1, B, H) of what each layer after the first reads; none outside of training.
            recurrent: Masks of each layer's recurrent weight; none outside of training.

        Returns:
            Outputs (T, B, H) of the last layer, and the state after the last step.
        """
        outputs, after = inputs, []
        for i, (layer, before) in enumerate(zip(self, state, strict=True)):
            outputs = masked(outputs, between[i - 1] if i and between else None)
            outputs, last = layer(outputs, before, recurrent[i] if recurrent else None)  # (T, B, H)
            after.append(last)
        return outputs, tuple(after)

    def step(self, inputs: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """Outputs (B, H) and the next state after one step of inputs (B, I), without dropout."""
        outputs, after = inputs, []
        for layer, before in zip(self, state, strict=True):
            outputs, last = layer.step(outputs, before)
            after.append(last)
        return outputs, tuple(after)


def read_both_ways(
    forwards: Stack,
    backwards: Stack,
    inputs: Tensor,
    state: StackState,
    lengths: Tensor | None = None,
    between: Sequence[Tensor | None] = (),
    recurrent: Sequence[Tensor | None] = (),
) -> tuple[Tensor, StackState]:
    """Run two stacks over texts, one from each end; each layer reads the outputs of both below it.

    Args:
        forwards: Reads from the start, from `state` on.
        backwards: Reads from the end, where it begins with the zero state.
        inputs: (T, B, I).
        state: Of `forwards`.
        lengths: Steps (B,) that are each text's own; all T where None. Only the way back needs to know.
        between: As for `Stack.forward`, each (1, B, 2·H).
        recurrent: Those of `forwards`, then those of `backwards`.

    Returns:
        Outputs (T, B, 2·H), and the state of `forwards` after all T steps.
    """
    outputs, after = inputs, []
    for i, (layer, back) in enumerate(zip(forwards, backwards, strict=True)):
        outputs = masked(outputs, between[i - 1] if i and between else None)
        ahead, last = layer(outputs, state[i], recurrent[i] if recurrent else None)  # (T, B, H)
        turned, _ = back(
            reverse(outputs, lengths),
            back.initial_state(inputs.shape[1]),
            recurrent[len(forwards) + i] if recurrent else None,
        )
        outputs = torch.cat([ahead, reverse(turned, lengths)], dim=-1)  # (T, B, 2·H)
        after.append(last)
    return outputs, tuple(after)


def reverse(values: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Values (T, B, ·) with the first `lengths` (B,) steps of each stream turned round, or all T.

    >>> reverse(torch.tensor([[1.0], [2.0], [3.0]])[..., None], torch.tensor([2])).flatten().tolist()
    [2.0, 1.0, 3.0]
    """
    if lengths is None:
        return values.flip(0)
    steps = torch.arange(len(values), device=values.device)[:, None]  # (T, 1)
    turned = torch.where(steps < lengths, lengths - 1 - steps, steps)  # (T, B)
    return values.gather(0, turned[..., None].expand_as(values))

"""A stack of recurrent layers, run in one direction or in both. The state is an argument and a result.

Shapes: T steps, B streams, I inputs, H hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from chargen.models.cells.cell import Cell, State, reset
from chargen.models.dropout import masked

StackState = tuple[State, ...]  # one per layer


class Stack(nn.ModuleList):
    """Recurrent layers, each reading the outputs of the one before.

    >>> from chargen.models.cells.fused import GRU
    >>> stack = Stack([GRU(3, 5), GRU(5, 5)])
    >>> outputs, state = stack(torch.zeros(4, 2, 3), stack.initial_state(2))
    >>> outputs.shape, len(state)
    (torch.Size([4, 2, 5]), 2)
    """

    def __iter__(self) -> Iterator[Cell]:
        return iter(cast("Iterator[Cell]", super().__iter__()))

    def initialise(self) -> None:
        """Set the weights to the random values that training starts from."""
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
        resets: Tensor | None = None,
    ) -> tuple[Tensor, StackState]:
        """Run the layers over time.

        Args:
            inputs: (T, B, I).
            state: Before the first step.
            between: Masks (1, B, H) for the inputs of each layer after the first; empty outside training.
            recurrent: Masks for each layer's recurrent weight; empty outside training.
            resets: Steps (T, B) before which a stream's state is set to zero; None: none.

        Returns:
            Outputs (T, B, H) of the last layer, and the state after the last step.
        """
        outputs, after = inputs, []
        for i, (layer, before) in enumerate(zip(self, state, strict=True)):
            outputs = masked(outputs, between[i - 1] if i and between else None)
            mask = recurrent[i] if recurrent else None
            if resets is None:
                outputs, last = layer(outputs, before, mask)  # (T, B, H)
            else:
                outputs, last = layer.forward_with_resets(outputs, before, resets, mask)
            after.append(last)
        return outputs, tuple(after)

    def step(self, inputs: Tensor, state: StackState, resets: Tensor | None = None) -> tuple[Tensor, StackState]:
        """Run one step without dropout.

        Args:
            inputs: (B, I).
            state: Before the step.
            resets: Streams (B,) whose state is first set to zero; None: none.

        Returns:
            Outputs (B, H), and the next state.
        """
        outputs, after = inputs, []
        for layer, before in zip(self, state, strict=True):
            outputs, last = layer.step(outputs, before if resets is None else reset(before, resets))
            after.append(last)
        return outputs, tuple(after)


def run_bidirectional(
    forwards: Stack,
    backwards: Stack,
    inputs: Tensor,
    state: StackState,
    lengths: Tensor | None = None,
    between: Sequence[Tensor | None] = (),
    recurrent: Sequence[Tensor | None] = (),
) -> tuple[Tensor, StackState]:
    """Run two stacks over texts, one from each end; each layer reads the outputs of both layers below it.

    Args:
        forwards: Reads from the start, beginning with `state`.
        backwards: Reads from the end, beginning with the zero state.
        inputs: (T, B, I).
        state: Of `forwards`.
        lengths: Steps (B,) of each text, the rest being padding; None: all T. Only `backwards` needs them.
        between: As for `Stack.forward`, each (1, B, 2·H).
        recurrent: Masks of the layers of `forwards`, then of those of `backwards`.

    Returns:
        Outputs (T, B, 2·H), and the state of `forwards` after all T steps.
    """
    outputs, after = inputs, []
    for i, (layer, backward_layer) in enumerate(zip(forwards, backwards, strict=True)):
        outputs = masked(outputs, between[i - 1] if i and between else None)
        forward_outputs, last = layer(outputs, state[i], recurrent[i] if recurrent else None)  # (T, B, H)
        backward_outputs, _ = backward_layer(
            reverse(outputs, lengths),
            backward_layer.initial_state(inputs.shape[1]),
            recurrent[len(forwards) + i] if recurrent else None,
        )
        outputs = torch.cat([forward_outputs, reverse(backward_outputs, lengths)], dim=-1)  # (T, B, 2·H)
        after.append(last)
    return outputs, tuple(after)


def reverse(values: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Reverse each stream in time; padding stays where it is.

    Args:
        values: (T, B, ·).
        lengths: Steps (B,) of each stream, the rest being padding; None: all T.

    >>> reverse(torch.tensor([[1.0], [2.0], [3.0]])[..., None], torch.tensor([2])).flatten().tolist()
    [2.0, 1.0, 3.0]
    """
    if lengths is None:
        return values.flip(0)
    steps = torch.arange(len(values), device=values.device)[:, None]  # (T, 1)
    indices = torch.where(steps < lengths, lengths - 1 - steps, steps)  # (T, B)
    return values.gather(0, indices[..., None].expand_as(values))

"""A stack of recurrent layers, run in one direction or in both. The state is an argument and a result.

Shapes: T steps, B streams, I inputs, H outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chargen.models.cells.cell import Cell, State, reset
from chargen.models.connections import PLAIN, Connections
from chargen.models.dropout import NO_MASKS, Masks, masked

StackState = tuple[State, ...]  # one per layer
Watch = Callable[[Tensor], object]  # called with each layer's outputs (T, B, H), of both directions side by side


@dataclass(frozen=True)
class Stack:
    """Recurrent layers, each reading the outputs of the one before, or of both layers before if in both directions.

    >>> from chargen.models.cells.fused import GRU
    >>> stack = Stack([GRU(3, 5), GRU(5, 5)])
    >>> outputs, state = stack.run(torch.zeros(4, 2, 3), stack.initial_state(2))
    >>> outputs.shape, len(state)
    (torch.Size([4, 2, 5]), 2)
    """

    layers: Sequence[Cell]
    backward_layers: Sequence[Cell] = ()  # as many, which read from the end, or none
    connections: Connections = PLAIN

    def initial_state(self, batch: int) -> StackState:
        """The zero state of `batch` streams, of the forward layers."""
        return tuple(layer.initial_state(batch) for layer in self.layers)

    def run(
        self,
        inputs: Tensor,
        state: StackState,
        lengths: Tensor | None = None,
        masks: Masks = NO_MASKS,
        resets: Tensor | None = None,
        watch: Watch | None = None,
    ) -> tuple[Tensor, StackState]:
        """Run the layers over time.

        Args:
            inputs: (T, B, I).
            state: Of the forward layers before the first step. Backward layers begin with the zero state.
            lengths: Steps (B,) of each stream, the rest being padding; None: all T. Only backward layers need them.
            masks: Between layers, and of recurrent weights; none outside training.
            resets: Steps (T, B) before which a stream's state is set to zero; None: none.
            watch: Sees the outputs of each layer, the first one first.

        Returns:
            Outputs (T, B, H), of both directions side by side if there are two; and the state of the forward layers
            after the last step.
        """
        outputs, after = inputs, []
        for number, before in enumerate(state):
            below = masked(outputs, masks.between[number - 1] if number and masks.between else None)
            normed = self.connections.normed(number, below)
            found, last = self._run_layer(number, normed, before, lengths, masks.recurrent, resets)
            if watch:
                watch(found)
            outputs = self.connections.connect(number, below, found)
            after.append(last)
        return self.connections.normed(len(state), outputs), tuple(after)

    def _run_layer(
        self,
        number: int,
        inputs: Tensor,
        state: State,
        lengths: Tensor | None,
        recurrent: Sequence[Tensor | None],
        resets: Tensor | None,
    ) -> tuple[Tensor, State]:
        layer, mask = self.layers[number], recurrent[number] if recurrent else None
        if resets is None:
            outputs, after = layer(inputs, state, mask)
        else:
            outputs, after = layer.forward_with_resets(inputs, state, resets, mask)
        if not self.backward_layers:
            return outputs, after
        layer, mask = self.backward_layers[number], recurrent[len(self.layers) + number] if recurrent else None
        backwards, _ = layer(reverse(inputs, lengths), layer.initial_state(inputs.shape[1]), mask)
        return torch.cat([outputs, reverse(backwards, lengths)], dim=-1), after

    def step(self, inputs: Tensor, state: StackState, resets: Tensor | None = None) -> tuple[Tensor, StackState]:
        """Run one step, forwards and without dropout.

        Args:
            inputs: (B, I).
            state: Before the step.
            resets: Streams (B,) whose state is first set to zero; None: none.

        Returns:
            Outputs (B, H), and the next state.
        """
        outputs, after = inputs, []
        for number, (layer, before) in enumerate(zip(self.layers, state, strict=True)):
            normed = self.connections.normed(number, outputs)
            found, last = layer.step(normed, before if resets is None else reset(before, resets))
            outputs = self.connections.connect(number, outputs, found)
            after.append(last)
        return self.connections.normed(len(state), outputs), tuple(after)


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

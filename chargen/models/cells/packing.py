"""Streams whose state is reset on the way, laid out as sequences that each begin with a state of their own.

torch's kernels read such sequences in one call, sorted by length, the longest first, as in
`torch.nn.utils.rnn.PackedSequence`.

Shapes: T steps, B streams, P sequences.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chargen.models.cells.cell import State


@dataclass(frozen=True)
class Packing:
    """Where each step of each stream stands among the packed steps of all sequences.

    >>> resets = torch.tensor([[False, True], [True, False], [False, False]])  # (T, B)
    >>> packing = Packing.at(resets)
    >>> packing.sizes.tolist()  # three sequences begin, and end after 1, 2 and 3 steps
    [3, 2, 1]
    >>> values = torch.arange(6.0).view(3, 2, 1)
    >>> torch.equal(packing.unpack(packing.pack(values)), values)
    True
    """

    sizes: Tensor  # sequences that have a step of each number (longest,); on the CPU, as torch's kernels ask
    places: Tensor  # of each stream's steps among the packed ones (B, T)
    streams: Tensor  # of each sequence (P,)
    starts_fresh: Tensor  # whether each sequence begins with the zero state (P,)
    last: Tensor  # the last sequence of each stream (B,)

    @classmethod
    def at(cls, resets: Tensor) -> Packing:
        """The packing of streams whose state is reset before each step where `resets` (T, B) is true."""
        fresh = resets.t()  # (B, T)
        starts = fresh.clone()
        starts[:, 0] = True
        sequence = (starts.flatten().cumsum(0) - 1).view_as(starts)  # (B, T), numbered in the order of the streams
        first = starts.flatten().nonzero()[:, 0]  # (P,)
        lengths = torch.diff(first, append=first.new_tensor([starts.numel()]))
        order = lengths.argsort(descending=True, stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device)
        step = torch.arange(starts.numel(), device=order.device).view_as(starts) - first[sequence]  # (B, T)
        sizes = torch.bincount(step.flatten())
        return cls(
            sizes=sizes.cpu(),
            places=(sizes.cumsum(0) - sizes)[step] + rank[sequence],
            streams=first[order] // starts.shape[1],
            starts_fresh=fresh.flatten()[first[order]],
            last=rank[sequence[:, -1]],
        )

    def pack(self, values: Tensor) -> Tensor:
        """Lay out values (T, B, ·) as (T·B, ·)."""
        packed = values.new_empty(self.places.numel(), values.shape[-1])
        return packed.index_copy(0, self.places.flatten(), values.transpose(0, 1).flatten(0, 1))

    def unpack(self, packed: Tensor) -> Tensor:
        """The inverse of `pack`."""
        return packed[self.places.t()]

    def pack_state(self, state: State) -> State:
        """The state (P, ·) that each sequence begins with, from that of the streams (B, ·)."""
        return tuple(part[self.streams].masked_fill(self.starts_fresh[:, None], 0.0) for part in state)

    def last_state(self, state: State) -> State:
        """The state (B, ·) of the streams after all T steps, from that after each sequence (P, ·)."""
        return tuple(part[self.last] for part in state)

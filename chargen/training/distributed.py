"""Several processes that train one model, as torch's launcher starts them; alone, nothing here does anything.

    torchrun --nproc-per-node 2 -m chargen train book.txt

Each process reads its share of the streams; gradients are averaged, so that all hold the same weights; the first
process alone measures and writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from chargen.errors import ChargenError, ReportedError
from chargen.workers import divide


@dataclass(frozen=True)
class World:
    """The processes of one training, seen from one of them."""

    rank: int = 0
    size: int = 1

    @property
    def is_writer(self) -> bool:
        """Whether this process is the one that measures, writes and speaks."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """The part of this process in so many streams or texts."""
        return divide(total, self.size)[self.rank]

    def seed(self, seed: int) -> None:
        """Begin each process's random numbers elsewhere, or all would leave out the same units of their streams."""
        if self.size > 1:
            torch.manual_seed(seed * self.size + self.rank)

    def average(self, model: nn.Module, loss: Tensor) -> Tensor:
        """Make each gradient the mean over all processes, and give the mean loss, in one exchange."""
        if self.size == 1:
            return loss
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients] + [loss.reshape(1).to(gradients[0].dtype)])
        distributed.all_reduce(flat)
        flat /= self.size
        *parts, mean = torch.split(flat, [*(gradient.numel() for gradient in gradients), 1])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return mean.squeeze(0)

    def gather(self, part: Tensor, dim: int) -> Tensor:
        """The parts of all processes, of equal shape, side by side along `dim`."""
        if self.size == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.size)]
        distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts, dim)

    def agree(self, value: Any | Callable[[], Any]) -> Any:
        """The first process's value, in all of them; a function is called there alone.

        What it cannot do, all of them raise, so that none waits for the others; ReportedError in all but the first.
        """
        if self.size == 1:
            return value() if callable(value) else value
        holder: list[Any] = [None, None]  # the value, the error
        if self.is_writer:
            try:
                holder[0] = value() if callable(value) else value
            except (ChargenError, OSError) as error:
                holder[1] = error
        distributed.broadcast_object_list(holder, src=0)
        if holder[1] is not None:
            raise holder[1] if self.is_writer else ReportedError(str(holder[1]))
        return holder[0]


ALONE = World()


def launched_rank() -> int:
    """The number of this process as torch's launcher set it; 0 without a launcher."""
    return int(os.environ.get("RANK", "0"))


def join(device: torch.device) -> World:
    """The world that the launcher's environment describes, joined; ALONE without a launcher."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(distributed.get_rank(), distributed.get_world_size())


def leave() -> None:
    """Let go of the other processes, when there are any."""
    if distributed.is_initialized():
        distributed.destroy_process_group()

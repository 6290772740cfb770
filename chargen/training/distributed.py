"""Several processes that train one model, as torch's launcher starts them; with one process, nothing here acts.

    torchrun --nproc-per-node 2 -m chargen train book.txt

Each process reads its shard of the streams. Gradients are averaged, so that all processes hold the same weights; only
the first one evaluates and writes.
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

    rank: int = 0  # this process
    size: int = 1  # number of processes

    @property
    def is_writer(self) -> bool:
        """Whether this is the one process that evaluates, writes files and reports."""
        return self.rank == 0

    def shard(self, total: int) -> slice:
        """The slice of `total` streams or texts that this process takes; sizes differ by at most one.

        >>> World(rank=1, size=2).shard(5)
        slice(2, 5, None)
        """
        return divide(total, self.size)[self.rank]

    def seed(self, seed: int) -> None:
        """Give each process its own random numbers, so that they don't all draw the same dropout masks."""
        if self.size > 1:
            torch.manual_seed(seed * self.size + self.rank)

    def average(self, model: nn.Module, loss: Tensor) -> Tensor:
        """Average gradients and loss over all processes, in one exchange.

        Args:
            model: Its gradients are replaced by their mean.
            loss: This process's loss, a scalar.

        Returns:
            The mean loss, a scalar.
        """
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
        """Concatenate the parts of all processes, which must have equal shapes, along `dim`."""
        if self.size == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.size)]
        distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts, dim)

    def broadcast(self, value: Any | Callable[[], Any]) -> Any:
        """Give every process the first one's value.

        Args:
            value: A picklable value, or a function, which only the first process calls.

        Raises:
            ChargenError, OSError: The function raised it. All processes raise, so that none waits for the others:
                the first one its own error, the others a ReportedError with the same message.

        >>> ALONE.broadcast(lambda: 3)
        3
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
    """The rank that torch's launcher gave this process; 0 without a launcher."""
    return int(os.environ.get("RANK", "0"))


def join(device: torch.device) -> World:
    """Join the other processes that the launcher's environment names; ALONE without a launcher."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(distributed.get_rank(), distributed.get_world_size())


def leave() -> None:
    """Leave the process group, if there is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()

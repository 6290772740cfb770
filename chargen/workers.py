"""Threads that share the work of a step, once per step instead of once per operation.

Torch splits each small matrix product among all cores and waits for the slowest, thousands of times a second. If
another program holds a core, each wait costs a time slice of the scheduler. Here a batch is split into shards of its
streams or texts. A worker computes a shard from ids to gradients with single-threaded kernels, so that there is one
wait per step.

Only the shards affect rounding: results are bit-identical for any number of workers and any assignment to them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """A pool of threads, to be used with `with`; a single worker computes in the calling thread.

    >>> with Workers(2) as workers:
    ...     workers.map(lambda x: x * x, [1, 2, 3])
    [1, 4, 9]
    """

    def __init__(self, size: int = 1, *, single_threaded: bool = True, kernels: Kernels | None = None) -> None:
        """Set up the pool without starting its threads.

        Args:
            size: Number of workers.
            single_threaded: Restrict kernels to one thread each within `with`; makes no difference to a GPU.
            kernels: The library that the workers compute with; torch by default.
        """
        self.size, self.single_threaded = size, single_threaded
        self._kernels = _torch_kernels if kernels is None else kernels
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        if self.single_threaded:
            self._kernels.enter()
        if self.size > 1:
            numbers = count()
            self._pool = ThreadPoolExecutor(self.size, "worker", initializer=lambda: self._init_thread(next(numbers)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        if self.single_threaded:
            self._kernels.leave()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Apply a function to each item in parallel.

        Args:
            function: Called in the workers' threads.
            items: Its arguments.

        Returns:
            The results, in the order of the items. An error of any call is raised here.
        """
        if self._pool is None:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))

    def gradients(self, model: nn.Module, losses: Sequence[Callable[[], Tensor]]) -> Tensor:
        """Compute losses and their gradients in parallel.

        Args:
            model: The gradient of the summed loss is stored in each weight's `grad`.
            losses: Functions that each compute a part of the loss, a scalar.

        Returns:
            The sum of the losses, a scalar.

        Raises:
            RuntimeError: A loss does not depend on one of the model's weights.
        """
        import torch

        weights = list(model.parameters())

        def compute(loss: Callable[[], Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
            value = loss()
            return value.detach(), torch.autograd.grad(value, weights)

        model.zero_grad()  # frees the memory of the last step's gradients
        values, gradients = zip(*self.map(compute, losses), strict=True)
        for weight, total in zip(weights, self.map(_sum, zip(*gradients, strict=True)), strict=True):
            weight.grad = total
        return _sum(values)

    def _init_thread(self, number: int) -> None:
        """Make a thread's kernels single-threaded, and pin it to a core if there is exactly one per worker.

        Without pinning, Linux puts all threads on one core if a program of another login competes, and gives
        that program the other core.

        Args:
            number: Of the worker, from 0.
        """
        self._kernels.init_thread()
        if hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            with suppress(OSError):  # not allowed everywhere; without it, only competition is slower
                if len(cores) == self.size:
                    os.sched_setaffinity(0, {cores[number]})


class Kernels(Protocol):
    """A numerical library whose kernels can be restricted to one thread each."""

    def enter(self) -> None:
        """Restrict the kernels."""

    def leave(self) -> None:
        """Lift the restriction; the last caller to do so restores the former number of threads."""

    def init_thread(self) -> None:
        """Restrict the kernels of a new thread, if the library has a setting for each thread."""


class _TorchKernels:
    """Torch's kernels, restricted while any thread is between `enter` and `leave`."""

    def __init__(self) -> None:
        self.lock, self.users, self.before = threading.Lock(), 0, 0
        self.own = threading.local()  # depth: how many times this thread has entered without leaving

    def enter(self) -> None:
        import torch

        with self.lock:
            if not self.users:
                self.before = torch.get_num_threads()
            self.users += 1
            self.own.depth = getattr(self.own, "depth", 0) + 1
            torch.set_num_threads(1)

    def leave(self) -> None:
        import torch

        with self.lock:
            self.users -= 1
            self.own.depth -= 1
            if not self.own.depth:
                torch.set_num_threads(self.before)

    def init_thread(self) -> None:
        import torch

        torch.set_num_threads(1)


class _NumpyKernels:
    """The kernels of NumPy's BLAS, whose number of threads is a setting of the whole process.

    So only one caller at a time restricts them and restores the setting; others rely on that meanwhile.
    """

    free: ClassVar = threading.Lock()

    def __init__(self) -> None:
        self.limits = ExitStack()

    def enter(self) -> None:
        from threadpoolctl import ThreadpoolController

        if self.free.acquire(blocking=False):
            self.limits.callback(self.free.release)
            self.limits.enter_context(ThreadpoolController().select(user_api="blas").limit(limits=1))

    def leave(self) -> None:
        self.limits.close()

    def init_thread(self) -> None:
        pass


_torch_kernels = _TorchKernels()
ONE_WORKER = Workers(single_threaded=False)  # computes in the calling thread, with torch's own threads


def workers_for(device: torch.device) -> Workers:
    """Make a worker for each physical core that this process may use, or a single one for a GPU.

    Respects CPU affinity, a container's quota, LOKY_MAX_CPU_COUNT, and OMP_NUM_THREADS, by which torch's launcher and
    many job schedulers divide a machine.

    Args:
        device: Where the workers compute.
    """
    import torch

    if device.type != "cpu":
        return Workers(single_threaded=False)
    return Workers(min(_cores(), torch.get_num_threads()))


def numpy_workers(most: int) -> Workers:
    """Make a worker for each physical core that NumPy may use, but at most `most`.

    Args:
        most: Largest number of workers; 1 avoids the slow import of joblib.
    """
    if most < 2:
        return Workers(kernels=_NumpyKernels())
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    threads = max((library.num_threads for library in libraries), default=1)
    return Workers(min(most, _cores(), threads), kernels=_NumpyKernels())


def _cores() -> int:
    """Physical cores that this process may use."""
    import joblib

    cores: int = joblib.cpu_count(only_physical_cores=True)
    return cores


def divide(total: int, parts: int) -> list[slice]:
    """Split `total` streams or texts into contiguous slices whose sizes differ by at most one.

    Args:
        total: How many there are.
        parts: Number of slices.


    >>> divide(7, 3)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
    """
    return [slice(part * total // parts, (part + 1) * total // parts) for part in range(parts)]


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    """Sum tensors in the order given, in place in the first one."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total += tensor
    return total

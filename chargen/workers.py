"""Work divided among threads once per step, not once per operation.

Torch divides each small product among all cores and waits for the slowest, thousands of times a second; where another
program holds a core, each wait costs a scheduler's slice. Here each worker computes its shards, shares of the streams
or texts, from ids to gradients, with kernels of one thread, and there is one wait a step.

The shards alone decide a result: how many workers there are, and which one computes which, changes no bit of it.
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
    """Threads that compute side by side, to be entered with `with`; one alone computes in the thread that asks.

    >>> with Workers(2) as workers:
    ...     workers.map(lambda x: x * x, [1, 2, 3])
    [1, 4, 9]
    """

    def __init__(self, size: int = 1, *, single_threaded: bool = True, kernels: Kernels | None = None) -> None:
        """`single_threaded`: kernels use one thread each while the workers are entered; a GPU's do not care.

        kernels: those that the workers compute with, torch's by default.
        """
        self.size, self.single_threaded = size, single_threaded
        self._kernels = _torch_kernels if kernels is None else kernels
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        if self.single_threaded:
            self._kernels.enter()
        if self.size > 1:
            numbers = count()
            self._pool = ThreadPoolExecutor(self.size, "worker", initializer=lambda: self._begin(next(numbers)))
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
        """What the function makes of each item, in their order; an error of one of them is raised here."""
        if self._pool is None:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))

    def gradients(self, model: nn.Module, losses: Sequence[Callable[[], Tensor]]) -> Tensor:
        """The sum of the losses, each computed by a function; its gradient is left in each weight's `grad`.

        RuntimeError where a loss does not depend on one of the model's weights.
        """
        import torch

        weights = list(model.parameters())

        def compute(loss: Callable[[], Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
            value = loss()
            return value.detach(), torch.autograd.grad(value, weights)

        model.zero_grad()  # so that the last step's gradients take no memory
        values, gradients = zip(*self.map(compute, losses), strict=True)
        for weight, total in zip(weights, self.map(_sum, zip(*gradients, strict=True)), strict=True):
            weight.grad = total
        return _sum(values)

    def _begin(self, number: int) -> None:
        """Prepare a thread: kernels of one thread, on a core of its own where there is one for each worker.

        Where programs of two sessions compete, Linux would put all threads of this one on one core, so that the
        other program gets the whole of the second.
        """
        self._kernels.begin()
        if hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            with suppress(OSError):  # where that is forbidden, it is only slower beside others
                if len(cores) == self.size:
                    os.sched_setaffinity(0, {cores[number]})


class Kernels(Protocol):
    """Kernels of one thread while they are asked for; then as many as before."""

    def enter(self) -> None:
        """Ask for them."""

    def leave(self) -> None:
        """Ask for them no more."""

    def begin(self) -> None:
        """Prepare a thread that has just begun, where threads have a setting of their own."""


class _TorchKernels:
    """Torch's: of one thread while anybody asks for them, in whichever thread."""

    def __init__(self) -> None:
        self.lock, self.users, self.before = threading.Lock(), 0, 0
        self.own = threading.local()  # depth: how often this thread has entered

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

    def begin(self) -> None:
        import torch

        torch.set_num_threads(1)


class _NumpyKernels:
    """Those of the libraries that NumPy multiplies with; their setting is the whole process's.

    So the first who asks sets it, and takes it back; whoever asks meanwhile computes with what is set.
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

    def begin(self) -> None:
        pass


_torch_kernels = _TorchKernels()
ONE_WORKER = Workers(single_threaded=False)  # computes as torch does by itself


def workers_for(device: torch.device) -> Workers:
    """A worker for each core that this process may use; one for a device that is no CPU.

    Affinity, a container's quota and LOKY_MAX_CPU_COUNT count, and OMP_NUM_THREADS, by which torch's launcher and
    many job schedulers share a machine.
    """
    import torch

    if device.type != "cpu":
        return Workers(single_threaded=False)
    return Workers(min(_cores(), torch.get_num_threads()))


def numpy_workers(most: int) -> Workers:
    """The same for what NumPy computes, at most `most`; a single one is had without joblib's slow import."""
    if most < 2:
        return Workers(kernels=_NumpyKernels())
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    threads = max((library.num_threads for library in libraries), default=1)
    return Workers(min(most, _cores(), threads), kernels=_NumpyKernels())


def _cores() -> int:
    import joblib

    cores: int = joblib.cpu_count(only_physical_cores=True)
    return cores


def divide(total: int, parts: int) -> list[slice]:
    """So many streams or texts as `parts` neighbouring slices of about one size.

    >>> divide(7, 3)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
    """
    return [slice(part * total // parts, (part + 1) * total // parts) for part in range(parts)]


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    """The sum in the order given, in the first tensor's memory."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total += tensor
    return total

"""The number of threads that share the matrix products of a step: the fastest one, found by trying.

Two threads read a large model's weights faster than one. But with a small model, or if another program holds a core,
threads wait for each other, which may take far longer than the product itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

WARM_UP = 24  # uses before the first trial, so that the first characters do not wait for it
TRIAL = 0.025  # seconds to try each number of threads: longer than a scheduler's time slice
TRY_AGAIN = 3.0  # seconds before other numbers are tried again
SLOWED_DOWN = 1.5  # try again at once if work takes this many times as long as when it was measured


class Library(Protocol):
    """A library of kernels, as threadpoolctl presents it."""

    @property
    def num_threads(self) -> int:
        """The number of threads that its kernels use."""

    def set_num_threads(self, num_threads: int) -> None:
        """Set this number for the whole process."""


def blas_libraries() -> Sequence[Library]:
    """The libraries that NumPy uses for matrix products."""
    from threadpoolctl import ThreadpoolController

    libraries: Sequence[Library] = ThreadpoolController().select(user_api="blas").lib_controllers
    return libraries


class KernelThreads:
    """A context that runs kernels with the fastest number of threads for the work done in it, use after use.

    Outside the context, libraries have the number of threads that they had before.

    >>> threads = KernelThreads()
    >>> with threads.for_work(1):
    ...     pass
    """

    def __init__(self, find: Callable[[], Sequence[Library]] = blas_libraries, warm_up: int = WARM_UP) -> None:
        """Set up without changing any library.

        Args:
            find: Returns the libraries; called once, after the warm-up.
            warm_up: Uses before the first trial.
        """
        self.count: int | None = None  # threads in use; None: the libraries' own number
        self._find, self._warm_up = find, warm_up
        self._libraries: Sequence[Library] = ()
        self._counts: list[int] = []  # numbers worth trying
        self._to_try: list[int] = []  # numbers not yet tried
        self._tried: dict[int, float] = {}  # seconds per unit of work, by number of threads
        self._best = 0.0  # seconds per unit of work with the chosen number
        self._chosen_at = 0.0  # when the number was chosen; 0 while trying
        self._seconds, self._units_done = 0.0, 0  # of the current trial
        self._is_free = threading.Lock()

    @contextmanager
    def for_work(self, units: int) -> Iterator[None]:
        """The context for this many units of work, such as rows of a batch.

        A thread that comes while another is in it computes with the number of threads that this one has chosen.
        """
        if not self._is_free.acquire(blocking=False):
            yield
            return
        libraries = self._libraries if self.count is not None else ()
        before = [library.num_threads for library in libraries]
        began = time.perf_counter()
        try:
            for library in libraries:
                library.set_num_threads(self.count or 1)
            yield
        finally:
            now = time.perf_counter()
            for library, count in zip(libraries, before, strict=True):
                library.set_num_threads(count)
            self._note(units, now - began, now)
            self._is_free.release()

    def _note(self, units: int, seconds: float, now: float) -> None:
        """Take the time of a use into account."""
        if self.count is None:
            self._warm_up -= 1
            if self._warm_up < 0:
                self._load()
            return
        self._seconds += seconds
        self._units_done += units
        if self._seconds >= TRIAL:
            self._decide(self._seconds / self._units_done, now)
            self._seconds, self._units_done = 0.0, 0

    def _load(self) -> None:
        """Find the libraries, and the numbers of threads to try: 1, 2, 4, … up to the libraries' own."""
        self._libraries = self._find()
        most = max((library.num_threads for library in self._libraries), default=1)
        self._counts = sorted({min(1 << power, most) for power in range(most.bit_length() + 1)})
        self._try_all()

    def _try_all(self) -> None:
        self._tried = {}
        self._to_try = list(self._counts)
        self.count = self._to_try.pop(0)

    def _decide(self, seconds_per_unit: float, now: float) -> None:
        """Try the next number, choose the fastest one, or start again."""
        if self._chosen_at == 0.0:
            assert self.count is not None
            self._tried[self.count] = seconds_per_unit
            if self._to_try:
                self.count = self._to_try.pop(0)
            else:
                self.count = min(self._tried, key=lambda count: self._tried[count])
                self._best, self._chosen_at = self._tried[self.count], now
        elif len(self._counts) > 1 and (
            now > self._chosen_at + TRY_AGAIN or seconds_per_unit > SLOWED_DOWN * self._best
        ):
            self._chosen_at = 0.0
            self._try_all()

"""How many threads the products of a step are divided among: as many as are fastest here and now, found by trying.

Two threads read a large model's weights faster than one. A small model, or a core that another program holds, makes
them wait for each other, which may cost far more than the product itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

WARM_UP = 24  # uses before the first trial, so that the first characters wait for nothing
TRIAL = 0.025  # seconds that each number of threads is tried for: more than a scheduler's slice
TRY_AGAIN = 3.0  # seconds until other numbers are tried once more
SLOWED_DOWN = 1.5  # times the time that was measured: try again at once


class Library(Protocol):
    """A library of kernels, as threadpoolctl shows one."""

    @property
    def num_threads(self) -> int:
        """The threads that its kernels use."""

    def set_num_threads(self, num_threads: int) -> None:
        """Set them, for the whole process."""


def blas() -> Sequence[Library]:
    """The libraries that NumPy multiplies with."""
    from threadpoolctl import ThreadpoolController

    libraries: Sequence[Library] = ThreadpoolController().select(user_api="blas").lib_controllers
    return libraries


class KernelThreads:
    """A context in which kernels have the threads that are fastest for what is done in it, again and again.

    Outside of it libraries keep the threads that they had.

    >>> threads = KernelThreads()
    >>> with threads.of(1):
    ...     pass
    """

    def __init__(self, find: Callable[[], Sequence[Library]] = blas, warm_up: int = WARM_UP) -> None:
        """`find` gives the libraries, and is called after `warm_up` uses, before the first trial."""
        self.count: int | None = None  # threads in use; None: those that libraries have by themselves
        self._find, self._warm_up = find, warm_up
        self._libraries: Sequence[Library] = ()
        self._counts: list[int] = []  # numbers worth a trial
        self._trials: list[int] = []  # numbers that are still to be tried
        self._found: dict[int, float] = {}  # seconds for each unit of work, by number of threads
        self._best = 0.0  # of the number in use
        self._began = self._decided = 0.0
        self._units = 1
        self._seconds, self._done = 0.0, 0  # since the number was set
        self._before: list[int] = []

    def of(self, units: int) -> KernelThreads:
        """The context for so many units of work, such as rows."""
        self._units = units
        return self

    def __enter__(self) -> None:
        if self.count is not None:
            self._before = [library.num_threads for library in self._libraries]
            for library in self._libraries:
                library.set_num_threads(self.count)
        self._began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        now = time.perf_counter()
        if self.count is None:
            self._warm_up -= 1
            if self._warm_up < 0:
                self._load()
            return
        for library, count in zip(self._libraries, self._before, strict=True):
            library.set_num_threads(count)
        self._seconds += now - self._began
        self._done += self._units
        if self._seconds >= TRIAL:
            self._decide(self._seconds / self._done, now)
            self._seconds, self._done = 0.0, 0

    def _load(self) -> None:
        """Find the libraries, and the numbers of threads to try: 1, 2, 4, … up to theirs."""
        self._libraries = self._find()
        most = max((library.num_threads for library in self._libraries), default=1)
        self._counts = sorted({min(1 << power, most) for power in range(most.bit_length() + 1)})
        self._try_all()

    def _try_all(self) -> None:
        self._found = {}
        self._trials = list(self._counts)
        self.count = self._trials.pop(0)

    def _decide(self, seconds: float, now: float) -> None:
        """Go on to the next number that is to be tried, or to the best; or begin anew."""
        if self._decided == 0.0:
            assert self.count is not None
            self._found[self.count] = seconds
            if self._trials:
                self.count = self._trials.pop(0)
            else:
                self.count = min(self._found, key=lambda count: self._found[count])
                self._best, self._decided = self._found[self.count], now
        elif len(self._counts) > 1 and (now > self._decided + TRY_AGAIN or seconds > SLOWED_DOWN * self._best):
            self._decided = 0.0
            self._try_all()

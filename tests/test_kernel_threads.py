"""The number of threads follows what is fastest, and outside of a step libraries are as they were."""

from __future__ import annotations

import numpy as np
import pytest

from chargen.generation.engines.kernel_threads import WARM_UP, KernelThreads, blas_libraries


class Library:
    """A BLAS whose time for a step is known for each number of threads."""

    num_threads = 4

    def set_num_threads(self, count: int) -> None:
        self.num_threads = count


class World:
    """A clock and a BLAS, in place of the real ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.library, self.seconds = 100.0, Library(), {1: 1e-3, 2: 2e-3, 4: 3e-3}
        monkeypatch.setattr("time.perf_counter", lambda: self.now)

    def find(self) -> list[Library]:
        return [self.library]

    def use(self, threads: KernelThreads, seconds: float) -> list[int]:
        """Step for so long; gives the threads that BLAS had in each step."""
        end, used = self.now + seconds, []
        while self.now < end:
            with threads.for_work(1):
                used.append(self.library.num_threads)
                self.now += self.seconds[self.library.num_threads]
            assert self.library.num_threads == 4  # as it was
        return used


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.mark.parametrize("best", [1, 2, 4])
def test_the_fastest_number_is_found_and_kept(world: World, best: int) -> None:
    world.seconds[best] = 0.5e-3
    used = world.use(KernelThreads(world.find), 2.0)
    assert used[: WARM_UP + 1] == [4] * (WARM_UP + 1)
    assert set(used) == {1, 2, 4}
    assert set(used[-1000:]) == {best}


def test_it_is_looked_for_again_when_it_slows_down_and_after_a_while(world: World) -> None:
    world.seconds[4] = 0.3e-3
    threads = KernelThreads(world.find)
    assert world.use(threads, 1.0)[-1] == 4
    world.seconds[4] = 11e-3  # another program takes a core
    assert world.use(threads, 0.5)[-1] == 1
    world.seconds[4] = 0.3e-3  # and ends
    assert world.use(threads, 4.0)[-1] == 4


def test_one_thread_is_never_left(world: World) -> None:
    world.library.num_threads = 1
    with KernelThreads(world.find, warm_up=0).for_work(1):
        pass
    threads = KernelThreads(world.find, warm_up=0)
    for _ in range(100):
        with threads.for_work(3):
            assert world.library.num_threads == 1
            world.now += 1.0


def test_threads_change_no_bit_of_a_product() -> None:
    libraries = blas_libraries()  # NumPy's, and SciPy's where something has loaded it
    before = [library.num_threads for library in libraries]
    random = np.random.default_rng(0)
    weight, row = random.normal(size=(2048, 512)).astype("f"), random.normal(size=512).astype("f")
    found = []
    for count in (1, 2):
        for library in libraries:
            library.set_num_threads(count)
        found.append(np.dot(weight, row))
    for library, threads in zip(libraries, before, strict=True):
        library.set_num_threads(threads)
    assert libraries and np.array_equal(*found)

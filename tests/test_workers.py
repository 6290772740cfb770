"""Work divided among threads: the same results, to the last bit, however many threads and cores there are."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import write_table, write_text
from processes import run_python
from threadpoolctl import threadpool_limits

from chargen.generation.engines.kernel_threads import blas_libraries
from chargen.runs.folder import load_run
from chargen.workers import ONE_WORKER, Workers, divide, numpy_workers, workers_for

CPU = torch.device("cpu")


def test_slices_are_all_of_it_once_and_differ_by_one_at_most() -> None:
    for total in (1, 4, 7, 64):
        for parts in (1, 3, 5):
            slices = divide(total, parts)
            assert [place for part in slices for place in range(total)[part]] == list(range(total))
            sizes = [part.stop - part.start for part in slices]
            assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("size", [1, 3])
def test_results_come_in_the_order_of_the_items_and_errors_come_out(size: int) -> None:
    def invert(number: int) -> float:
        return 1 / number

    with Workers(size) as workers:
        assert workers.map(invert, [1, 2, 4, 8, 16]) == [1, 0.5, 0.25, 0.125, 0.0625]
        with pytest.raises(ZeroDivisionError):
            workers.map(invert, [1, 0, 2])


def test_kernels_have_one_thread_while_workers_are_there() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with Workers(2) as workers:
            assert workers.map(lambda _: torch.get_num_threads(), range(4)) == [1] * 4
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with ONE_WORKER as workers:
            assert workers.map(lambda _: torch.get_num_threads(), range(2)) == [2, 2]
    finally:
        torch.set_num_threads(before)


def test_numpy_workers_leave_the_libraries_as_they_were() -> None:
    def threads() -> set[int]:
        return {library.num_threads for library in blas_libraries()}

    def overlap() -> None:
        with numpy_workers(1):
            inside.set()
            may_leave.wait()

    inside, may_leave = threading.Event(), threading.Event()
    with threadpool_limits(2, "blas"), ThreadPoolExecutor(1) as other:
        with numpy_workers(3) as workers:
            assert workers.map(lambda _: threads(), range(2)) == [{1}, {1}]
            left = other.submit(overlap)
            inside.wait()
        may_leave.set()
        left.result()
        assert threads() == {2}
        with numpy_workers(1):
            assert threads() == {1}
        assert threads() == {2}


def test_threads_that_overlap_leave_torch_as_it_was() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    inside, may_leave = threading.Event(), threading.Event()

    def other() -> None:
        with Workers(1):
            inside.set()
            may_leave.wait(60)

    thread = threading.Thread(target=other)
    try:
        with Workers(1):
            thread.start()
            inside.wait(60)
        may_leave.set()
        thread.join(60)
        assert torch.get_num_threads() == 2
        with ThreadPoolExecutor(1) as new:
            assert new.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


def test_gradients_are_those_of_the_sum() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    inputs = torch.randn(6, 3)

    def loss(part: slice) -> torch.Tensor:
        total: torch.Tensor = model(inputs[part]).square().sum()
        return total

    expected = torch.autograd.grad(loss(slice(None)), list(model.parameters()))
    found = []
    for size in (1, 2, 3):
        with Workers(size) as workers:
            total = workers.gradients(model, [partial(loss, part) for part in divide(6, 3)])
        torch.testing.assert_close(total, loss(slice(None)).detach())
        found.append([weight.grad for weight in model.parameters() if weight.grad is not None])
        torch.testing.assert_close(tuple(found[-1]), expected)
    assert all(torch.equal(a, b) for others in found[1:] for a, b in zip(found[0], others, strict=True))


def test_workers_are_as_many_as_the_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda only_physical_cores: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)  # OMP_NUM_THREADS
    assert workers_for(CPU).size == 3
    monkeypatch.setattr(torch, "get_num_threads", lambda: 12)
    assert workers_for(CPU).size == 8
    assert workers_for(torch.device("meta")).size == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    write_text(folder / "book.txt", 60)
    write_table(folder / "table.csv", 40)
    return folder


PROGRAM = """
import os, sys
cores = int(sys.argv.pop(1))
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
from chargen.cli import main
main()
"""
MODEL = """book.txt --shards 3 --steps 12 --cell lstm --hidden-size 24 --embedding-size 8 --batch-size 8
    --sequence-length 8 --dropout 0.3"""
CLASSIFIER = "table.csv --shards 3 --task classify --steps 12 --hidden-size 12 --batch-size 16"


@pytest.mark.parametrize(
    "arguments", [MODEL, MODEL.replace("lstm", "gru"), CLASSIFIER], ids=["lstm", "gru", "labels"]
)
def test_threads_and_cores_change_no_bit_of_the_weights(folder: Path, arguments: str) -> None:
    weights = []
    for number, (threads, cores) in enumerate([(1, 2), (2, 2), (2, 1)]):
        out = folder / f"{abs(hash(arguments))}-{number}"
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        run_python(
            "-c", PROGRAM, str(cores), "train", *arguments.split(), "--out", str(out),
            cwd=folder, env=environment, check=True,
        )  # fmt: skip
        run = load_run(out)
        assert run.config["options"]["shards"] == 3
        weights.append(run.weights())
    for others in weights[1:]:
        assert all(np.array_equal(weight, others[name]) for name, weight in weights[0].items())

"""Two processes of half the streams are one process of all: the same losses, the same run folder, one writer."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from builders import write_text
from processes import run_python

from chargen.runs.folder import Run, load_run
from chargen.training.distributed import World

SHAPE = """--num-layers 2 --hidden-size 12 --embedding-size 6 --batch-size 4 --sequence-length 8 --dropout 0
    --device cpu --precision fp32"""
TRAIN = ["train", "book.txt", "--steps", "12", *SHAPE.split()]


def launcher(processes: int) -> list[str]:
    options = f"--nproc-per-node {processes} --master-port 0 --standalone"
    return ["-m", "torch.distributed.run", *options.split()] if processes > 1 else []


def train(folder: Path, *arguments: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    return run_python(*launcher(processes), "-m", "chargen", *arguments, cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    write_text(folder / "book.txt")
    return folder


def losses(run: Run) -> list[float]:
    return [record["val_loss"] for record in run.metrics()]


def test_two_processes_are_one(folder: Path) -> None:
    alone = train(folder, *TRAIN, "--out", "one")
    assert alone.returncode == 0, alone.stderr
    together = train(folder, *TRAIN, "--out", "two", processes=2)
    assert together.returncode == 0, together.stderr
    assert together.stderr.count("next: chargen sample") == 1  # the second process is silent
    one, two = load_run(folder / "one"), load_run(folder / "two")
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    for name, weight in one.weights().items():
        np.testing.assert_allclose(two.weights()[name], weight, atol=2e-3)
    assert {path.name for path in one.path.rglob("*")} == {path.name for path in two.path.rglob("*")}
    states = one.training_state(), two.training_state()
    assert states[0] is not None and states[1] is not None
    shapes = [{name: tensor.shape for name, tensor in state[0].items()} for state in states if state]
    assert shapes[0] == shapes[1]
    assert two.summary()["tokens"] == one.summary()["tokens"]


def test_the_streams_that_are_chosen_can_be_shared_by_any_number(folder: Path) -> None:
    size = ("--num-layers", "1", "--hidden-size", "8", "--device", "cpu")
    trained = train(folder, "train", "book.txt", "--steps", "2", *size, "--out", "three", processes=3)
    assert trained.returncode == 0, trained.stderr
    assert load_run(folder / "three").config["options"]["batch_size"] == 6


def test_what_two_began_one_can_finish_and_the_other_way_round(folder: Path) -> None:
    runs = []
    for name, first, second in (("a", 2, 1), ("b", 1, 2)):
        begun = train(folder, *TRAIN, "--out", name, "--steps", "6", processes=first)
        assert begun.returncode == 0, begun.stderr
        finished = train(folder, "train", "--resume", "--out", name, "--steps", "12", processes=second)
        assert finished.returncode == 0, finished.stderr
        run = load_run(folder / name)
        assert run.summary()["steps"] == 12
        runs.append(run)
    assert losses(runs[0]) == pytest.approx(losses(runs[1]), rel=1e-3)
    for name, weight in runs[0].weights().items():
        np.testing.assert_allclose(runs[1].weights()[name], weight, atol=5e-3)


def test_two_processes_train_the_classifier_of_one(folder: Path) -> None:
    rows = [f"{'good' if i % 3 else 'bad'} film number {i},{'pos' if i % 3 else 'neg'}\n" for i in range(50)]
    (folder / "reviews.csv").write_text("text,label\n" + "".join(rows))
    shape = """--task classify --hidden-size 8 --embedding-size 6 --batch-size 7 --dropout 0 --dropout-input 0
        --dropout-embedding 0"""
    arguments = ["train", "reviews.csv", *shape.split(), "--device", "cpu", "--precision", "fp32", "--steps", "13"]
    for name, processes in (("label-one", 1), ("label-two", 2)):
        trained = train(folder, *arguments, "--out", name, processes=processes)
        assert trained.returncode == 0, trained.stderr
        assert trained.stderr.count("next: chargen classify") == 1
    one, two = load_run(folder / "label-one"), load_run(folder / "label-two")
    assert losses(two) == pytest.approx(losses(one), rel=1e-3)
    for name, weight in one.weights().items():
        np.testing.assert_allclose(two.weights()[name], weight, atol=2e-3)
    assert two.summary()["tokens"] == one.summary()["tokens"]


APART = """
import os, runpy, sys
os.chdir(sys.argv.pop(1 + int(os.environ["RANK"])))  # each process in its folder, as on machines that share no disk
del sys.argv[1]
from chargen.training import loop
update, done = loop.update, []
def diverging(task, optimizers, step, *others):
    result = update(task, optimizers, step, *others)
    if step == 7 and not done:  # a loss that is no number, once
        done.append(step)
        return float("nan"), result[1]
    return result
loop.update = diverging
sys.argv[0] = "chargen"
runpy.run_module("chargen", run_name="__main__")
"""


def test_the_run_need_not_be_on_a_disk_that_all_share(folder: Path) -> None:
    """The first process alone needs its folder, also to go back to the last save after a loss that is no number."""
    (folder / "apart.py").write_text(APART)
    for name in ("here", "there"):
        (folder / name).mkdir()
        (folder / name / "book.txt").write_bytes((folder / "book.txt").read_bytes())
    done = run_python(*launcher(2), "apart.py", "here", "there", *TRAIN, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert re.search(r"the loss was nan; going on from step \d at half the learning rate", done.stderr)
    assert load_run(folder / "here" / "run").summary()["steps"] == 12
    assert not (folder / "there" / "run").exists()


def test_what_cannot_be_shared_is_refused_in_one_sentence(folder: Path) -> None:
    for arguments, sentence in (
        (("--batch-size", "3", "--out", "odd"), "3 streams cannot be shared evenly by 2 processes: set --batch-size"),
        (("--out", "photos"), "photos exists and is no run of chargen"),  # which the first process alone looks at
    ):
        (folder / "photos").mkdir(exist_ok=True)
        (folder / "photos" / "cat.jpg").write_bytes(b"cat")
        refused = train(folder, *TRAIN, *arguments, processes=2)
        assert refused.returncode != 0
        assert refused.stderr.count(f"chargen: {sentence}") == 1


def test_a_process_that_fails_alone_says_so(folder: Path) -> None:
    """Another text on the second machine, and none at all."""
    (folder / "apart.py").write_text(APART)
    for name, text in (("first", "the cat sat on the mat.\n"), ("second", "the dog sat on the mat.\n")):
        (folder / name).mkdir()
        (folder / name / "book.txt").write_text(text * 40)
    failed = run_python(*launcher(2), "apart.py", "first", "second", *TRAIN, "--out", "run", cwd=folder)
    assert failed.returncode != 0
    assert "chargen (process 1): the text in book.txt differs from the first process's: give all" in failed.stderr
    assert not (folder / "first" / "run").exists()


def test_each_process_leaves_out_other_units(folder: Path) -> None:
    code = """
import torch
from chargen.training.distributed import join, leave
world = join(torch.device("cpu"))
torch.manual_seed(7)
world.seed(7)
own = torch.rand(4)
both = world.gather(own[None], dim=0)
assert not torch.equal(both[0], both[1])
leave()
"""
    (folder / "masks.py").write_text(code)
    done = run_python(*launcher(2), "masks.py", cwd=folder)
    assert done.returncode == 0, done.stderr


def test_shares_are_all_of_it_once() -> None:
    for total in (4, 7, 64):
        parts = [World(rank, 3).shard(total) for rank in range(3)]
        assert [place for part in parts for place in range(total)[part]] == list(range(total))

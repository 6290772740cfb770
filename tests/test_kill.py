"""Killed at any moment, a save included, and resumed: the end is that of an uninterrupted training."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from builders import write_text
from processes import run_python
from trainings import assert_equal_runs

from chargen.runs.folder import Run, load_run

STEPS = 40
TRAIN = f"""train book.txt --steps {STEPS} --num-layers 2 --hidden-size 12 --embedding-size 6 --batch-size 4
    --sequence-length 8 --dropout 0.2 --weight-drop 0.1 --device cpu --precision fp32""".split()

# Runs chargen, and kills it at the n-th call of a function that saving needs: before the file is flushed to the disk,
# before the new file takes the old one's place, or just after; or when it has computed for so many seconds more, by
# SIGPROF, which is as sudden and whose clock stands still while a busy machine lets the child wait.
KILLER = """
import os, pathlib, signal, sys
from chargen.cli import main
place, moment, later = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
calls = 0
def count():
    global calls
    calls += 1
    if calls == moment and later:
        signal.setitimer(signal.ITIMER_PROF, later)
    elif calls == moment:
        os.kill(os.getpid(), signal.SIGKILL)
if place == "flush":
    flush = os.fsync
    os.fsync = lambda file: (count(), flush(file))
else:
    replace = pathlib.Path.replace
    def replaced(old, new):
        if place == "before": count()
        result = replace(old, new)
        if place == "after": count()
        return result
    pathlib.Path.replace = replaced
main(sys.argv[4:])
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole")
    write_text(folder / "book.txt")
    run_python("-m", "chargen", *TRAIN, cwd=folder, check=True)
    return load_run(folder / "checkpoints" / "book")


def finish(folder: Path) -> Run:
    """Resume, or begin again where nothing was there yet."""
    again = ["train", "book.txt", "--resume"] if (folder / "checkpoints" / "book").exists() else TRAIN
    run_python("-m", "chargen", *again, cwd=folder, check=True)
    return load_run(folder / "checkpoints" / "book")


# A run's first files take seven writes, an evaluation then three: weights, metrics, state.
@pytest.mark.parametrize(
    ("place", "moment"),
    [
        ("flush", 2),
        ("after", 2),
        ("flush", 3),
        ("after", 3),
        ("flush", 5),
        ("before", 6),
        ("after", 7),
        ("flush", 15),
    ],
)
def test_killed_while_saving(whole: Run, tmp_path: Path, place: str, moment: int) -> None:
    write_text(tmp_path / "book.txt")
    killed = run_python("-c", KILLER, place, str(moment), "0", *TRAIN, cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert_equal_runs(whole, finish(tmp_path))


# The new run's three files are renamed into place, then the old run's folder goes and the new one comes.
@pytest.mark.parametrize("moment", [3, 4, 5])
def test_killed_while_overwriting(whole: Run, tmp_path: Path, moment: int) -> None:
    write_text(tmp_path / "book.txt")
    shutil.copytree(whole.path.parent, tmp_path / "checkpoints")
    again = [*TRAIN, "--seed", "1", "--overwrite"]
    killed = run_python("-c", KILLER, "after", str(moment), "0", *again, cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run_python("-m", "chargen", "check", "-m", "book", cwd=tmp_path, check=True)
    found = load_run(tmp_path / "checkpoints" / "book")
    assert found.options["seed"] == (0 if moment < 5 else 1)
    if moment < 5:
        assert_equal_runs(whole, found)
    assert finish(tmp_path).summary()["steps"] == STEPS
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["book"]


@pytest.mark.parametrize("later", [0.02, 0.04, 0.08])
def test_killed_while_training(whole: Run, tmp_path: Path, later: float) -> None:
    write_text(tmp_path / "book.txt")
    killed = run_python("-c", KILLER, "flush", "7", str(later), *TRAIN, cwd=tmp_path)
    assert killed.returncode == -signal.SIGPROF, killed.stderr
    assert_equal_runs(whole, finish(tmp_path))


def test_killed_twice(whole: Run, tmp_path: Path) -> None:
    write_text(tmp_path / "book.txt")
    for moment, arguments in ((9, TRAIN), (6, ["train", "book.txt", "--resume"])):
        killed = run_python("-c", KILLER, "flush", str(moment), "0", *arguments, cwd=tmp_path)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert_equal_runs(whole, finish(tmp_path))

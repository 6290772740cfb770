"""Kill trainings at random moments and go on: each must end as an uninterrupted one, and leave nothing behind.

    python benchmarks/kills.py --kills 200 --seed 0

`chargen train` is killed (SIGKILL, on Windows TerminateProcess) and resumed, once or a few times, then trains to its
end. Half of the kills come at a random moment before the first step, half at one after it. After each, there must be
no run, or one that `chargen check` finds whole; with `--overwrite` it is the old run or the new one. In the end
weights and training state are those of a training that nobody killed, bit for bit, and so are the names of all files,
the hidden and the temporary ones too.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

import click

from chargen.runs.files import load_tensors
from chargen.runs.folder import STATE, load_run

RUN = Path("checkpoints", "run")
BEGUN = " parameters, to "  # in the line that a training prints before its first step
SHAPE = (
    *("--steps", "100", "--num-layers", "2", "--hidden-size", "32", "--embedding-size", "16", "--batch-size", "16"),
    *("--dropout", "0.2", "--weight-drop", "0.1", "--device", "cpu", "--precision", "fp32"),
)
OLD_SEED = 1  # of the run that is overwritten


class Job(NamedTuple):
    """What is trained."""

    arguments: tuple[str, ...]  # inputs and options
    stdin: str = os.devnull  # a file
    replaces: bool = False  # whether it overwrites an older run


JOBS = {
    "text": Job(("book.txt", *SHAPE)),
    "standard input": Job(("-", *SHAPE), stdin="book.txt"),
    "labels": Job(("rows.csv", "--task", "classify", "--no-adapt", *SHAPE)),
    "overwrite": Job(("book.txt", *SHAPE, "--overwrite"), replaces=True),
}


class Whole(NamedTuple):
    """What an uninterrupted training took and left."""

    startup: float  # seconds before the first step
    length: float  # seconds from then on
    lines: int  # that it printed meanwhile
    weights: str  # a digest, of the training state too
    files: list[str]


class FaultError(Exception):
    """What should not come of a kill."""


@click.command()
@click.option("--kills", default=200, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(kills: int, seed: int) -> None:
    """Kill trainings; exit with 1 unless each goes on and ends as if it had not been killed."""
    random, counts = Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="chargen-kills-") as name:
        folder = Path(name).resolve() / "work"  # one for all: a lock is named after the run's path
        begin(folder)
        train(folder, JOBS["text"], (*JOBS["text"].arguments, "--seed", str(OLD_SEED)))
        shutil.copytree(folder / RUN, old := folder.with_name("old"))
        wholes = {name: uninterrupted(folder, job, old) for name, job in JOBS.items()}
        while (left := kills - counts["before"] - counts["after"]) > 0:
            name = random.choice(list(JOBS))
            counts["trainings"] += 1
            begin(folder, old if JOBS[name].replaces else None)
            try:
                arguments = JOBS[name].arguments
                for _ in range(min(left, random.choice((1, 1, 2, 4)))):
                    early = max(0, kills - kills // 2 - counts["before"])
                    late = random.randrange(early + max(0, kills // 2 - counts["after"])) >= early
                    counts[kill(folder, JOBS[name], arguments, wholes[name], random, late=late)] += 1
                    found, arguments = way_on(folder, JOBS[name], old)
                    counts[found] += 1
                train(folder, JOBS[name], arguments)
                compare(folder, wholes[name])
            except FaultError as fault:
                counts["faults"] += 1
                print(f"training {counts['trainings']} ({name}): {fault}", flush=True)
    print(
        f"{counts['trainings']} trainings, {counts['before']} kills before the first step, {counts['after']} after "
        f"it, {counts['ended']} too late; then there was no run {counts['no run']} times, the old run "
        f"{counts['old run']} times, one to resume {counts['new run']} times; {counts['faults']} faults"
    )
    sys.exit(counts["faults"] > 0)


def begin(folder: Path, old: Path | None = None) -> None:
    """Empty the folder, and write the texts and a run that is to be overwritten."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    (folder / "book.txt").write_text("the cat sat on the mat, and the dog ran after the hat.\n" * 200)
    rows = (f"{word} film number {number},{word}" for number in range(80) for word in ("good", "bad"))
    (folder / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    if old:
        shutil.copytree(old, folder / RUN)


def chargen(folder: Path, *arguments: str, stdin: str = os.devnull) -> subprocess.Popen[str]:
    """Start a command that keeps temporary files and caches in the folder too."""
    own = {name: str(folder / "tmp") for name in ("TMPDIR", "TEMP", "TMP")} | {"CHARGEN_DATA": str(folder / "data")}
    command = [sys.executable, "-m", "chargen", *arguments]
    environment = {**os.environ, **own, "PYTHONPATH": str(Path(__file__).parent.parent)}
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with (folder / stdin).open() as given:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdin=given, stdout=nothing, stderr=pipe, encoding="utf-8"
        )


def start(folder: Path, job: Job, arguments: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start a training."""
    return chargen(folder, "train", *arguments, "--out", str(RUN), stdin=job.stdin)


def train(folder: Path, job: Job, arguments: tuple[str, ...]) -> None:
    """Train to the end."""
    complete(start(folder, job, arguments))


def complete(process: subprocess.Popen[str]) -> int:
    """Wait until a command ends, and count the lines it still prints; FaultError unless it ends well."""
    _, said = process.communicate(timeout=600)
    if process.returncode:
        raise FaultError(f"exit code {process.returncode}: {said.strip()[-300:]}")
    return said.count("\n")


def has_begun(process: subprocess.Popen[str]) -> bool:
    """Read what a training prints until its first step; False if it ends before."""
    return any(BEGUN in line for line in process.stderr or ())


def uninterrupted(folder: Path, job: Job, old: Path) -> Whole:
    """Train a job without a kill."""
    begin(folder, old if job.replaces else None)
    before = time.monotonic()
    process = start(folder, job, job.arguments)
    has_begun(process)
    begun = time.monotonic()
    lines = max(1, complete(process))
    return Whole(begun - before, time.monotonic() - begun, lines, digest(folder / RUN), files(folder))


def kill(folder: Path, job: Job, arguments: tuple[str, ...], whole: Whole, random: Random, *, late: bool) -> str:
    """Start a training and kill it, after its first step if `late`; whether that came "before" it or "after" it."""
    process = start(folder, job, arguments)
    begun = late and has_begun(process)
    pause = whole.startup
    if late and process.stderr:  # on a machine that others use, lines tell the moment better than seconds
        for _ in range(random.randrange(whole.lines)):
            process.stderr.readline()
        pause = whole.length / whole.lines
    time.sleep(random.uniform(0, pause))
    if process.poll() is not None:
        complete(process)
        return "ended"
    process.kill()
    begun = has_begun(process) or begun  # it may have been faster than the first one
    process.wait()
    return "after" if begun else "before"


def way_on(folder: Path, job: Job, old: Path) -> tuple[str, tuple[str, ...]]:
    """What a kill left, and the arguments to go on with; FaultError if a run is damaged or the old one is lost."""
    if not (folder / RUN).exists() and not job.replaces:
        return "no run", job.arguments
    complete(chargen(folder, "check", "-m", str(RUN)))
    if job.replaces and load_run(folder / RUN).options["seed"] == OLD_SEED:
        if digest(folder / RUN) != digest(old):
            raise FaultError("the old run is another one")
        return "old run", job.arguments
    return "new run", (job.arguments[0], "--resume")


def digest(run: Path) -> str:
    """A digest of a run's weights and training state."""
    found = hashlib.sha256()
    for file in ("model.safetensors", STATE):
        for name, tensor in sorted(load_tensors(run / file)[0].items()):
            found.update(f"{file} {name} {tensor.dtype} {tensor.shape}".encode() + tensor.tobytes())
    return found.hexdigest()


def files(folder: Path) -> list[str]:
    """The names of all files and folders."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def compare(folder: Path, whole: Whole) -> None:
    """Raise a FaultError unless a training ended as an uninterrupted one."""
    if digest(folder / RUN) != whole.weights:
        raise FaultError("weights or training state are not those of an uninterrupted training")
    if differing := {*files(folder)} ^ {*whole.files}:
        raise FaultError(f"too many or too few files: {', '.join(sorted(differing))}")


if __name__ == "__main__":
    main()

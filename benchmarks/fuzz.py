"""Damage run folders, resume states, tokenizers, tables and archives at random: only ChargenError may come of it.

    python benchmarks/fuzz.py [TARGET]... --mutations 20000 --seed 0
    python benchmarks/fuzz.py run --first 17 --mutations 1    # number 17 again

Each mutation has 5 seconds and 500 MB above what its process began with. Mutations run in children that are forked
from a warm parent, so a crash ends a child and is counted. Fork, pipes and limits are POSIX's: this does not run on
Windows, and only Linux limits memory.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

for variable in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # before they are imported; threads do not live on in a child

import click
import torch
from fuzz_targets import Target, make_targets, write_files

from chargen.errors import ChargenError

SECONDS = 5.0
BYTES = 500 << 20
LARGEST_FILE = 64 << 20  # that a mutation may write
PER_CHILD = 50  # mutations
NAMES = ("run", "resume", "tokenizer", "table", "archive")


class Failure(NamedTuple):
    """A mutation that led to anything but success or ChargenError."""

    number: int
    kind: str  # an exception's type, a signal, "time"
    place: str  # in chargen, where it was raised
    message: str


@click.command()
@click.argument("targets", nargs=-1, type=click.Choice(NAMES))
@click.option("--mutations", default=20_000, show_default=True, help="How many of each target.")
@click.option("--seed", default=0, show_default=True)
@click.option("--first", default=0, show_default=True, help="Number of the first mutation.")
def main(targets: tuple[str, ...], mutations: int, seed: int, first: int) -> None:
    """Fuzz what chargen reads; exit with 1 if anything but ChargenError came of it."""
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    _one_arena()
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        os.environ["CHARGEN_DATA"] = "data"  # in each mutation's own folder
        (folder / "seeds").mkdir()
        made = make_targets(folder / "seeds")
        for target in targets or NAMES:
            began = time.monotonic()
            outcomes, failures = fuzz(target, made[target], folder, range(first, first + mutations), seed)
            failed |= bool(failures)
            print(
                f"{target}: {mutations:,} mutations in {time.monotonic() - began:.0f} s: "
                f"{outcomes['success']:,} read, {outcomes['refused']:,} refused, {len(failures):,} failures",
                flush=True,
            )
            for (kind, place), count in Counter((found.kind, found.place) for found in failures).most_common():
                example = next(found for found in failures if (found.kind, found.place) == (kind, place))
                print(f"  {count:>6} {kind} at {place}, first in number {example.number}: {example.message}")
    sys.exit(failed)


def fuzz(name: str, target: Target, folder: Path, numbers: range, seed: int) -> tuple[Counter[str], list[Failure]]:
    """Try mutations; each failure is printed.

    Args:
        name: Of the target.
        target: What to damage.
        folder: For files.
        numbers: Of the mutations.
        seed: Of all of them.

    Returns:
        How often each outcome came of one, and the failures.
    """
    outcomes: Counter[str] = Counter()
    failures: list[Failure] = []
    at = numbers.start
    while at < numbers.stop:
        batch = range(at, min(at + PER_CHILD, numbers.stop))
        found, crash = _in_child(name, target, folder, batch, seed)
        at += len(found)
        if crash:
            found_alone, crash = _in_child(name, target, folder, range(at, at + 1), seed)
            found += [crash] if crash else found_alone
            at += 1
        for outcome in found:
            outcomes[outcome if isinstance(outcome, str) else "failed"] += 1
            if isinstance(outcome, Failure):
                failures.append(outcome)
                print(f"{name} --seed {seed} --first {outcome.number}: {outcome.kind}: {outcome.message}", flush=True)
    return outcomes, failures


def _in_child(
    name: str, target: Target, folder: Path, numbers: range, seed: int
) -> tuple[list[str | Failure], Failure | None]:
    """Try mutations in a child: the outcomes until one ended it, and how that one did."""
    log = folder / "log"
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        status = 1
        try:
            _work(name, target, folder, numbers, seed, write)
            status = 0
        except BaseException:  # a fault of the fuzzer's own
            log.write_text(traceback.format_exc())
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        lines = pipe.read().splitlines()
    _, status = os.waitpid(child, 0)
    outcomes = [_outcome(line) for line in lines]
    if status == 0:
        return outcomes, None
    trace = log.read_text(errors="replace") if log.exists() else ""
    ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "exit"
    kind = "time" if "Timeout" in trace else ended
    frames = re.findall(r'File "([^"]*/chargen/[^"]*)", line (\d+)', trace)
    place = f"{_short(frames[0][0])}:{frames[0][1]}" if frames else "?"
    return outcomes, Failure(
        numbers.start + len(outcomes),
        kind,
        place,
        " ".join(trace.split("\n")[-2 if ended == "exit" and kind == ended else 0].split()),
    )


def _outcome(line: str) -> str | Failure:
    outcome, *rest = line.split("\t")
    return Failure(int(rest[0]), rest[1], rest[2], rest[3]) if rest else outcome


def _work(name: str, target: Target, folder: Path, numbers: range, seed: int, pipe: int) -> None:
    """Try mutations one after another, and write a line on each."""
    for stream in (0, 2):  # libraries in Rust tell of each panic
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    os.fsync = lambda fd: None
    with (folder / "log").open("w") as log:
        faulthandler.enable(log)
        for number in numbers:
            random = Random(f"{name} {seed} {number}")
            place = folder / "work" / "place"
            shutil.rmtree(place.parent, ignore_errors=True)
            place.mkdir(parents=True)
            os.chdir(place)
            write_files(random.choice(target.seeds))
            target.damage(random)
            _limit(LARGEST_FILE, _size() + BYTES)
            faulthandler.dump_traceback_later(SECONDS, exit=True, file=log)
            os.write(pipe, (_tried(target, random, number) + "\n").encode(errors="replace"))
            faulthandler.cancel_dump_traceback_later()
            _limit(resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def _tried(target: Target, random: Random, number: int) -> str:
    """The outcome of one mutation; of a failure also its number, the exception's type, place and last line."""
    try:
        target.read(random)
    except ChargenError:
        return "refused"
    except BaseException as error:  # a panic in Rust is no Exception
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/chargen/" in frame.filename]
        place = f"{_short(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"
        last = " ".join(traceback.format_exception_only(error)[-1].split())[:200]
        return "\t".join(("failure", str(number), type(error).__name__, place, last))
    return "success"


def _limit(file_size: int, memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, resource.RLIM_INFINITY))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory, resource.RLIM_INFINITY))


def _size() -> int:
    """Bytes of address space that this process has."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _one_arena() -> None:
    """Keep glibc from reserving 64 MB of address space for each thread, which would count as memory."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(-8, 1)


def _short(path: str) -> str:
    return "chargen/" + path.rpartition("/chargen/")[2]


if __name__ == "__main__":
    main()

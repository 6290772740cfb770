"""What evaluations and saves cost of a training's time.

    CHARGEN_BENCH_DATA=… python benchmarks/overhead.py --minutes 1

Time that is not spent in steps: a step that follows an evaluation or a save waits for it, so whatever such a step
takes longer than the median step is counted, and the evaluations themselves, with the last one, after the budget.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

import click

from chargen.training.events import Done, Evaluated, Step
from chargen.training.options import LanguageModelOptions
from chargen.training.start import start


@click.command()
@click.option("--minutes", default=1.0, show_default=True)
def main(minutes: float) -> None:
    text = Path(os.environ.get("CHARGEN_BENCH_DATA", "data"), "tinyshakespeare.txt")
    steps: list[float] = []  # seconds each
    saves: list[float] = []  # of the steps that waited for one
    evaluations: list[float] = []
    after_evaluation = False
    with tempfile.TemporaryDirectory(prefix="chargen-overhead-") as folder:
        before = time.perf_counter()
        for event in start(LanguageModelOptions(inputs=(str(text),), minutes=minutes), Path(folder, "run")):
            now = time.perf_counter()
            if isinstance(event, Step):
                (saves if after_evaluation else steps).append(now - before)
                after_evaluation = False
            elif isinstance(event, Evaluated):
                evaluations.append(now - before)
                after_evaluation = True
            elif isinstance(event, Done):
                last = now - before
            before = now
    median = statistics.median(steps)
    saving = sum(max(0.0, seconds - median) for seconds in saves)
    total = sum(steps) + sum(saves) + sum(evaluations) + last
    print(f"{len(steps) + len(saves):,} steps in {total:.0f} s, the median {1000 * median:.0f} ms")
    print(f"{len(evaluations)} evaluations  {sum(evaluations) / total:.1%} of the time")
    print(f"the last one    {last / total:.1%} of the time")
    print(f"saves           {saving / total:.1%} of the time")


if __name__ == "__main__":
    main()

"""How fast labels come, beside scikit-learn's and fastText's on the same texts, and how much memory that takes.

    CHARGEN_BENCH_DATA=… python benchmarks/classify_speed.py                # 100,000 surnames, then sentences
    CHARGEN_BENCH_DATA=… python benchmarks/classify_speed.py --texts 20000

Classifiers are trained on `names/` and `sst2/` for a few steps: how many does not matter here. `chargen classify`
runs as a program of its own, its start included; the others label a list in memory, their start left out.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from classify_quality import baseline_pipeline, fasttext_model, write
from conditions import apply_isa, conditions, neighbours, processor
from labelled_sets import names, sst2

from chargen.training.options import ClassifierOptions
from chargen.training.start import start


@click.command()
@click.option("--texts", default=100_000, show_default=True)
@conditions
def main(texts: int, isa: str | None, busy: int) -> None:
    """Label so many short texts."""
    apply_isa(isa)
    click.echo(f"{processor()}, {isa or 'all'} instructions, {busy} busy neighbours")
    for name, read in (("surnames", names), ("sentences of SST-2", sst2)):
        split = read(0)
        many = list(itertools.islice(itertools.cycle(split.test.texts), texts))
        with tempfile.TemporaryDirectory() as folder, neighbours(busy):
            run, table = Path(folder) / "run", Path(folder) / "many.csv"
            inputs = (write(Path(folder) / "train.csv", split.train),)
            list(start(ClassifierOptions(inputs=inputs, steps=20), run))
            write(table, type(split.test)(many, [""] * texts))
            command = [sys.executable, "-m", "chargen", "classify", "-m", str(run)]
            began = time.perf_counter()
            subprocess.run([*command, many[0]], check=True, capture_output=True)
            first = time.perf_counter() - began
            began = time.perf_counter()
            labelling = subprocess.Popen([*command, "--file", str(table)], stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(labelling.pid, 0)
            rates = {"chargen classify --file": texts / (time.perf_counter() - began)}
            labelling.returncode = os.waitstatus_to_exitcode(status)
            if labelling.returncode:
                raise click.ClickException(f"labelling ended with exit code {labelling.returncode}")
            memory = usage.ru_maxrss / 1024
            pipeline = baseline_pipeline().fit(split.train.texts, split.train.labels)
            began = time.perf_counter()
            pipeline.predict(many)
            rates["scikit-learn"] = texts / (time.perf_counter() - began)
            model = fasttext_model(split)
            began = time.perf_counter()
            model.predict([" ".join(text.split()) for text in many])
            rates["fastText"] = texts / (time.perf_counter() - began)
        shown = ", ".join(f"{who} {rate:,.0f}" for who, rate in rates.items())
        click.echo(f"{texts:,} {name}, texts/s: {shown}; first label {first:.2f} s, at most {memory:,.0f} MB")


if __name__ == "__main__":
    main()

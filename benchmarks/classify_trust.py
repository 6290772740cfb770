"""Whether a classifier knows what it does not know: surnames, each time split anew.

    CHARGEN_BENCH_DATA=… python benchmarks/classify_trust.py --splits 5

For each split: the share of surnames that `--target-accuracy 0.95` answers, and how many of those labels are right;
how well the share of known n-grams tells surnames from sentences of SST-2 (AUROC), and how many of these are flagged.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import click
import numpy as np
from classify_quality import write
from conditions import apply_isa, conditions, neighbours, processor
from labelled_sets import data, sst2
from sklearn.metrics import roc_auc_score

from chargen.classification.labeller import Labeller, threshold_of
from chargen.evaluation.calibration import softmax
from chargen.text.labelled import read_labelled
from chargen.training.events import outcome
from chargen.training.options import ClassifierOptions
from chargen.training.start import start

TARGET = 0.95


@click.command()
@click.option("--splits", default=5, show_default=True)
@click.option("--minutes", default=0.6, show_default=True)
@conditions
def main(splits: int, minutes: float, isa: str | None, busy: int) -> None:
    """Train on four fifths of the surnames and judge the last."""
    apply_isa(isa)
    click.echo(f"{processor()}, {isa or 'all'} instructions, {busy} busy neighbours, {minutes:g} minutes")
    everything, foreign = read_labelled([str(data("names"))]), sst2(0).test.texts
    for split in range(splits):
        order = list(range(len(everything.texts)))
        random.Random(split + 10).shuffle(order)
        end = int(0.8 * len(order))
        train, test = everything.select(order[:end]), everything.select(order[end:])
        with tempfile.TemporaryDirectory() as folder, neighbours(busy):
            asked = ClassifierOptions(inputs=(write(Path(folder) / "train.csv", train),), minutes=minutes, seed=split)
            run = outcome(start(asked, Path(folder) / "run")).run
            labeller, threshold = Labeller(run), threshold_of(run, TARGET)[0]
        probs = softmax(labeller.combined(own := labeller.read(test.texts)))
        assert labeller.ngrams and own.familiar is not None
        right = np.array(labeller.labels)[probs.argmax(-1)] == np.array(test.labels)
        answered = (probs.max(-1) >= threshold) & own.familiar
        familiarity = [labeller.ngrams.judge(texts)[1] for texts in (test.texts, foreign)]
        own_kind = np.repeat([1, 0], [len(test.texts), len(foreign)])
        flagged = (familiarity[1] < labeller.ngrams.strange).mean()
        click.echo(
            f"split {split}: accuracy {right.mean():.4f}; from {threshold:.3f} on {answered.mean():.3f} answered, "
            f"{right[answered].mean():.4f} right; AUROC {roc_auc_score(own_kind, np.concatenate(familiarity)):.4f}, "
            f"{flagged:.3f} of the sentences flagged"
        )


if __name__ == "__main__":
    main()

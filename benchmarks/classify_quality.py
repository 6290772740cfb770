"""How good a classifier is by default, beside what people would take instead, on the same texts.

    CHARGEN_BENCH_DATA=… python benchmarks/classify_quality.py                    # all sets, three minutes each
    CHARGEN_BENCH_DATA=… python benchmarks/classify_quality.py sst2 names --seeds 3
    CHARGEN_BENCH_DATA=… python benchmarks/classify_quality.py sst2 --isa avx2 --busy 1
    CHARGEN_BENCH_DATA=… python benchmarks/classify_quality.py sst2 --option pooling=mean   # of training

For each seed, accuracies on texts that no training saw: of TF-IDF (words 1-2, characters 2-5 within words) with
logistic regression (C = 10), fitted to all training texts; of the n-grams, of the network and of the whole, as
`chargen train --task classify` makes them from the same texts, part of which it holds out unless the set has a part
for that. Then the whole's 95 % interval, its macro-F1 beside the baseline's, and how far it is ahead of the baseline,
with the 95 % interval of a paired bootstrap. Where there are many labels, the baseline is fastText (dim 16, minn 2,
maxn 4, 25 epochs), if it is installed (`pip install fasttext-numpy2-wheel`).

The folder that CHARGEN_BENCH_DATA names holds `sst2/`, `names/`, `langid/` and `ptb/`; the other sets are made from
this Python. The last two, `debian` (from `apt-cache`) and `file-types`, were added when the recipe was fixed. With
`langid`, single words that no text to train on has are measured too, from the spelling dictionaries that are
installed (Debian's packages hunspell-*).
"""

from __future__ import annotations

import ast
import csv
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import numpy as np
from conditions import apply_isa, conditions, neighbours, processor
from labelled_sets import SETS, Split

from chargen.classification.labeller import Labeller
from chargen.evaluation.calibration import calibration_error, error_by_chance, softmax, wilson_interval
from chargen.text.labelled import LabelledSet
from chargen.training.events import outcome
from chargen.training.options import ClassifierOptions
from chargen.training.start import start

DRAWS = 2000  # of the bootstrap
MANY_LABELS = 40


def baseline(split: Split) -> tuple[str, Callable[[Sequence[str]], np.ndarray]]:
    """What people would take instead, fitted to the texts to train on: texts to their labels."""
    if len(split.train.label_names) >= MANY_LABELS:
        return "fastText", _fasttext(split)
    return "TF-IDF", baseline_pipeline().fit(split.train.texts, split.train.labels).predict


def baseline_pipeline() -> Any:
    """TF-IDF of words and characters with logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    return make_pipeline(features, LogisticRegression(C=10, max_iter=1000))


def _fasttext(split: Split) -> Callable[[Sequence[str]], np.ndarray]:
    model = fasttext_model(split)

    def predict(texts: Sequence[str]) -> np.ndarray:
        found = model.predict([" ".join(text.split()) for text in texts])[0]
        return np.array([labels[0].removeprefix("__label__") if labels else "" for labels in found])

    return predict


def fasttext_model(split: Split) -> Any:
    """FastText's classifier of the texts to train on."""
    import fasttext

    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        rows = [
            f"__label__{label} {' '.join(text.split())}\n"
            for text, label in zip(split.train.texts, split.train.labels, strict=True)
        ]
        random.Random(0).shuffle(rows)  # it learns from texts in their order
        file.writelines(rows)
        file.flush()
        return fasttext.train_supervised(
            file.name, dim=16, minn=2, maxn=4, epoch=25, loss="softmax", thread=os.cpu_count(), verbose=0
        )


def write(path: Path, examples: LabelledSet) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(examples.texts, examples.labels, strict=True)])
    return str(path)


def ours(split: Split, seed: int, minutes: float, options: dict[str, Any]) -> Labeller:
    """The classifier that training makes."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = (write(Path(folder) / "train.csv", split.train),)
        val = (write(Path(folder) / "val.csv", split.validation),) if split.validation else ()
        asked = ClassifierOptions(inputs=inputs, val=val, minutes=minutes, seed=seed, **options)
        run = outcome(start(asked, Path(folder) / "run")).run
        return Labeller(run)


def parts_of(labeller: Labeller, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Logits of n-grams, network and whole."""
    sources = labeller.read(texts)
    ngrams = np.zeros_like(sources.network) if sources.ngrams is None else sources.ngrams
    return {"n-grams": ngrams, "network": sources.network, "whole": labeller.combined(sources)}


def compared(members: Sequence[Labeller], other: str, taken: np.ndarray, test: LabelledSet) -> str:
    """How classifiers, their logits averaged, do beside the labels that another one has `taken`, in a line."""
    from sklearn.metrics import f1_score

    each = [parts_of(labeller, test.texts) for labeller in members]
    logits = {part: np.mean([own[part] for own in each], axis=0) for part in each[0]}
    labels, truth = np.array(members[0].labels), np.array(test.labels)
    chosen = {part: labels[values.argmax(-1)] for part, values in logits.items()}
    hits, rival = chosen["whole"] == truth, taken == truth
    low, high = bootstrap(hits.astype(float) - rival)
    sure = wilson_interval(int(hits.sum()), len(hits))
    probs = softmax(logits["whole"]).max(-1)
    accuracies = ", ".join(f"{part} {(own == truth).mean():.4f}" for part, own in chosen.items())
    f1 = [f1_score(truth, own, average="macro") for own in (taken, chosen["whole"])]
    return (
        f"{other} {rival.mean():.4f}, {accuracies} ({sure[0]:.4f} to {sure[1]:.4f}), ahead "
        f"{hits.mean() - rival.mean():+.4f} ({low:+.4f} to {high:+.4f}), macro-F1 {f1[0]:.4f} and {f1[1]:.4f}, "
        f"calibration error {calibration_error(probs, hits):.3f} (chance {error_by_chance(probs):.3f})"
    )


def bootstrap(ahead: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of differences (N,), by drawing texts with replacement."""
    generator = np.random.default_rng(0)
    means = [ahead[generator.integers(len(ahead), size=len(ahead))].mean() for _ in range(DRAWS)]
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


@click.command()
@click.argument("sets", nargs=-1, type=click.Choice(list(SETS)))
@click.option("--minutes", default=3.0, show_default=True)
@click.option("--seeds", default=1, show_default=True)
@click.option("--members", default=1, show_default=True, help="Classifiers to average; they share the minutes.")
@click.option("--option", "typed", multiple=True, metavar="NAME=VALUE", help="Of training, in place of the default.")
@conditions
def main(
    sets: tuple[str, ...],
    minutes: float,
    seeds: int,
    members: int,
    typed: tuple[str, ...],
    isa: str | None,
    busy: int,
) -> None:
    """Measure default classifiers on SETS, by default all."""
    apply_isa(isa)
    options: dict[str, Any] = {}
    for pair in typed:
        name, _, value = pair.partition("=")
        with suppress(ValueError, SyntaxError):  # what is no Python literal is text
            options[name] = ast.literal_eval(value)
        options.setdefault(name, value)
    click.echo(
        f"{processor()}, {isa or 'all'} instructions, {busy} busy neighbours, {minutes:g} minutes, "
        f"{members} members, {options}"
    )
    with neighbours(busy):
        for name in sets or SETS:
            for seed in range(seeds):
                split = SETS[name](seed)
                began = time.perf_counter()
                other, predict = baseline(split)
                between = time.perf_counter()
                own = [
                    ours(split, seed + 100 * member, minutes / members, dict(options)) for member in range(members)
                ]
                took = time.perf_counter() - between
                click.echo(f"{name} seed {seed}: {other} fitted in {between - began:.0f} s, ours in {took:.0f} s")
                for part, test in {"test": split.test, **split.others}.items():
                    if test.texts:
                        click.echo(f"  {part}: {compared(own, other, predict(test.texts), test)}")
                sys.stdout.flush()


if __name__ == "__main__":
    main()

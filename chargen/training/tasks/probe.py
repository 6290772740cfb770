"""A probe: a sparse logistic regression on what a trained encoder, left as it is, makes of labelled texts.

Radford et al. 2017, arXiv:1704.01444, found a unit of a language model that knows the sentiment of a review this way.
Shapes: N texts, F pooled outputs (units), K labels.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from chargen.errors import ChargenError
from chargen.models.classifier import embeddings
from chargen.models.config import ClassifierConfig
from chargen.runs.folder import Run
from chargen.training.distributed import ALONE
from chargen.training.events import Done, Evaluated, Event, Note, Started
from chargen.training.loop import finish
from chargen.training.progress import Progress
from chargen.training.tasks.classifier import Classification

STRENGTHS = 2.0 ** np.arange(1, 11)  # inverse L1 penalties, times the largest under which no unit has a weight
MOST_NUMBERS = 1 << 27  # pooled outputs of all texts together, half a gigabyte
MOST_PRODUCTS = 1 << 30  # of a fit, unless that is too few passes; about ten seconds
PASSES = 5, 100  # over the texts for a fit, at least and at most
LEAST_SPREAD = 1e-2  # a unit that moves less is scaled as if it moved so much: float32 has few digits of its changes
ROUNDING = 1e-4  # of standardised outputs: what differs by less is the same
SHOWN, RECORDED = 3, 20  # strongest units


@dataclass(frozen=True, eq=False)
class Head:
    """A classifier's head, and its weights before the scaling was folded into them."""

    weight: np.ndarray  # (K, F), of outputs as the encoder gives them
    bias: np.ndarray  # (K,)
    scaled: np.ndarray  # (K, F), of standardised outputs, so that units compare
    strength: float = 1.0  # inverse weight of the L1 penalty, scikit-learn's C

    @classmethod
    def of(cls, regression: Any, mean: np.ndarray, spread: np.ndarray) -> Head:
        """The head that gives outputs the logits of a scikit-learn regression on (outputs - mean) / spread.

        mean, spread: (F,). Scikit-learn has one row of weights for two labels, the difference of those here.
        """
        scaled, bias = regression.coef_.astype(np.float64), regression.intercept_.astype(np.float64)
        if len(scaled) == 1:
            scaled, bias = np.array([[-0.5], [0.5]]) * scaled, np.array([-0.5, 0.5]) * bias
        weight = (scaled / spread).astype(np.float32)
        bias = bias - weight.astype(np.float64) @ mean
        return cls(weight, bias.astype(np.float32), scaled, float(regression.C))

    @property
    def units(self) -> np.ndarray:
        """The units that have a weight, the strongest first."""
        sizes = np.abs(self.scaled).max(axis=0)
        return np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]


@dataclass(frozen=True, eq=False)
class Fits:
    """Heads of rising strength, each measured on the texts held out."""

    heads: list[Head]
    records: list[dict[str, Any]]  # of the network alone, as metrics.jsonl has them
    best: int  # the head of the highest merit
    progress: Progress
    read: int  # texts to learn from that were read


def fit_probe(task: Classification, *, balance: bool = False, seed: int = 0) -> Fits:
    """Fit the head of the task's model under several L1 penalties; the best one is left in the model.

    Best is judged without the n-grams, which may leave the network nothing to say. Every text is read once. Memory
    is bounded: of a very large set so many texts are read, drawn at random but one of each label for sure, as have
    MOST_NUMBERS outputs. ChargenError when all have the same outputs.
    """
    began = time.monotonic()
    chosen = _drawn(task.train.labels, MOST_NUMBERS // task.model.config.pooled_size, seed)
    texts, truth = [task.train.texts[i] for i in chosen], task.train.labels[chosen]
    outputs = embeddings(task.model, texts, workers=task.workers)
    task.pooled = embeddings(task.model, task.validation.texts, workers=task.workers)
    alone = replace(task, ngram_logits=None)
    heads: list[Head] = []
    records: list[dict[str, Any]] = []
    tokens = int(task.train.lengths[chosen].sum())
    for head in regression_path(outputs, truth, balance=balance, seed=seed):
        _give(task, head)
        record = {"step": len(heads) + 1, "tokens": tokens, "seconds": round(time.monotonic() - began, 3)}
        heads.append(head)
        records.append(record | {"strength": head.strength, "units": len(head.units)} | alone.evaluate(0))
    best = max(range(len(heads)), key=lambda number: task.merit(records[number]))
    _give(task, heads[best])
    return Fits(heads, records, best, Progress(len(heads), time.monotonic() - began, tokens), len(chosen))


def store_probe(task: Classification, fits: Fits, run: Run) -> Iterator[Event]:
    """Write the best of the fits to its run, and say how many units it needs."""
    yield Started(run, sum(weight.numel() for weight in task.model.parameters()), 0)
    if fits.read < len(task.train.texts):
        yield Note(f"learning from {fits.read:,} of the texts, drawn at random, which bounds the memory")
    run.save_metrics(fits.records)
    run.save_weights(task.weights())
    best = -math.inf
    for record in fits.records:
        yield Evaluated(run, record, task.merit(record) > best)
        best = max(best, task.merit(record))
    head, labels = fits.heads[fits.best], task.labels
    yield Note(units_note(head, task.model.config, labels))
    done = finish(task, run, fits.progress, "fitted", ALONE)
    strongest = [_described(head, unit, task.model.config, labels) for unit in head.units[:RECORDED].tolist()]
    found = {"strength": head.strength, "units": len(head.units), "outputs": head.weight.shape[1]}
    summary = done.summary | {"probe": {**found, "strongest": strongest}}
    run.save_summary(summary)
    yield Done(run, summary)


def regression_path(
    outputs: np.ndarray, truth: np.ndarray, *, balance: bool = False, seed: int = 0
) -> Iterator[Head]:
    """Logistic regressions on outputs (N, F) of texts with labels (N,), each with a weaker L1 penalty than the last.

    The outputs are standardised in place. balance: all labels weigh the same. ChargenError when they tell no
    text from another.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import l1_min_c

    mean, spread = standardise(outputs)
    if np.ptp(outputs) < ROUNDING:
        raise ChargenError("the encoder has the same outputs for all texts: start from another run, or read more")
    labels = len(np.unique(truth))
    products = outputs.size * (labels if labels > 2 else 1)
    # The penalty has another name in scikit-learn before 1.8.
    is_old = LogisticRegression().get_params().get("penalty") == "l2"
    penalty: dict[str, Any] = {"penalty": "l1"} if is_old else {"l1_ratio": 1.0}
    regression = LogisticRegression(
        **penalty,
        solver="saga",
        tol=1e-3,
        max_iter=int(np.clip(MOST_PRODUCTS // products, *PASSES)),
        class_weight="balanced" if balance else None,
        random_state=seed,
        warm_start=True,  # each begins with the last one's weights
    )
    for strength in l1_min_c(outputs, truth, loss="log", fit_intercept=False) * STRENGTHS:
        regression.C = float(strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the texts held out judge it all the same
            regression.fit(outputs, truth)
        yield Head.of(regression, mean, spread)


def standardise(outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each unit of outputs (N, F) mean 0 and variance 1, in place; returns the mean and the standard deviation.

    Both (F,), float64. A unit that hardly moves is divided by LEAST_SPREAD and so stays small.
    """
    mean = outputs.mean(axis=0, dtype=np.float64)
    outputs -= mean.astype(outputs.dtype)
    spread = np.sqrt(np.einsum("nf,nf->f", outputs, outputs, dtype=np.float64) / len(outputs))
    spread = np.maximum(spread, LEAST_SPREAD)
    outputs /= spread.astype(outputs.dtype)
    return mean, spread


def units_note(head: Head, config: ClassifierConfig, labels: Sequence[str]) -> str:
    """A sentence on the units that carry the decision."""
    described = [_described(head, unit, config, labels) for unit in head.units[:SHOWN].tolist()]
    strongest = ", ".join(
        f"output {unit['output']} ({unit['pooling']}) {'for' if unit['weight'] > 0 else 'against'} {unit['label']!r}"
        for unit in described
    )
    count = f"{len(head.units):,} of {head.weight.shape[1]:,} pooled outputs carry the decision"
    return f"{count}; the strongest: {strongest}" if strongest else count


def _described(head: Head, unit: int, config: ClassifierConfig, labels: Sequence[str]) -> dict[str, Any]:
    """Which of the encoder's outputs a unit is, and the label for which it has the largest weight."""
    pooling, output = config.pooling, unit
    if pooling == "concat":
        part, output = divmod(unit, config.encoder.output_size)
        pooling = ("final", "mean", "max")[part]
    own = head.scaled[:, unit]
    label = int(own.argmax() if own.max() >= -own.min() else own.argmin())
    return {"output": output, "pooling": pooling, "label": labels[label], "weight": round(float(own[label]), 6)}


@torch.no_grad()
def _give(task: Classification, head: Head) -> None:
    """Make it the head of the task's model."""
    task.model.head.weight.copy_(torch.from_numpy(head.weight))
    task.model.head.bias.copy_(torch.from_numpy(head.bias))


def _drawn(labels: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Indices of about `most` examples, drawn at random, in their order; all when they are no more than that."""
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    _, firsts = np.unique(labels[order], return_index=True)
    return np.union1d(order[:most], order[firsts])

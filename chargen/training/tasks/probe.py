"""A probe: sparse logistic regression on the outputs of a trained encoder that does not change.

Radford et al. 2017, arXiv:1704.01444, found a unit of a language model that tells a review's sentiment this way.
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
from chargen.models.units import pooled_unit
from chargen.runs.folder import Run
from chargen.training.distributed import ALONE
from chargen.training.events import Done, Evaluated, Event, Note, Started
from chargen.training.loop import finish
from chargen.training.progress import Progress
from chargen.training.tasks.classifier import Classification

STRENGTHS = 2.0 ** np.arange(1, 11)  # inverse L1 penalties to try, relative to that at which all weights become 0
MAX_OUTPUTS = 1 << 27  # pooled outputs of all texts together: half a gigabyte
MAX_PRODUCTS = 1 << 30  # multiplications of a fit, within the limits of PASSES: about ten seconds
PASSES = 5, 100  # fewest and most passes over the texts in a fit
MIN_SPREAD = 1e-2  # standard deviation assumed for a unit that varies less, since float32 resolves it poorly
ROUNDING = 1e-4  # difference of standardised outputs up to which they count as equal
SHOWN, RECORDED = 3, 20  # how many of the strongest units the note names, and summary.json


@dataclass(frozen=True, eq=False)
class Head:
    """The head of a classifier, and its weights before standardisation was folded into them."""

    weight: np.ndarray  # (K, F), for outputs as the encoder gives them
    bias: np.ndarray  # (K,)
    scaled: np.ndarray  # (K, F), for standardised outputs, so that units are comparable
    strength: float = 1.0  # inverse weight of the L1 penalty, scikit-learn's C

    @classmethod
    def of(cls, regression: Any, mean: np.ndarray, spread: np.ndarray) -> Head:
        """Make the head that equals a regression on standardised outputs.

        Args:
            regression: A LogisticRegression of scikit-learn, fitted to (outputs - mean) / spread. For two labels, its
                one row of weights is the difference of the two rows here.
            mean: (F,).
            spread: Standard deviations (F,).
        """
        scaled, bias = regression.coef_.astype(np.float64), regression.intercept_.astype(np.float64)
        if len(scaled) == 1:
            scaled, bias = np.array([[-0.5], [0.5]]) * scaled, np.array([-0.5, 0.5]) * bias
        weight = (scaled / spread).astype(np.float32)
        bias = bias - weight.astype(np.float64) @ mean
        return cls(weight, bias.astype(np.float32), scaled, float(regression.C))

    @property
    def units(self) -> np.ndarray:
        """Indices of the units with a nonzero weight, strongest first."""
        sizes = np.abs(self.scaled).max(axis=0)
        return np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]


@dataclass(frozen=True, eq=False)
class Fits:
    """Heads with ever weaker penalties, each evaluated on the held-out texts."""

    heads: list[Head]
    records: list[dict[str, Any]]  # figures of the network alone, as in metrics.jsonl
    best: int  # index of the head with the highest score
    progress: Progress
    texts_read: int  # of the training texts


def fit_probe(task: Classification, *, balance: bool = False, seed: int = 0) -> Fits:
    """Fit the head under several L1 penalties and leave the best one in the task's model.

    The best is judged without the n-grams, which may leave the network nothing to add. To bound memory, a large set
    is reduced to a random sample with at least one text of each label and about MAX_OUTPUTS outputs in all.

    Args:
        task: The model and its data; gets the pooled outputs of its validation texts.
        balance: All labels weigh the same.
        seed: Of the sample and the regression.

    Raises:
        ChargenError: All texts have the same outputs.
    """
    began = time.monotonic()
    chosen = _sample(task.train.labels, MAX_OUTPUTS // task.model.config.pooled_size, seed)
    texts, truth = [task.train.texts[i] for i in chosen], task.train.labels[chosen]
    outputs = embeddings(task.model, texts, workers=task.workers)
    task.pooled = embeddings(task.model, task.validation.texts, workers=task.workers)
    alone = replace(task, ngram_logits=None)
    heads: list[Head] = []
    records: list[dict[str, Any]] = []
    tokens = int(task.train.lengths[chosen].sum())
    for head in regression_path(outputs, truth, balance=balance, seed=seed):
        _set_head(task, head)
        record = {"step": len(heads) + 1, "tokens": tokens, "seconds": round(time.monotonic() - began, 3)}
        heads.append(head)
        records.append(record | {"strength": head.strength, "units": len(head.units)} | alone.evaluate(0))
    best = max(range(len(heads)), key=lambda number: task.score(records[number]))
    _set_head(task, heads[best])
    return Fits(heads, records, best, Progress(len(heads), time.monotonic() - began, tokens), len(chosen))


def store_probe(task: Classification, fits: Fits, run: Run) -> Iterator[Event]:
    """Write the figures of all fits and the weights of the best one to the run, reporting as a training does."""
    yield Started(run, sum(weight.numel() for weight in task.model.parameters()), 0)
    if fits.texts_read < len(task.train.texts):
        yield Note(f"learning from {fits.texts_read:,} of the texts, drawn at random, which bounds the memory")
    run.save_metrics(fits.records)
    run.save_weights(task.weights())
    best = -math.inf
    for record in fits.records:
        yield Evaluated(run, record, task.score(record) > best)
        best = max(best, task.score(record))
    head, labels = fits.heads[fits.best], task.labels
    yield Note(units_note(head, task.model.config, labels))
    done = finish(task, run, fits.progress, "fitted", ALONE)
    strongest = [_describe(head, unit, task.model.config, labels) for unit in head.units[:RECORDED].tolist()]
    found = {"strength": head.strength, "units": len(head.units), "outputs": head.weight.shape[1]}
    summary = done.summary | {"probe": {**found, "strongest": strongest}}
    run.save_summary(summary)
    yield Done(run, summary)


def regression_path(
    outputs: np.ndarray, truth: np.ndarray, *, balance: bool = False, seed: int = 0
) -> Iterator[Head]:
    """Fit logistic regressions, each with a weaker L1 penalty than the one before.

    Args:
        outputs: Pooled outputs (N, F); standardised in place.
        truth: Labels (N,).
        balance: All labels weigh the same.
        seed: Of the order in which the solver visits texts.

    Yields:
        A head for each penalty.

    Raises:
        ChargenError: All texts have the same outputs.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import l1_min_c

    mean, spread = standardise(outputs)
    if np.ptp(outputs) < ROUNDING:
        raise ChargenError("the encoder has the same outputs for all texts: start from another run, or read more")
    labels = len(np.unique(truth))
    products = outputs.size * (labels if labels > 2 else 1)
    # scikit-learn before 1.8 has another argument for the penalty.
    is_old = LogisticRegression().get_params().get("penalty") == "l2"
    penalty: dict[str, Any] = {"penalty": "l1"} if is_old else {"l1_ratio": 1.0}
    regression = LogisticRegression(
        **penalty,
        solver="saga",
        tol=1e-3,
        max_iter=int(np.clip(MAX_PRODUCTS // products, *PASSES)),
        class_weight="balanced" if balance else None,
        random_state=seed,
        warm_start=True,  # each fit starts from the weights of the one before
    )
    for strength in l1_min_c(outputs, truth, loss="log", fit_intercept=False) * STRENGTHS:
        regression.C = float(strength)
        with warnings.catch_warnings():
            # The held-out texts judge a fit that has not converged, too.
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.fit(outputs, truth)
        yield Head.of(regression, mean, spread)


def standardise(outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale each unit to mean 0 and variance 1, in place.

    Args:
        outputs: (N, F). A unit that hardly varies is divided by MIN_SPREAD and stays small.

    Returns:
        The mean and the standard deviation that were applied, each (F,), float64.

    >>> outputs = np.array([[1.0, 5.0], [3.0, 5.0]])
    >>> standardise(outputs), outputs
    ((array([2., 5.]), array([1.  , 0.01])), array([[-1.,  0.],
           [ 1.,  0.]]))
    """
    mean = outputs.mean(axis=0, dtype=np.float64)
    outputs -= mean.astype(outputs.dtype)
    spread = np.sqrt(np.einsum("nf,nf->f", outputs, outputs, dtype=np.float64) / len(outputs))
    spread = np.maximum(spread, MIN_SPREAD)
    outputs /= spread.astype(outputs.dtype)
    return mean, spread


def units_note(head: Head, config: ClassifierConfig, labels: Sequence[str]) -> str:
    """A sentence on how many units carry the decision, and which ones most."""
    described = [_describe(head, unit, config, labels) for unit in head.units[:SHOWN].tolist()]
    strongest = ", ".join(
        f"{unit['unit']} ({unit['pooling']}) {'for' if unit['weight'] > 0 else 'against'} {unit['label']!r}"
        for unit in described
    )
    count = f"{len(head.units):,} of {head.weight.shape[1]:,} pooled outputs carry the decision"
    return f"{count}; the strongest: {strongest}" if strongest else count


def _describe(head: Head, output: int, config: ClassifierConfig, labels: Sequence[str]) -> dict[str, Any]:
    """The unit behind a pooled output, how it is pooled, and the label for which its weight is largest."""
    unit, pooling = pooled_unit(output, config)
    own = head.scaled[:, output]
    label = int(own.argmax() if own.max() >= -own.min() else own.argmin())
    return {"unit": str(unit), "pooling": pooling, "label": labels[label], "weight": round(float(own[label]), 6)}


@torch.no_grad()
def _set_head(task: Classification, head: Head) -> None:
    """Set the head of the task's model."""
    task.model.head.weight.copy_(torch.from_numpy(head.weight))
    task.model.head.bias.copy_(torch.from_numpy(head.bias))


def _sample(labels: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Sorted indices of about `most` random examples, at least one per label; all where there are no more."""
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    _, firsts = np.unique(labels[order], return_index=True)
    return np.union1d(order[:most], order[firsts])

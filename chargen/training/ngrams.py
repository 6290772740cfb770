"""Fitting the n-gram classifier: the baseline beside every recurrent one, and a part of it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from chargen.evaluation.calibration import combine, fit_scales, mean_nats, softmax, wilson_interval
from chargen.models.ngrams import NgramClassifier
from chargen.text.labelled import LabelledSet
from chargen.text.labelled_data import LabelledData
from chargen.text.ngrams import Counts, Vocabulary, count_ngrams, text_batches

MANY_TEXTS = 1000  # from here on, an n-gram that only one text has is left out
MOST_WEIGHTS = 1 << 24  # features times labels
MOST_COUNTED = 25_000_000  # n-grams of all texts together
STRENGTHS = (20.0, 5.0, 1.0)  # of the regression: inverse weights of its L2 penalty
RATE = 0.25  # for a label; the norm of a feature's gradient grows with the root of their number
MUCH = 100_000_000  # n-grams times labels, from which on there is time for one strength and few passes
LITTLE_WORK, MUCH_WORK = (4, 1000), (2, 500)  # passes over the texts, steps: at least
STRANGE = 0.01  # share of the validation texts that counts as unlike the training texts
SMALLEST_BATCH, LARGEST_BATCH = 16, 1024  # texts


def fit_ngrams(
    train: LabelledSet, validation: LabelledSet, labels: Sequence[str], *, balance: bool = False
) -> NgramClassifier:
    """Logistic regression on the n-grams of the training texts.

    Of some penalties that one is taken under which the validation labels are likeliest. Memory is bounded: of a very
    large set so many texts are read, drawn at random, as have MOST_COUNTED n-grams. balance: all labels weigh the
    same.
    """
    data = _Data.of(train, labels, balance)
    truth = _numbers(validation, labels)
    strengths = STRENGTHS[:1] if _is_much(data.matrix, len(labels)) else STRENGTHS
    fitted = [data.fit(strength) for strength in strengths]
    judged = [classifier.judge(validation.texts) for classifier in fitted]
    best = min(range(len(fitted)), key=lambda number: _loss(judged[number][0], truth))
    return replace(fitted[best], strange=float(np.quantile(judged[best][1], STRANGE)), strength=strengths[best])


def fit_again(
    known: NgramClassifier, everything: LabelledSet, labels: Sequence[str], *, balance: bool = False
) -> NgramClassifier:
    """What `fit_ngrams` gave, fitted to more texts with the penalty that was found then."""
    return replace(_Data.of(everything, labels, balance).fit(known.strength), strange=known.strange)


@dataclass(frozen=True, eq=False)
class _Data:
    """What the regression is fitted to."""

    vocabulary: Vocabulary
    matrix: Any  # features of texts, sparse (N, F)
    numbers: np.ndarray  # labels of texts (N,)
    weights: np.ndarray  # of labels (K,), float32

    @classmethod
    def of(cls, examples: LabelledSet, labels: Sequence[str], balance: bool) -> _Data:
        """That of the texts, or of so many, drawn at random, as are read."""
        order = np.random.default_rng(0).permutation(len(examples.texts))
        texts = [examples.texts[i] for i in order]
        parts: list[tuple[int, Counts]] = []
        found = read = 0
        for part in text_batches(texts):
            parts.append((part.start, count_ngrams(texts[part])))
            found, read = found + len(parts[-1][1].texts), part.stop
            if found > MOST_COUNTED:
                break
        least = 2 if read >= MANY_TEXTS else 1
        vocabulary = Vocabulary.of([counts for _, counts in parts], read, least, MOST_WEIGHTS // len(labels))
        numbers = _numbers(examples, labels)[order[:read]]
        counts = np.maximum(np.bincount(numbers, minlength=len(labels)), 1)
        weights = read / (len(labels) * counts) if balance else np.ones(len(labels))
        return cls(vocabulary, _matrix(vocabulary, parts, read), numbers, weights.astype(np.float32))

    def fit(self, strength: float) -> NgramClassifier:
        """The classifier under one penalty."""
        weight, bias = _regression(self.matrix, self.numbers, strength, self.weights)
        return NgramClassifier(self.vocabulary, weight, bias, strength=strength)


def _numbers(examples: LabelledSet, labels: Sequence[str]) -> np.ndarray:
    """The label (N,) of each example as a number."""
    index = {label: number for number, label in enumerate(labels)}
    return np.array([index[label] for label in examples.labels], np.int64)


def _matrix(vocabulary: Vocabulary, parts: Sequence[tuple[int, Counts]], texts: int) -> Any:
    """The features of texts as a sparse matrix (N, F), the first text of each part being given."""
    from scipy.sparse import csr_matrix

    rows, columns, values = [], [], []
    for start, counts in parts:
        owners, features, found = vocabulary.features(counts)
        rows.append((owners + start).astype(np.int32))
        columns.append(features.astype(np.int32))
        values.append(found)
    cells = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csr_matrix(cells, shape=(texts, len(vocabulary.buckets)))


def _regression(
    matrix: Any, numbers: np.ndarray, strength: float, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Softmax regression on features (N, F) of texts with labels (N,), which count as `weights` (labels,) say.

    Small batches with a rate for each feature (AdaGrad, Duchi et al. 2011), which falls to nothing in a line.
    A batch moves the weights of the features that it has, all labels side by side in memory; a rare feature, whose
    turn comes seldom, is penalised the more then. Scikit-learn's SGDClassifier goes through all texts for one label
    after another, which takes ten times as long for 75 labels, and no less for two.
    """
    from scipy.sparse import csr_matrix

    (texts, features), labels = matrix.shape, len(weights)
    passes, steps = MUCH_WORK if _is_much(matrix, labels) else LITTLE_WORK
    batch = int(np.clip(passes * texts // steps, SMALLEST_BATCH, LARGEST_BATCH))
    batches = -(-texts // batch)
    total = max(passes * batches, steps)
    weight, bias = np.zeros((features, labels), np.float32), np.zeros(labels, np.float32)
    squares, bias_squares = np.full(features, 1e-6, np.float32), np.full(labels, 1e-6, np.float32)
    seen = -np.expm1(-np.bincount(matrix.indices, minlength=features) * batch / texts)  # share of batches with it
    penalty = (1 / (strength * texts * np.maximum(seen, 1e-12))).astype(np.float32)
    generator, place, is_own = np.random.default_rng(0), np.zeros(features, np.int32), np.zeros(features, bool)
    for step in range(total):
        if step % batches == 0:
            order = np.array_split(generator.permutation(texts), batches)
        rows = order[step % batches]
        found = matrix[rows]
        is_own[found.indices] = True
        own = np.flatnonzero(is_own)
        is_own[own] = False
        place[own] = np.arange(len(own))
        inputs = csr_matrix((found.data, place[found.indices], found.indptr), shape=(len(rows), len(own)))
        moved = weight[own]
        errors = softmax(inputs @ moved + bias).astype(np.float32)
        errors[np.arange(len(rows)), numbers[rows]] -= 1
        errors *= weights[numbers[rows], None] / len(rows)
        gradient = inputs.T @ errors
        gradient += penalty[own, None] * moved
        squares[own] += np.einsum("fk,fk->f", gradient, gradient)
        rate = RATE * (1 - step / total)
        gradient *= (rate * math.sqrt(labels) / np.sqrt(squares[own]))[:, None]
        moved -= gradient
        weight[own] = moved
        slope = errors.sum(0)
        bias_squares += slope**2
        bias -= rate * slope / np.sqrt(bias_squares)
    return weight, bias


def _is_much(matrix: Any, labels: int) -> bool:
    return bool(matrix.nnz * labels > MUCH)


def _loss(logits: np.ndarray, truth: np.ndarray) -> float:
    scales = fit_scales(logits[None], truth, [1.0])
    return mean_nats(softmax(combine(logits[None], scales)), truth)


class FittedNgrams(NamedTuple):
    """What the n-grams contribute."""

    classifier: NgramClassifier
    held_out_logits: np.ndarray  # (texts, labels), of a classifier that has not seen the texts held out
    accuracy: float  # of that one
    note: str  # how good that one is


def fit_and_measure(data: LabelledData, *, balance: bool = False) -> FittedNgrams:
    """N-grams of the training texts, measured on those held out, to which they are then fitted too.

    That takes seconds and adds a quarter to the texts of a small set. Texts of a set of their own stay unseen.
    """
    train, validation, labels = data.train, data.validation, data.labels
    began = time.monotonic()
    classifier = fit_ngrams(train, validation, labels, balance=balance)
    logits = classifier.logits(validation.texts)
    right = np.array(labels)[logits.argmax(-1)] == np.array(validation.labels)
    low, high = wilson_interval(int(right.sum()), len(right))
    if not data.settings.val:
        everything = LabelledSet(train.texts + validation.texts, train.labels + validation.labels)
        classifier = fit_again(classifier, everything, labels, balance=balance)
    note = f"n-grams alone: accuracy {right.mean():.4f} ({low:.3f} to {high:.3f}), {time.monotonic() - began:.0f} s"
    return FittedNgrams(classifier, logits, float(right.mean()), note)

"""Fitting the n-gram classifier: the baseline beside every recurrent one, and a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chargen.calibration import combine, fit_scales, nats, softmax
from chargen.models.ngrams import NgramClassifier
from chargen.text.labelled import LabelledSet
from chargen.text.ngrams import Counts, Vocabulary, count, portions

MANY_TEXTS = 1000  # from here on, an n-gram that only one text has is left out
MOST_WEIGHTS = 1 << 23  # features times labels
MOST_COUNTED = 25_000_000  # n-grams of all texts together
STRENGTHS = (20.0, 5.0, 1.0)  # of the regression: inverse weights of its L2 penalty
MUCH_WORK = 100_000_000  # n-grams times labels, from which on the first strength alone is tried
RATE = 0.3
STRANGE = 0.01  # share of the validation texts that counts as unlike the training texts
PASSES, STEPS = 4, 1000  # over the texts, and of the weights: at least
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
    strengths = STRENGTHS[:1] if data.matrix.nnz * len(labels) > MUCH_WORK else STRENGTHS
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
        for part in portions(texts):
            parts.append((part.start, count(texts[part])))
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

    Small batches with a learning rate for each weight (AdaGrad, Duchi et al. 2011), which falls to nothing in a line.
    A batch reads and moves the weights of the features that it has, all labels side by side in memory; those of a
    rare feature so seldom that the penalty is made larger for them in turn. Scikit-learn's SGDClassifier goes through
    all texts for one label after another, which takes ten times as long for 75 labels, and no less for two.
    """
    from scipy.sparse import csr_matrix

    (texts, features), labels = matrix.shape, len(weights)
    batch = int(np.clip(PASSES * texts // STEPS, SMALLEST_BATCH, LARGEST_BATCH))
    batches = -(-texts // batch)
    total = max(PASSES * batches, STEPS)
    weight, bias = np.zeros((features, labels), np.float32), np.zeros(labels, np.float32)
    squares, bias_squares = np.full_like(weight, 1e-6), np.full_like(bias, 1e-6)
    seen = -np.expm1(-np.bincount(matrix.indices, minlength=features) * batch / texts)  # share of batches with it
    penalty = (1 / (strength * texts * np.maximum(seen, 1e-12))).astype(np.float32)
    generator, place = np.random.default_rng(0), np.zeros(features, np.int32)
    for step in range(total):
        if step % batches == 0:
            order = np.array_split(generator.permutation(texts), batches)
        rows = order[step % batches]
        found = matrix[rows]
        own = np.unique(found.indices)
        place[own] = np.arange(len(own))
        inputs = csr_matrix((found.data, place[found.indices], found.indptr), shape=(len(rows), len(own)))
        before = weight[own]
        errors = softmax(inputs @ before + bias).astype(np.float32)
        errors[np.arange(len(rows)), numbers[rows]] -= 1
        errors *= weights[numbers[rows], None] / len(rows)
        gradient = inputs.T @ errors + penalty[own, None] * before
        rate = RATE * (1 - step / total)
        squares[own] = own_squares = squares[own] + gradient**2
        weight[own] = before - rate * gradient / np.sqrt(own_squares)
        bias_gradient = errors.sum(0)
        bias_squares += bias_gradient**2
        bias -= rate * bias_gradient / np.sqrt(bias_squares)
    return weight, bias


def _loss(logits: np.ndarray, truth: np.ndarray) -> float:
    scales = fit_scales(logits[None], truth, [1.0])
    return nats(softmax(combine(logits[None], scales)), truth)

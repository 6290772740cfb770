"""Fits the n-gram classifier: the baseline of every recurrent classifier, and a part of it.

Shapes: N texts, F features (n-grams of the vocabulary), K labels.
"""

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

MANY_TEXTS = 1000  # training texts from which on n-grams that occur in a single text are left out
MAX_WEIGHTS = 1 << 24  # features times labels: 64 MiB of float32
MAX_COUNTED = 25_000_000  # n-grams of all texts together; bounds time and memory
STRENGTHS = (20.0, 5.0, 1.0)  # inverse L2 penalties to try
RATE = 0.25  # learning rate for one label; the norm of a feature's gradient grows with the square root of the labels
LARGE_WORK = 100_000_000  # n-grams times labels, from which on there is time for one penalty and few passes only
SMALL_LIMITS, LARGE_LIMITS = (4, 1000), (2, 500)  # passes over the texts and steps, both at least; below, above that
STRANGE = 0.01  # fraction of the validation texts that count as unlike the training texts
REPEATING = 0.95  # share of known n-grams of such a text, above which the validation texts repeat the training texts
HALF_KNOWN = 0.5  # below this a text is strange then, since they do not tell what new texts are like
SMALLEST_BATCH, LARGEST_BATCH = 16, 1024  # texts per step


def fit_ngrams(
    train: LabelledSet, validation: LabelledSet, labels: Sequence[str], *, balance: bool = False
) -> NgramClassifier:
    """Fit logistic regression to the n-grams of texts, with the L2 penalty that suits the validation labels best.

    To bound memory, a large set is reduced to a random sample that has about MAX_COUNTED n-grams.

    Args:
        train: Training texts.
        validation: Held-out texts, which choose the penalty and the threshold for strange texts.
        labels: All labels, in the order of the classifier's outputs.
        balance: All labels weigh the same.
    """
    data = _Data.of(train, labels, balance)
    truth = _label_indices(validation, labels)
    strengths = STRENGTHS[:1] if _is_large(data.matrix, len(labels)) else STRENGTHS
    fitted = [data.fit(strength) for strength in strengths]
    judged = [classifier.judge(validation.texts) for classifier in fitted]
    best = min(range(len(fitted)), key=lambda number: _loss(judged[number][0], truth))
    strange = float(np.quantile(judged[best][1], STRANGE))
    return replace(fitted[best], strange=strange if strange <= REPEATING else HALF_KNOWN, strength=strengths[best])


def refit(
    known: NgramClassifier, everything: LabelledSet, labels: Sequence[str], *, balance: bool = False
) -> NgramClassifier:
    """Fit a classifier of `fit_ngrams` anew, to more texts and with the same penalty.

    Args:
        known: What `fit_ngrams` gave.
        everything: The texts to fit to.
        labels: All labels, in the order of the classifier's outputs.
        balance: All labels weigh the same.
    """
    return replace(_Data.of(everything, labels, balance).fit(known.strength), strange=known.strange)


@dataclass(frozen=True, eq=False)
class _Data:
    """The features, labels and weights that the regression is fitted to."""

    vocabulary: Vocabulary
    matrix: Any  # features of texts (N, F), a sparse matrix of SciPy
    truth: np.ndarray  # indices of labels (N,)
    weights: np.ndarray  # weights of labels (K,), float32

    @classmethod
    def of(cls, examples: LabelledSet, labels: Sequence[str], balance: bool) -> _Data:
        """Count the n-grams of texts in random order, until there are MAX_COUNTED, and choose the vocabulary."""
        order = np.random.default_rng(0).permutation(len(examples.texts))
        texts = [examples.texts[i] for i in order]
        parts: list[tuple[int, Counts]] = []
        counted = read = 0
        for part in text_batches(texts):
            parts.append((part.start, count_ngrams(texts[part])))
            counted, read = counted + len(parts[-1][1].texts), part.stop
            if counted > MAX_COUNTED:
                break
        least = 2 if read >= MANY_TEXTS else 1
        vocabulary = Vocabulary.of([counts for _, counts in parts], read, least, MAX_WEIGHTS // len(labels))
        truth = _label_indices(examples, labels)[order[:read]]
        counts = np.maximum(np.bincount(truth, minlength=len(labels)), 1)
        weights = read / (len(labels) * counts) if balance else np.ones(len(labels))
        return cls(vocabulary, _matrix(vocabulary, parts, read), truth, weights.astype(np.float32))

    def fit(self, strength: float) -> NgramClassifier:
        """Fit a classifier with this inverse L2 penalty."""
        weight, bias = _regression(self.matrix, self.truth, strength, self.weights)
        return NgramClassifier(self.vocabulary, weight, bias, strength=strength)


def _label_indices(examples: LabelledSet, labels: Sequence[str]) -> np.ndarray:
    """The index (N,) of each example's label."""
    index = {label: i for i, label in enumerate(labels)}
    return np.array([index[label] for label in examples.labels], np.int64)


def _matrix(vocabulary: Vocabulary, parts: Sequence[tuple[int, Counts]], texts: int) -> Any:
    """The features of texts as a sparse matrix (N, F); each part of the texts comes with the index of its first."""
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
    matrix: Any, truth: np.ndarray, strength: float, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fit softmax regression by AdaGrad on small batches (Duchi et al. 2011), with linear decay to zero.

    A batch updates only the weights of the features that occur in it. The penalty is applied then, too, and is larger
    for rare features, which are updated less often. All labels are learned at once: scikit-learn's SGDClassifier
    learns one after another, which takes ten times as long for 75 labels and no less for two.

    Args:
        matrix: Features (N, F), sparse.
        truth: Indices of labels (N,).
        strength: Inverse L2 penalty.
        weights: Of labels in the loss (K,).

    Returns:
        Weights (F, K) and biases (K,).
    """
    from scipy.sparse import csr_matrix

    (texts, features), labels = matrix.shape, len(weights)
    passes, steps = LARGE_LIMITS if _is_large(matrix, labels) else SMALL_LIMITS
    batch = int(np.clip(passes * texts // steps, SMALLEST_BATCH, LARGEST_BATCH))
    batches = -(-texts // batch)
    total = max(passes * batches, steps)
    weight, bias = np.zeros((features, labels), np.float32), np.zeros(labels, np.float32)
    squares, bias_squares = np.full(features, 1e-6, np.float32), np.full(labels, 1e-6, np.float32)
    # Fraction of batches that have the feature.
    seen = -np.expm1(-np.bincount(matrix.indices, minlength=features) * batch / texts)
    penalty = (1 / (strength * texts * np.maximum(seen, 1e-12))).astype(np.float32)
    generator, position, is_own = np.random.default_rng(0), np.zeros(features, np.int32), np.zeros(features, bool)
    for step in range(total):
        if step % batches == 0:
            order = np.array_split(generator.permutation(texts), batches)
        rows = order[step % batches]
        found = matrix[rows]
        is_own[found.indices] = True
        own = np.flatnonzero(is_own)  # the batch's features
        is_own[own] = False
        position[own] = np.arange(len(own))
        inputs = csr_matrix((found.data, position[found.indices], found.indptr), shape=(len(rows), len(own)))
        moved = weight[own]
        errors = softmax(inputs @ moved + bias).astype(np.float32)
        errors[np.arange(len(rows)), truth[rows]] -= 1
        errors *= weights[truth[rows], None] / len(rows)
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


def _is_large(matrix: Any, labels: int) -> bool:
    """Whether a fit takes so long that there is time for little of it."""
    return bool(matrix.nnz * labels > LARGE_WORK)


def _loss(logits: np.ndarray, truth: np.ndarray) -> float:
    """Cross-entropy in nats of logits (N, K), with the scale that suits them best."""
    scales = fit_scales(logits[None], truth, [1.0])
    return mean_nats(softmax(combine(logits[None], scales)), truth)


class FittedNgrams(NamedTuple):
    """A fitted n-gram classifier, and how good it is."""

    classifier: NgramClassifier
    held_out_logits: np.ndarray  # (N, K), by a classifier fitted to the training texts only
    accuracy: float  # of these logits
    note: str  # the same in a sentence


def fit_and_measure(data: LabelledData, *, balance: bool = False) -> FittedNgrams:
    """Fit n-grams to the training texts, measure them on the held-out ones, and then fit them to both.

    The second fit takes seconds and adds a quarter to the texts of a small set. It is left out for a validation set
    that was given separately.

    Args:
        data: Training and held-out texts.
        balance: All labels weigh the same.
    """
    train, validation, labels = data.train, data.validation, data.labels
    began = time.monotonic()
    classifier = fit_ngrams(train, validation, labels, balance=balance)
    logits = classifier.logits(validation.texts)
    right = np.array(labels)[logits.argmax(-1)] == np.array(validation.labels)
    low, high = wilson_interval(int(right.sum()), len(right))
    if not data.settings.val:
        everything = LabelledSet(train.texts + validation.texts, train.labels + validation.labels)
        classifier = refit(classifier, everything, labels, balance=balance)
    note = f"n-grams alone: accuracy {right.mean():.4f} ({low:.3f} to {high:.3f}), {time.monotonic() - began:.0f} s"
    return FittedNgrams(classifier, logits, float(right.mean()), note)

"""Fitting the n-gram classifier: the baseline beside every recurrent one, and a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chargen.calibration import combine, fit_scales, nats, softmax
from chargen.models.ngrams import NgramClassifier
from chargen.text.labelled import LabelledSet
from chargen.text.ngrams import Counts, Vocabulary, count, portions

MANY_TEXTS = 1000  # from here on, an n-gram that only one text has is left out
MOST_WEIGHTS = 1 << 23  # features times labels
MOST_COUNTED = 25_000_000  # n-grams of all texts together
STRENGTHS = (1.0, 5.0)  # of the regression: inverse weights of its L2 penalty
STRANGE = 0.01  # share of the validation texts that counts as unlike the training texts
PASSES, UPDATES = 5, 100_000  # over the texts, and of the weights: at least


def fit_ngrams(
    train: LabelledSet,
    validation: LabelledSet,
    labels: Sequence[str],
    *,
    balance: bool = False,
    workers: int = 1,
) -> tuple[NgramClassifier, int]:
    """Logistic regression on the n-grams of the training texts, and how many of the texts it read.

    Of two penalties that one is taken under which the validation labels are likelier. Memory is bounded: of a very
    large set so many texts are read, drawn at random, as have MOST_COUNTED n-grams. balance: all labels weigh the
    same.
    """
    order = np.random.default_rng(0).permutation(len(train.texts))
    texts = [train.texts[i] for i in order]
    parts: list[tuple[int, Counts]] = []
    found = read = 0
    for part in portions(texts):
        parts.append((part.start, count(texts[part])))
        found, read = found + len(parts[-1][1].texts), part.stop
        if found > MOST_COUNTED:
            break
    least = 2 if read >= MANY_TEXTS else 1
    vocabulary = Vocabulary.of([counts for _, counts in parts], read, least, MOST_WEIGHTS // len(labels))
    index = {label: number for number, label in enumerate(labels)}
    numbers = np.array([index[train.labels[i]] for i in order[:read]])
    truth = np.array([index[label] for label in validation.labels])
    matrix = _matrix(vocabulary, parts, read)
    fitted = [
        _regression(vocabulary, matrix, numbers, len(labels), strength, balance, workers) for strength in STRENGTHS
    ]
    judged = [classifier.judge(validation.texts) for classifier in fitted]
    best = min(range(len(fitted)), key=lambda number: _loss(judged[number][0], truth))
    strange = float(np.quantile(judged[best][1], STRANGE))
    return replace(fitted[best], strange=strange), read


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
    vocabulary: Vocabulary,
    matrix: Any,
    numbers: np.ndarray,
    labels: int,
    strength: float,
    balance: bool,
    workers: int,
) -> NgramClassifier:
    """Logistic regression, a label against all others, by averaged stochastic gradient descent."""
    from sklearn.linear_model import SGDClassifier

    texts = matrix.shape[0]
    regression = SGDClassifier(
        loss="log_loss",
        alpha=1 / (strength * texts),
        max_iter=max(PASSES, UPDATES // texts),
        tol=None,
        average=True,
        class_weight="balanced" if balance else None,
        n_jobs=workers,
        random_state=0,
    ).fit(matrix, numbers)
    coefficients, intercepts = regression.coef_, regression.intercept_
    if len(coefficients) == 1:  # of the second label against the first
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    weight = np.zeros((matrix.shape[1], labels), np.float32)
    bias = np.full(labels, intercepts.min(), np.float32)  # of a label that no text that was read has
    weight[:, regression.classes_], bias[regression.classes_] = coefficients.T, intercepts
    return NgramClassifier(vocabulary, weight, bias)


def _loss(logits: np.ndarray, truth: np.ndarray) -> float:
    scales = fit_scales(logits[None], truth, [1.0])
    return nats(softmax(combine(logits[None], scales)), truth)

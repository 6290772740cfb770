"""Calibrated probabilities from logits: scales, calibration error, confidence intervals, thresholds.

Pure functions of arrays. Shapes: N texts, K labels, S sources of logits (the network, the n-grams).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]

PRIOR = 2.0  # penalty on scales, in nats for a scale that is 1 away from the expected one
BINS = 15


def softmax(logits: npt.ArrayLike) -> Array:
    """Turn logits (…, K) into probabilities (…, K).

    >>> softmax([0.0, 0.0])
    array([0.5, 0.5])
    """
    logits = np.asarray(logits, np.float64)
    exps = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probs: Array = exps / exps.sum(axis=-1, keepdims=True)
    return probs


def log_odds(logits: npt.ArrayLike, label: int) -> Array:
    """Log-odds (…,) of a label, given logits (…, K) of two or more labels.

    >>> float(log_odds([2.0, 0.5], 0))
    1.5
    """
    logits = np.asarray(logits, np.float64)
    others = np.delete(logits, label, axis=-1)
    top = others.max(axis=-1, keepdims=True)
    odds: Array = logits[..., label] - top[..., 0] - np.log(np.exp(others - top).sum(axis=-1))
    return odds


def combine(logits: npt.ArrayLike, scales: npt.ArrayLike) -> Array:
    """Sum the logits (S, N, K) of all sources, each times its scale (S,), to logits (N, K).

    With one source, this is temperature scaling (Guo et al. 2017, arXiv:1706.04599); with several, a product of
    experts.

    >>> combine([[[1.0, 0.0]], [[0.0, 4.0]]], [2.0, 0.5]).tolist()
    [[2.0, 2.0]]
    """
    total: Array = np.einsum("snk,s->nk", np.asarray(logits, np.float64), np.asarray(scales, np.float64))
    return total


def fit_scales(
    logits: npt.ArrayLike, truth: Labels, expected: Sequence[float], weights: Array | None = None
) -> Array:
    """Fit non-negative scales (S,) that minimise the cross-entropy of the combined logits.

    The loss has a penalty on the distance from `expected`, and is convex; Newton's method finds its minimum.

    Args:
        logits: Of all sources (S, N, K).
        truth: Index of each text's true label (N,).
        expected: Scales (S,) that no data would give.
        weights: Of the texts (N,); None: 1 each.
    """
    sources = np.asarray(logits, np.float64)
    start = np.asarray(expected, np.float64)
    free = np.ones(len(start), bool)
    while True:
        scales = _newton(sources[free], truth, start[free], np.ones(len(truth)) if weights is None else weights)
        if (scales >= 0).all():
            break
        free[np.flatnonzero(free)[scales.argmin()]] = False
        if not free.any():
            scales = np.empty(0)
            break
    found = np.zeros(len(start))
    found[free] = scales
    return found


def _newton(sources: Array, truth: Labels, start: Array, weights: Array) -> Array:
    own = np.arange(len(truth))

    def loss(scales: Array) -> float:
        probs = softmax(combine(sources, scales))
        return float(PRIOR * ((scales - start) ** 2).sum() - weights @ np.log(probs[own, truth] + 1e-300))

    scales, value = start.copy(), loss(start)
    for _ in range(50):
        probs = softmax(combine(sources, scales))  # (N, K)
        means = (sources * probs).sum(-1)  # (S, N)
        gradient = (means - sources[:, own, truth]) @ weights + 2 * PRIOR * (scales - start)
        probs *= weights[:, None]
        hessian = np.einsum("snk,tnk,nk->st", sources, sources, probs, optimize=True) - (means * weights) @ means.T
        step = np.linalg.solve(hessian + 2 * PRIOR * np.eye(len(start)), gradient)
        damping = 1.0
        while damping > 1e-6 and (reached := loss(scales - damping * step)) > value:
            damping /= 2
        if damping <= 1e-6 or value - reached < 1e-9 * max(1.0, value):
            break
        scales, value = scales - damping * step, reached
    return scales


def cross_fitted(
    logits: npt.ArrayLike, truth: Labels, expected: Sequence[float], weights: Array | None = None
) -> Array:
    """Probabilities (N, K) of texts, each under scales fitted on the other half, so that they can be evaluated.

    The halves are drawn at random, because labels often alternate. Arguments as for `fit_scales`.
    """
    sources = np.asarray(logits, np.float64)
    half = np.random.default_rng(0).permutation(len(truth)) % 2 == 0
    probs = np.empty(sources.shape[1:])
    for part in (half, ~half):
        scales = fit_scales(sources[:, ~part], truth[~part], expected, None if weights is None else weights[~part])
        probs[part] = softmax(combine(sources[:, part], scales))
    return probs


def mean_nats(probs: Array, truth: Labels, weights: Array | None = None) -> float:
    """Mean cross-entropy in nats.

    Args:
        probs: Probabilities (N, K).
        truth: Index of each text's true label (N,).
        weights: Of the texts (N,); None: 1 each.

    >>> round(mean_nats(np.array([[0.5, 0.5]]), np.array([0])), 3)
    0.693
    """
    return float(-np.average(np.log(np.maximum(probs[np.arange(len(truth)), truth], 1e-12)), weights=weights))


def calibration_error(confidence: Array, correct: npt.NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error: the mean distance between accuracy and confidence over bins (Naeini et al. 2015).

    With few texts, it is above 0 even for perfect probabilities; see `error_by_chance`.

    Args:
        confidence: Probability (N,) of the chosen label.
        correct: Whether (N,) it is the true one.
        bins: Number of bins of equal width.

    >>> calibration_error(np.array([0.9, 0.9]), np.array([True, False]))
    0.4
    """
    gaps = np.bincount(_bin_indices(confidence, bins), confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


class Bin(NamedTuple):
    """Texts whose chosen labels have about the same probability."""

    low: float  # lowest probability
    high: float  # lowest probability of the next bin
    texts: int
    confidence: float  # mean probability
    accuracy: float


def calibration_curve(confidence: Array, correct: npt.NDArray[np.bool_], bins: int = BINS) -> list[Bin]:
    """The bins of `calibration_error` that are not empty. Calibration is perfect if confidence equals accuracy."""
    bin_indices = _bin_indices(confidence, bins)
    counts = np.bincount(bin_indices, minlength=bins)
    sums, correct_sums = np.bincount(bin_indices, confidence, bins), np.bincount(bin_indices, correct, bins)
    return [
        Bin(i / bins, (i + 1) / bins, int(counts[i]), float(sums[i] / counts[i]), float(correct_sums[i] / counts[i]))
        for i in np.flatnonzero(counts).tolist()
    ]


def _bin_indices(confidence: Array, bins: int) -> Labels:
    found: Labels = np.minimum((confidence * bins).astype(int), bins - 1)
    return found


def error_by_chance(confidence: Array, bins: int = BINS, draws: int = 200) -> float:
    """The mean calibration error of perfectly calibrated probabilities on equally many texts.

    Args:
        confidence: Probability (N,) of each chosen label.
        bins: As for `calibration_error`.
        draws: Simulations to average over.
    """
    generator = np.random.default_rng(0)
    found = [
        calibration_error(confidence, generator.random(len(confidence)) < confidence, bins) for _ in range(draws)
    ]
    return float(np.mean(found))


def wilson_interval(correct: float, total: int, deviations: float = 1.96) -> tuple[float, float]:
    """Confidence interval of a proportion (Wilson 1927).

    Args:
        correct: Successes observed.
        total: Trials.
        deviations: Half width in standard deviations; 1.96 for 95 %.

    Returns:
        Lower and upper bound, from 0 to 1.

    >>> low, high = wilson_interval(90, 100)
    >>> round(low, 3), round(high, 3)
    (0.826, 0.945)
    """
    fraction, extra = correct / total, deviations**2 / total
    centre = (fraction + extra / 2) / (1 + extra)
    half_width = deviations * math.sqrt(fraction * (1 - fraction) / total + extra / (4 * total)) / (1 + extra)
    return max(0.0, centre - half_width), min(1.0, centre + half_width)


def threshold_for(confidence: Array, correct: npt.NDArray[np.bool_], accuracy: float) -> float | None:
    """Find the lowest confidence from which labels reach an accuracy.

    The lower bound of the accuracy's 95 % interval must reach it, among all texts with at least that confidence.

    Args:
        confidence: Probability (N,) of the chosen label.
        correct: Whether (N,) it is the true one.
        accuracy: Fraction of correct labels to reach, 0 to 1.

    Returns:
        The threshold, or None if there is none.

    >>> threshold_for(np.repeat([0.9, 0.6], 50), np.repeat([True, False], 50), 0.9)
    0.9
    """
    order = np.argsort(-confidence, kind="stable")
    correct_sums = np.cumsum(correct[order])
    ends = np.flatnonzero(np.diff(confidence[order], append=-1.0))  # the last index of each distinct value
    passing = [index for index in ends if wilson_interval(float(correct_sums[index]), int(index) + 1)[0] >= accuracy]
    return float(confidence[order][passing[-1]]) if passing else None

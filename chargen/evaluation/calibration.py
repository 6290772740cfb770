"""From logits to probabilities that mean what they say: scales, calibration error, intervals, thresholds.

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

PRIOR = 2.0  # how strongly scales are drawn to what is expected of them, in nats for a scale that is 1 off
BINS = 15


def softmax(logits: npt.ArrayLike) -> Array:
    """Probabilities (…, K) of logits (…, K).

    >>> softmax([0.0, 0.0])
    array([0.5, 0.5])
    """
    logits = np.asarray(logits, np.float64)
    exps = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probs: Array = exps / exps.sum(axis=-1, keepdims=True)
    return probs


def log_odds(logits: npt.ArrayLike, label: int) -> Array:
    """The logarithm (…,) of the odds of a label, given logits (…, K) of two labels or more.

    >>> float(log_odds([2.0, 0.5], 0))
    1.5
    """
    logits = np.asarray(logits, np.float64)
    others = np.delete(logits, label, axis=-1)
    top = others.max(axis=-1, keepdims=True)
    odds: Array = logits[..., label] - top[..., 0] - np.log(np.exp(others - top).sum(axis=-1))
    return odds


def combine(logits: npt.ArrayLike, scales: npt.ArrayLike) -> Array:
    """Logits (N, K): those of all sources (S, N, K), each times its scale (S,), summed.

    One source has a temperature this way (Guo et al. 2017, arXiv:1706.04599); several are a product of experts.
    """
    total: Array = np.einsum("snk,s->nk", np.asarray(logits, np.float64), np.asarray(scales, np.float64))
    return total


def fit_scales(
    logits: npt.ArrayLike, truth: Labels, expected: Sequence[float], weights: Array | None = None
) -> Array:
    """The scales (S,), none below 0, under which the sources' logits (S, N, K) fit the labels (N,) best.

    expected: the scales (S,) when there is nothing to learn from; weights: of the texts (N,), 1 if not given. The
    loss, cross-entropy and a penalty on the distance from `expected`, is convex; Newton's method finds its minimum.
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
        share = 1.0
        while share > 1e-6 and (reached := loss(scales - share * step)) > value:
            share /= 2
        if share <= 1e-6 or value - reached < 1e-9 * max(1.0, value):
            break
        scales, value = scales - share * step, reached
    return scales


def cross_fitted(
    logits: npt.ArrayLike, truth: Labels, expected: Sequence[float], weights: Array | None = None
) -> Array:
    """Probabilities (N, K) of texts, each under scales that were fitted on the other half: an honest measure.

    The halves are drawn, for labels often take turns.
    """
    sources = np.asarray(logits, np.float64)
    half = np.random.default_rng(0).permutation(len(truth)) % 2 == 0
    probs = np.empty(sources.shape[1:])
    for part in (half, ~half):
        scales = fit_scales(sources[:, ~part], truth[~part], expected, None if weights is None else weights[~part])
        probs[part] = softmax(combine(sources[:, part], scales))
    return probs


def mean_nats(probs: Array, truth: Labels, weights: Array | None = None) -> float:
    """Mean cross-entropy, with the natural logarithm, of probabilities (N, K) of texts with `weights` (N,)."""
    return float(-np.average(np.log(np.maximum(probs[np.arange(len(truth)), truth], 1e-12)), weights=weights))


def calibration_error(confidence: Array, right: npt.NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error: how far the share of right labels is from the probability given, on average.

    Args:
        confidence: Probability (N,) of the label that was chosen.
        right: Whether (N,) it is the true one.
        bins: Intervals of equal width that texts are grouped in.

    Naeini et al. 2015; with few texts it is above 0 for perfect probabilities too, see `error_by_chance`.
    """
    gaps = np.bincount(_bin_of(confidence, bins), confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


class Bin(NamedTuple):
    """Texts whose labels have about the same probability."""

    low: float  # the least probability, and the one that the next bin begins with
    high: float
    texts: int
    confidence: float  # mean probability
    accuracy: float


def calibration_curve(confidence: Array, right: npt.NDArray[np.bool_], bins: int = BINS) -> list[Bin]:
    """The bins of `calibration_error` that any text is in: where the two means are equal, there is no error."""
    place = _bin_of(confidence, bins)
    counts = np.bincount(place, minlength=bins)
    sums, hits = np.bincount(place, confidence, bins), np.bincount(place, right, bins)
    return [
        Bin(i / bins, (i + 1) / bins, int(counts[i]), float(sums[i] / counts[i]), float(hits[i] / counts[i]))
        for i in np.flatnonzero(counts).tolist()
    ]


def _bin_of(confidence: Array, bins: int) -> Labels:
    found: Labels = np.minimum((confidence * bins).astype(int), bins - 1)
    return found


def error_by_chance(confidence: Array, bins: int = BINS, draws: int = 200) -> float:
    """The calibration error that perfect probabilities (N,) have on average, on as many texts."""
    generator = np.random.default_rng(0)
    found = [
        calibration_error(confidence, generator.random(len(confidence)) < confidence, bins) for _ in range(draws)
    ]
    return float(np.mean(found))


def wilson_interval(right: float, total: int, deviations: float = 1.96) -> tuple[float, float]:
    """Bounds of a share of which `right` of `total` were seen (Wilson 1927), by default those of 95 %.

    >>> low, high = wilson_interval(90, 100)
    >>> round(low, 3), round(high, 3)
    (0.826, 0.945)
    """
    share, extra = right / total, deviations**2 / total
    middle = (share + extra / 2) / (1 + extra)
    reach = deviations * math.sqrt(share * (1 - share) / total + extra / (4 * total)) / (1 + extra)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def threshold_for(confidence: Array, right: npt.NDArray[np.bool_], accuracy: float) -> float | None:
    """The lowest probability from which on labels are right as often as asked, surely; None where none is.

    Surely: the lower bound of the 95 % interval reaches `accuracy`, among all texts with as much confidence or more.
    """
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(right[order])
    ends = np.flatnonzero(np.diff(confidence[order], append=-1.0))  # where a value is there for the last time
    passing = [place for place in ends if wilson_interval(float(hits[place]), int(place) + 1)[0] >= accuracy]
    return float(confidence[order][passing[-1]]) if passing else None

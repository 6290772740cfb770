"""How well numbers tell a property: AUC, R², and intervals by bootstrap.

Pure functions of arrays. Shapes: N tokens, U units.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

BLOCK = 250  # tokens in a block of the bootstrap: neighbours depend on each other, so they are drawn together
RESAMPLES = 400
COVERAGE = (0.025, 0.975)


def groups_of(values: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Number (N,) of each value among the distinct ones, the lowest first."""
    return np.unique(np.asarray(values), return_inverse=True)[1].reshape(-1)


def auc(groups: npt.NDArray[np.intp], truth: Array, weights: Array | None = None) -> float:
    """Probability that a value where the truth is 1 is above one where it is 0; ties count half.

    Args:
        groups: Of the values (N,), from `groups_of`.
        truth: 0 or 1 (N,).
        weights: Of the tokens (N,); None: all count the same.

    Returns:
        From 0 to 1; 0.5 if the truth is the same everywhere.

    >>> auc(groups_of([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]))
    0.75
    """
    weights = np.ones(len(truth)) if weights is None else weights
    positive = np.bincount(groups, weights * truth)
    negative = np.bincount(groups, weights * (1 - truth))
    pairs = positive.sum() * negative.sum()
    above = positive @ (np.cumsum(negative) - negative / 2)
    return float(above / pairs) if pairs else 0.5


def average_ranks(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Ranks from 1 of each unit's values (N, U) among its own; equal values share the mean of theirs.

    >>> average_ranks(np.array([[5.0], [7.0], [5.0]])).ravel().tolist()
    [1.5, 3.0, 1.5]
    """
    ranks = np.empty(values.shape, np.float32)
    for number, column in enumerate(values.T):
        _, groups, counts = np.unique(column, return_inverse=True, return_counts=True)
        ranks[:, number] = (np.cumsum(counts) - (counts - 1) / 2)[groups]
    return ranks


def all_aucs(ranks: npt.NDArray[np.float32], truth: Array) -> Array:
    """AUC (U,) of each unit, from `average_ranks` (N, U): by the sum of the ranks where the truth is 1."""
    positive, negative = truth.sum(), (1 - truth).sum()
    sums = ranks[truth > 0].sum(axis=0, dtype=np.float64)
    aucs: Array = (sums - positive * (positive + 1) / 2) / (positive * negative)
    return aucs


def r2(predicted: Array, truth: Array, weights: Array | None = None) -> float:
    """Share of the truth's variance that predictions (N,) explain; below 0 if they are worse than the mean.

    >>> r2(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
    0.5
    """
    weights = np.ones(len(truth)) if weights is None else weights
    mean = np.average(truth, weights=weights)
    total = float(weights @ (truth - mean) ** 2)
    return 1 - float(weights @ (truth - predicted) ** 2) / total if total else 0.0


def squared_correlations(values: npt.NDArray[np.floating], truth: Array) -> Array:
    """Squared correlation (U,) of each unit's values (N, U) with the truth (N,); 0 for a constant unit."""
    deviation = truth - truth.mean()
    deviation /= np.linalg.norm(deviation)  # so that float32 suffices
    scale = len(truth) * values.var(axis=0, dtype=np.float64)
    covariance = (deviation.astype(values.dtype) @ values).astype(np.float64)
    found: Array = np.divide(covariance**2, scale, out=np.zeros(len(scale)), where=scale > 1e-12)
    return found


def line_through(values: Array, truth: Array) -> tuple[float, float]:
    """Slope and intercept of the least-squares line from values (N,) to the truth (N,)."""
    centred = values - values.mean()
    slope = float(centred @ truth / (centred @ centred)) if centred.any() else 0.0
    return slope, float(truth.mean() - slope * values.mean())


def interval(score: Callable[[Array], float], tokens: int, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of a score by a bootstrap of blocks of neighbouring tokens.

    Args:
        score: Of weights (N,).
        tokens: N.
        seed: Of the draws.
    """
    blocks = np.arange(tokens) // BLOCK
    count = int(blocks[-1]) + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    low, high = np.quantile([score(drawn[blocks].astype(np.float64)) for drawn in draws], COVERAGE)
    return float(low), float(high)

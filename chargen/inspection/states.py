"""Texts or lines as points: principal components and clusters of what a model makes of them.

Shapes: N points, D numbers of each.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

MOST_CLUSTERS = 8
COMPONENTS = 2


@dataclass(frozen=True, eq=False)
class Points:
    """Texts in the plane of their two principal components."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]  # of each text; true ones, or those that the classifier gives; none of lines
    coordinates: Array  # (N, 2)
    explained: Array  # share of the variance along each component (2,)
    clusters: npt.NDArray[np.int64]  # number of each text's cluster (N,)


def arrange(vectors: Array, texts: list[str], labels: tuple[str, ...] = ()) -> Points:
    """Lay out texts by their vectors (N, D), and cluster them."""
    coordinates, explained = principal_components(vectors)
    return Points(tuple(texts), labels, coordinates, explained, cluster(vectors))


def principal_components(vectors: Array, count: int = COMPONENTS) -> tuple[Array, Array]:
    """Coordinates (N, count) along the principal components, and the share of the variance along each (count,).

    The largest coordinate along each is positive, so that the same vectors always give the same picture.

    >>> coordinates, explained = principal_components(np.array([[0.0, 0.0], [3.0, 4.0]]))
    >>> coordinates.round(6).tolist(), explained.round(6).tolist()
    ([[-2.5, 0.0], [2.5, 0.0]], [1.0, 0.0])
    """
    left, scales, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    coordinates = np.zeros((len(vectors), count))
    explained = np.zeros(count)
    kept = min(count, len(scales))
    total = float((scales**2).sum())
    if total:
        coordinates[:, :kept] = (left * scales)[:, :kept]
        explained[:kept] = scales[:kept] ** 2 / total
    peaks = coordinates[len(coordinates) - 1 - np.abs(coordinates[::-1]).argmax(axis=0), np.arange(count)]
    return np.where(peaks < 0, -coordinates, coordinates) + 0.0, explained


def cluster(vectors: Array) -> npt.NDArray[np.int64]:
    """Number (N,) of each vector's cluster by k-means, with the number of clusters that separates them best.

    That is the one with the largest silhouette; of few or equal vectors, all are in one cluster.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import silhouette_score

    best, most = np.zeros(len(vectors), np.int64), 0.0
    for count in range(2, min(MOST_CLUSTERS, len(vectors) - 1) + 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # vectors that are equal
            found = KMeans(count, n_init=4, random_state=0).fit_predict(vectors)
        if len(np.unique(found)) < count:
            break
        if (score := silhouette_score(vectors, found)) > most:
            best, most = found.astype(np.int64), score
    return best

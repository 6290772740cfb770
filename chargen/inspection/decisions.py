"""Which units and which characters carry the decisions of a classifier.

Shapes: N texts, F pooled outputs, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chargen.classification.explaining import Explanation
from chargen.models.config import ClassifierConfig
from chargen.models.units import Unit, pooled_unit

Array = npt.NDArray[np.float64]

SHOWN = 10  # units of a decision


@dataclass(frozen=True)
class Carrier:
    """A pooled output and its share in a decision."""

    unit: Unit
    pooling: str  # final, mean or max
    weight: float  # what it adds to the label's logit, less the mean of what it adds to all; of texts, the mean size


@dataclass(frozen=True)
class Decision:
    """A text, its label, and what speaks for it."""

    text: str
    label: str  # that the classifier gives, by its network alone
    truth: str | None  # None: unknown
    units: tuple[Carrier, ...]  # the strongest, strongest first
    characters: Explanation  # the text in spans, each with the log-odds that the label loses without it


def contributions(pooled: Array, head: Array, label: int) -> Array:
    """What each pooled output (F,) adds to a label's logit, less the mean of what it adds to all.

    Summed, and with the bias treated alike, this is the label's logit less the mean logit.

    Args:
        pooled: Outputs (F,).
        head: The head's weight (K, F).
        label: Number of the label.

    >>> contributions(np.array([1.0, 2.0]), np.array([[1.0, 0.0], [0.0, 1.0]]), 1).tolist()
    [-0.5, 1.0]
    """
    shares: Array = (head[label] - head.mean(axis=0)) * pooled
    return shares


def carriers(shares: Array, config: ClassifierConfig, most: int = SHOWN) -> tuple[Carrier, ...]:
    """The strongest of the shares (F,), with the unit and the pooling that each belongs to."""
    strongest = np.argsort(-np.abs(shares), kind="stable")[:most].tolist()
    return tuple(Carrier(*pooled_unit(output, config), float(shares[output])) for output in strongest)

"""Which unit tells a property of the text best: chosen on one half of a text, and measured on the other.

Beside it stand the best unit of an untrained network, chosen in the same way, and what the last three characters
tell. A unit that is no better than the first was found by chance; one that is no better than the second need not
remember anything.

Shapes: N tokens, U units of all layers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from chargen.inspection.passage import Passage
from chargen.inspection.properties import PROPERTIES, Property
from chargen.inspection.scores import (
    BLOCK,
    Array,
    all_aucs,
    auc,
    average_ranks,
    groups_of,
    interval,
    line_through,
    r2,
    squared_correlations,
)
from chargen.models.units import Unit

Activations = npt.NDArray[np.float32]  # (N, U), the units of each layer side by side

Indices = npt.NDArray[np.intp]

STRETCH = 2 * BLOCK  # tokens of a half in a row
LEAST_BLOCKS = 4  # of a half, or its interval would say nothing
LEAST = 20  # tokens of a half that must have the property, and that must not
LEAST_RUNS = 5  # times that it must begin there
CONTEXT = 3  # characters
PRIOR = 2.0  # how many observations a shorter context counts as


@dataclass(frozen=True)
class Told:
    """How well a unit tells a property, on the half of the text that did not choose it."""

    unit: Unit
    rises: bool  # with the property; else it falls
    score: float  # AUC or R²
    low: float  # of the 95 % interval
    high: float


@dataclass(frozen=True)
class Finding:
    """A property and the unit that tells it best."""

    name: str
    is_number: bool  # scores are R², else AUC
    mean: float  # of the property: how often it is so, or the mean number
    best: Told
    untrained: Told
    last_three: float  # score of the last three characters alone

    @property
    def is_learned(self) -> bool:
        """Whether the interval is above that of the untrained network."""
        return self.best.low > self.untrained.high

    @property
    def is_remembered(self) -> bool:
        """Whether the interval is above what the last three characters tell."""
        return self.best.low > self.last_three


@dataclass(frozen=True)
class LeftOut:
    """A property that the text cannot measure."""

    name: str
    why: str


@dataclass(frozen=True)
class Probed:
    """All that was looked for."""

    properties: tuple[Finding, ...]  # that the text can measure
    left_out: tuple[LeftOut, ...]
    tokens: int  # from the first on


def probe(
    passage: Passage,
    trained: Activations,
    untrained: Activations,
    units_per_layer: int,
    wanted: Sequence[Property] = PROPERTIES,
) -> Probed:
    """Find the best unit for each property.

    Args:
        passage: The text.
        trained: Activations at its first N tokens.
        untrained: Of an untrained network of the same shape.
        units_per_layer: To number the units.
        wanted: Properties to look for.
    """
    tokens = len(trained)
    contexts = [passage.text[max(0, end - CONTEXT) : end] for end in passage.ends[:tokens].tolist()]
    networks = [Network.of(units, units_per_layer) for units in (trained, untrained)]
    found, left_out = [], []
    for one in wanted:
        values = passage.at_tokens(one.of(passage.text))[:tokens]
        if why := why_left_out(values):
            left_out.append(LeftOut(one.name, why))
            continue
        best, control = (network.best_unit(values, one.is_number) for network in networks)
        last_three = score_of_contexts(contexts, values, one.is_number)
        found.append(Finding(one.name, one.is_number, float(values.mean()), best, control, last_three))
    return Probed(tuple(found), tuple(left_out), tokens)


@dataclass(frozen=True, eq=False)
class Network:
    """What a network did, as units are chosen and measured by it."""

    units: Activations
    ranks: Activations  # of each unit's values on the half that chooses
    units_per_layer: int

    @classmethod
    def of(cls, units: Activations, units_per_layer: int) -> Network:
        """Rank the values once, for all properties."""
        return cls(units, average_ranks(units[halves(len(units))[0]]), units_per_layer)

    def best_unit(self, values: Array, is_number: bool) -> Told:
        """Choose a unit on one half of the tokens by a property (N,), and measure it on the other."""
        first, second = halves(len(values))
        if is_number:
            strength = squared_correlations(self.units[first], values[first])
            chosen = int(strength.argmax())
            slope, intercept = line_through(self.units[first, chosen].astype(np.float64), values[first])
            score = partial(r2, np.float64(slope) * self.units[second, chosen] + intercept, values[second])
            rises = slope > 0
        else:
            aucs = all_aucs(self.ranks, values[first])
            chosen = int(np.abs(aucs - 0.5).argmax())
            rises = bool(aucs[chosen] > 0.5)
            own = self.units[second, chosen]
            score = partial(auc, groups_of(own if rises else -own), values[second])
        low, high = interval(score, len(values[second]))
        return Told(Unit(*divmod(chosen, self.units_per_layer)), rises, score(), low, high)


def why_left_out(values: Array) -> str:
    """Why a property (N,) cannot be measured; empty if it can.

    >>> why_left_out(np.zeros(3000))
    'nearly always the same in this text'
    """
    for half in halves(len(values)):
        own = values[half]
        if len(own) < LEAST_BLOCKS * BLOCK:
            return "the text is too short"
        common = np.median(own) if len(np.unique(own)) > 2 else 0.0
        differs = own != common
        begins = int((np.diff(own) != 0).sum()) // 2
        if min(differs.sum(), (~differs).sum()) < LEAST or begins < LEAST_RUNS:
            return "nearly always the same in this text"
    return ""


def score_of_contexts(contexts: Sequence[str], values: Array, is_number: bool) -> float:
    """The score of the last three characters (N strings): of the mean after them, on the other half of the text.

    A context that is rare in the first half leans on the shorter one.
    """
    first, second = halves(len(values))
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for context, value in ((contexts[i], float(values[i])) for i in first):
        for length in range(len(context) + 1):
            shorter = context[len(context) - length :]
            sums[shorter] += value
            counts[shorter] += 1

    def expected(context: str) -> float:
        mean = sums[""] / counts[""]
        for length in range(1, len(context) + 1):
            shorter = context[len(context) - length :]
            if shorter not in counts:
                break
            mean = (sums[shorter] + PRIOR * mean) / (counts[shorter] + PRIOR)
        return mean

    predicted = np.array([expected(contexts[i]) for i in second])
    return r2(predicted, values[second]) if is_number else auc(groups_of(predicted), values[second])


def halves(tokens: int) -> tuple[Indices, Indices]:
    """The indices of the first half and of the second, stretches of STRETCH tokens in turn.

    So both halves are of the same mixture, though a text is of many parts, such as files or scenes.
    """
    stretch = np.arange(tokens) // max(1, min(STRETCH, tokens // 2))
    return np.flatnonzero(stretch % 2 == 0), np.flatnonzero(stretch % 2 == 1)

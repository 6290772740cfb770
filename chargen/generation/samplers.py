"""From logits to an id: pure functions of an array (…, V), which none of them changes.

`probabilities` composes them in this order, and `draw` turns its result and one uniform number into an id:

    bias -> repetition penalty -> temperature -> top-k -> top-p -> min-p -> typical -> softmax -> draw

A symbol that a filter drops has the logit -inf from then on, so each filter judges what the one before it left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
Ids = npt.NDArray[np.integer[Any]]

COLDEST = 1e-3  # the lowest temperature that is not greedy: logits divided by less could overflow


@dataclass(frozen=True)
class Sampling:
    """How the next symbol is chosen. ChargenError when a setting is out of range or contradicts another.

    The default is temperature 0.8 and nothing else: a small model of characters gives each unlikely symbol a little
    too much, and one misspelling derails what follows. Lower ones write more real words, and fewer different ones.
    """

    temperature: float = 0.8  # 0 always takes the likeliest symbol
    top_k: int | None = None  # symbols kept
    top_p: float | None = None  # probability kept
    min_p: float | None = None  # share of the likeliest symbol's probability that a symbol must have
    typical: float | None = None  # probability kept, of the symbols nearest to the entropy
    repetition_penalty: float = 1.0  # above 1 makes symbols that have just occurred rarer
    repetition_window: int = 64  # symbols that count as having just occurred

    def __post_init__(self) -> None:
        if not (self.temperature == 0 or COLDEST <= self.temperature < math.inf):
            raise ChargenError(
                f"temperature is {self.temperature}, but must be 0 (always the likeliest) or at least {COLDEST}"
            )
        if self.top_k is not None and not self.top_k >= 1:
            raise ChargenError(f"top-k is {self.top_k}, but at least 1 symbol must be kept")
        for name, value in (("top-p", self.top_p), ("min-p", self.min_p), ("typical", self.typical)):
            if value is not None and not 0 < value <= 1:
                raise ChargenError(f"{name} is {value}, but must be a probability above 0 and at most 1")
        if not 0 < self.repetition_penalty < math.inf:
            raise ChargenError(
                f"the repetition penalty is {self.repetition_penalty}, but must be a number above 0 (1 does nothing)"
            )
        if not self.repetition_window >= 1:
            raise ChargenError(f"the repetition window is {self.repetition_window}, but must be at least 1 symbol")
        idle = [name for name in ("top_k", "top_p", "min_p", "typical") if getattr(self, name) is not None]
        if self.temperature == 0 and idle:
            raise ChargenError(
                f"temperature 0 always takes the likeliest symbol, so {idle[0].replace('_', '-')} has nothing to "
                "choose from: leave out one of the two"
            )


def probabilities(
    logits: Floats, sampling: Sampling, *, bias: Floats | None = None, recent: Ids | None = None
) -> Array:
    """The distribution that the next symbol is drawn from.

    logits (…, V); bias (V,) or (…, V), added first, -inf forbids; recent (…, W), ids for the repetition penalty;
    returns (…, V), float64, each row summing to 1.
    """
    scores = logits.astype(np.float64) if bias is None else np.add(logits, bias, dtype=np.float64)
    if recent is not None and sampling.repetition_penalty != 1:
        scores = repetition_penalty(scores, recent, sampling.repetition_penalty)
    if sampling.temperature == 0:
        return greedy(scores)
    if sampling.temperature != 1:
        scores = scores / sampling.temperature
    if sampling.top_k is not None:
        scores = top_k(scores, sampling.top_k)
    if sampling.top_p is not None:
        scores = top_p(scores, sampling.top_p)
    if sampling.min_p is not None:
        scores = min_p(scores, sampling.min_p)
    if sampling.typical is not None:
        scores = typical(scores, sampling.typical)
    return softmax(scores)


def draw(probabilities: Floats, uniform: Floats) -> Ids:
    """Ids (…) where the cumulative distribution of probabilities (…, V) passes uniform (…), numbers of [0, 1).

    A symbol of probability 0 is never drawn. The same numbers give the same ids whichever engine made the logits.
    """
    cumulative = np.add.accumulate(probabilities, axis=-1)
    passed = cumulative > cumulative[..., -1:] * uniform[..., None]
    ids: Ids = passed.argmax(axis=-1)
    return ids


def softmax(scores: Floats) -> Array:
    """Probabilities (…, V) of scores (…, V), the maximum taken off before `exp`."""
    powers = np.subtract(scores, np.maximum.reduce(scores, axis=-1, keepdims=True), dtype=np.float64)
    np.exp(powers, out=powers)
    powers /= np.add.reduce(powers, axis=-1, keepdims=True)
    return powers


def log_softmax(scores: Floats) -> Array:
    """Log-probabilities (…, V) in nats of scores (…, V)."""
    shifted = scores.astype(np.float64) - np.maximum.reduce(scores, axis=-1, keepdims=True)
    shifted -= np.log(np.add.reduce(np.exp(shifted), axis=-1, keepdims=True))
    return shifted


def greedy(scores: Floats) -> Array:
    """All probability on the largest score; on the lowest id among equals."""
    chosen = np.zeros(scores.shape, dtype=np.float64)
    np.put_along_axis(chosen, scores.argmax(axis=-1)[..., None], 1.0, axis=-1)
    return chosen


def repetition_penalty(scores: Floats, recent: Ids, penalty: float) -> Floats:
    """Scores of the ids in recent (…, W) made smaller: divided by penalty if positive, else multiplied by it.

    Keskar et al. 2019, arXiv:1909.05858; the paper divides only, which would favour symbols with negative scores.
    """
    seen = np.take_along_axis(scores, recent, axis=-1)
    penalised = scores.copy()
    np.put_along_axis(penalised, recent, np.where(seen > 0, seen / penalty, seen * penalty), axis=-1)
    return penalised


def top_k(scores: Floats, k: int) -> Floats:
    """Keep the k largest scores, and any that equal the smallest of them."""
    if k >= scores.shape[-1]:
        return scores
    smallest = np.partition(scores, -k, axis=-1)[..., -k, None]
    return np.where(scores >= smallest, scores, -np.inf)


def top_p(scores: Floats, p: float) -> Floats:
    """Keep the fewest symbols whose probabilities reach p (nucleus; Holtzman et al. 2020, arXiv:1904.09751)."""
    likelihood = softmax(scores)
    return _keep_until(scores, likelihood, p, np.argsort(-likelihood, axis=-1, kind="stable"))


def min_p(scores: Floats, p: float) -> Floats:
    """Keep symbols at least p times as likely as the likeliest (Nguyen et al. 2024, arXiv:2407.01082)."""
    threshold = np.maximum.reduce(scores, axis=-1, keepdims=True) + math.log(p)
    return np.where(scores >= threshold, scores, -np.inf)


def typical(scores: Floats, p: float) -> Floats:
    """Keep the symbols whose surprise is nearest to the entropy, the fewest whose probabilities reach p.

    Meister et al. 2022, arXiv:2202.00666.
    """
    likelihood = softmax(scores)
    surprise = -np.log(np.maximum(likelihood, np.finfo(np.float64).tiny))
    entropy = np.sum(likelihood * surprise, axis=-1, keepdims=True)
    return _keep_until(scores, likelihood, p, np.argsort(np.abs(surprise - entropy), axis=-1, kind="stable"))


def _keep_until(scores: Floats, likelihood: Array, p: float, order: Ids) -> Floats:
    """Keep symbols in an order (…, V) of preference until their probabilities reach p; at least one."""
    ordered = np.take_along_axis(likelihood, order, axis=-1)
    before = np.cumsum(ordered, axis=-1) - ordered  # what those in front of a symbol add up to
    kept = np.empty(scores.shape, dtype=bool)
    np.put_along_axis(kept, order, before < p, axis=-1)
    return np.where(kept, scores, -np.inf)

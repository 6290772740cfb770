"""From logits to a token: pure functions of arrays (…, V), which they leave unchanged.

`token_probs` applies them in this order, and `draw` turns its result and a uniform random number into an id:

    bias -> repetition penalty -> temperature -> top-k -> top-p -> min-p -> typical -> softmax -> draw

A filter sets the logits of the tokens it drops to -inf, so the next filter works with what is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from chargen.declared import as_declared
from chargen.errors import ChargenError

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
Ids = npt.NDArray[np.integer[Any]]

COLDEST = 1e-3  # lowest temperature above 0: logits divided by less could overflow
STRONGEST = 1e6  # repetition penalty, for the same reason


@dataclass(frozen=True)
class Sampling:
    """How to choose the next token.

    The default is a temperature of 0.8 and no filter: a small model of characters gives unlikely tokens slightly too
    much probability, and one misspelling derails the text after it. Lower temperatures write more real words, but
    fewer different ones.

    Raises:
        ChargenError: A setting is out of range, or contradicts another.

    >>> token_probs(np.log([0.5, 0.3, 0.2]), Sampling(temperature=1, top_k=2))
    array([0.625, 0.375, 0.   ])
    """

    temperature: float = 0.8  # 0 always takes the likeliest token
    top_k: int | None = None  # number of tokens to keep
    top_p: float | None = None  # probability to keep
    min_p: float | None = None  # least probability to keep, as a fraction of the likeliest token's
    typical: float | None = None  # probability to keep, of the tokens whose surprise is nearest to the entropy
    repetition_penalty: float = 1.0  # above 1, recent tokens become less likely
    repetition_window: int = 64  # number of last tokens that count as recent

    def __post_init__(self) -> None:
        for declared in fields(self):
            value = as_declared(declared.name, str(declared.type), getattr(self, declared.name))
            object.__setattr__(self, declared.name, value)
        if not (self.temperature == 0 or COLDEST <= self.temperature < math.inf):
            raise ChargenError(
                f"temperature is {self.temperature}, but must be 0 (always the likeliest) or at least {COLDEST}"
            )
        if self.top_k is not None and not self.top_k >= 1:
            raise ChargenError(f"top-k is {self.top_k}, but must keep at least 1 token")
        for name, value in (("top-p", self.top_p), ("min-p", self.min_p), ("typical", self.typical)):
            if value is not None and not 0 < value <= 1:
                raise ChargenError(f"{name} is {value}, but must be a probability above 0 and at most 1")
        if not 1 / STRONGEST <= self.repetition_penalty <= STRONGEST:
            raise ChargenError(
                f"the repetition penalty is {self.repetition_penalty}, but must be a number from {1 / STRONGEST} to "
                f"{STRONGEST:g} (1 does nothing)"
            )
        if not self.repetition_window >= 1:
            raise ChargenError(f"the repetition window is {self.repetition_window}, but must be at least 1 token")
        filters = [name for name in ("top_k", "top_p", "min_p", "typical") if getattr(self, name) is not None]
        if self.temperature == 0 and filters:
            raise ChargenError(
                f"temperature 0 always takes the likeliest token, so {filters[0].replace('_', '-')} has nothing to "
                "choose from: leave out one of the two"
            )


def token_probs(
    logits: Floats, sampling: Sampling, *, bias: Floats | None = None, recent: Ids | None = None
) -> Array:
    """Compute the distribution that the next token is drawn from.

    Args:
        logits: (…, V).
        sampling: The settings.
        bias: Added to the logits first, (V,) or (…, V); -inf forbids a token.
        recent: Ids (…, W) for the repetition penalty; None: no penalty.

    Returns:
        Probabilities (…, V), float64, each row summing to 1.

    >>> token_probs(np.log([0.5, 0.3, 0.2]), Sampling(temperature=1), bias=np.array([-np.inf, 0, 0]))
    array([0. , 0.6, 0.4])
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


def draw(probs: Floats, uniform: Floats) -> Ids:
    """Draw a token from each distribution: the first one whose cumulative probability exceeds a random number.

    Tokens of probability 0 are never drawn. The same numbers give the same ids, whichever engine computed the logits.

    Args:
        probs: (…, V).
        uniform: Random numbers (…) in [0, 1).

    Returns:
        Ids (…).

    >>> draw(np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), np.array([0.4, 0.9]))
    array([0, 2])
    """
    cumulative = np.add.accumulate(probs, axis=-1)
    is_above = cumulative > cumulative[..., -1:] * uniform[..., None]
    ids: Ids = is_above.argmax(axis=-1)
    return ids


def softmax(scores: Floats) -> Array:
    """Turn scores (…, V) into probabilities (…, V), float64.

    >>> softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    exps = np.subtract(scores, np.maximum.reduce(scores, axis=-1, keepdims=True), dtype=np.float64)
    np.exp(exps, out=exps)
    exps /= np.add.reduce(exps, axis=-1, keepdims=True)
    return exps


def log_softmax(scores: Floats) -> Array:
    """Turn scores (…, V) into log-probabilities (…, V) in nats, float64.

    >>> log_softmax(np.array([1000.0, 1000.0])).round(2)
    array([-0.69, -0.69])
    """
    shifted = scores.astype(np.float64) - np.maximum.reduce(scores, axis=-1, keepdims=True)
    shifted -= np.log(np.add.reduce(np.exp(shifted), axis=-1, keepdims=True))
    return shifted


def greedy(scores: Floats) -> Array:
    """Give all probability (…, V) to the largest score (…, V); to the lowest id if several are equal.

    >>> greedy(np.array([0.1, 0.7, 0.2]))
    array([0., 1., 0.])
    """
    probs = np.zeros(scores.shape, dtype=np.float64)
    np.put_along_axis(probs, scores.argmax(axis=-1)[..., None], 1.0, axis=-1)
    return probs


def repetition_penalty(scores: Floats, recent: Ids, penalty: float) -> Floats:
    """Lower the scores of recent tokens: divide positive scores by the penalty, multiply negative ones by it.

    Args:
        scores: (…, V).
        recent: Ids (…, W).
        penalty: Above 1 lowers scores, below 1 raises them.

    Returns:
        Scores (…, V).

    Keskar et al. 2019, arXiv:1909.05858; they only divide, which raises negative scores.

    >>> repetition_penalty(np.array([3.0, -1.0, 1.0]), np.array([0, 1]), 2.0)
    array([ 1.5, -2. ,  1. ])
    """
    seen = np.take_along_axis(scores, recent, axis=-1)
    penalised = scores.copy()
    np.put_along_axis(penalised, recent, np.where(seen > 0, seen / penalty, seen * penalty), axis=-1)
    return penalised


def top_k(scores: Floats, k: int) -> Floats:
    """Keep the k largest scores (…, V), and any that equal the smallest of them.

    >>> top_k(np.array([0.1, 0.7, 0.2]), 2)
    array([-inf,  0.7,  0.2])
    """
    if k >= scores.shape[-1]:
        return scores
    threshold = np.partition(scores, -k, axis=-1)[..., -k, None]
    return np.where(scores >= threshold, scores, -np.inf)


def top_p(scores: Floats, p: float) -> Floats:
    """Keep the fewest tokens whose probabilities sum to at least p (nucleus sampling).

    Args:
        scores: (…, V).
        p: Probability to keep, in (0, 1].

    Returns:
        Scores (…, V), those of dropped tokens being -inf.

    Holtzman et al. 2020, arXiv:1904.09751.

    >>> softmax(top_p(np.log([0.6, 0.3, 0.1]), 0.8)).round(2)
    array([0.67, 0.33, 0.  ])
    """
    probs = softmax(scores)
    return _keep_until(scores, probs, p, np.argsort(-probs, axis=-1, kind="stable"))


def min_p(scores: Floats, p: float) -> Floats:
    """Keep the tokens that are at least p times as likely as the likeliest one.

    Args:
        scores: (…, V).
        p: In (0, 1].

    Returns:
        Scores (…, V), those of dropped tokens being -inf.

    Nguyen et al. 2024, arXiv:2407.01082.

    >>> softmax(min_p(np.log([0.6, 0.3, 0.1]), 0.4)).round(2)
    array([0.67, 0.33, 0.  ])
    """
    threshold = np.maximum.reduce(scores, axis=-1, keepdims=True) + math.log(p)
    return np.where(scores >= threshold, scores, -np.inf)


def typical(scores: Floats, p: float) -> Floats:
    """Keep the fewest tokens whose probabilities sum to at least p, those with surprise nearest to the entropy first.

    Args:
        scores: (…, V).
        p: Probability to keep, in (0, 1].

    Returns:
        Scores (…, V), those of dropped tokens being -inf.

    Meister et al. 2022, arXiv:2202.00666.

    >>> softmax(typical(np.log([0.6, 0.3, 0.1]), 0.2)).round(2)  # 1.2 nats are nearer to the entropy of 0.9 than 0.5
    array([0., 1., 0.])
    """
    probs = softmax(scores)
    surprise = -np.log(np.maximum(probs, np.finfo(np.float64).tiny))
    entropy = np.sum(probs * surprise, axis=-1, keepdims=True)
    return _keep_until(scores, probs, p, np.argsort(np.abs(surprise - entropy), axis=-1, kind="stable"))


def _keep_until(scores: Floats, probs: Array, p: float, order: Ids) -> Floats:
    """Keep tokens in this order (…, V) until their probabilities sum to at least p; at least one token."""
    ordered = np.take_along_axis(probs, order, axis=-1)
    before = np.cumsum(ordered, axis=-1) - ordered  # sum of the probabilities of the tokens before each token
    kept = np.empty(scores.shape, dtype=bool)
    np.put_along_axis(kept, order, before < p, axis=-1)
    return np.where(kept, scores, -np.inf)

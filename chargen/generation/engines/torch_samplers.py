"""The samplers on a device: twins of those in `samplers`, in the same order and double precision, without waiting.

Shapes: B streams, V vocabulary. What each filter does is said there; tests hold the two together.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chargen.generation.samplers import Sampling


def probabilities(logits: Tensor, sampling: Sampling, bias: Tensor) -> Tensor:
    """The distribution (B, V), float64, of logits (B, V) and a bias (V,), without repetition penalty."""
    scores = logits.double() + bias
    if sampling.temperature == 0:
        return torch.zeros_like(scores).scatter_(-1, scores.argmax(dim=-1, keepdim=True), 1.0)
    scores = scores / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < scores.shape[-1]:
        smallest = scores.topk(sampling.top_k).values[..., -1:]
        scores = scores.masked_fill(scores < smallest, -math.inf)
    if sampling.top_p is not None:
        likelihood = scores.softmax(dim=-1)
        scores = _keep_until(scores, likelihood, sampling.top_p, -likelihood)
    if sampling.min_p is not None:
        least = scores.amax(dim=-1, keepdim=True) + math.log(sampling.min_p)
        scores = scores.masked_fill(scores < least, -math.inf)
    if sampling.typical is not None:
        likelihood = scores.softmax(dim=-1)
        surprise = -likelihood.clamp(min=torch.finfo(torch.float64).tiny).log()
        entropy = (likelihood * surprise).sum(dim=-1, keepdim=True)
        scores = _keep_until(scores, likelihood, sampling.typical, (surprise - entropy).abs())
    return scores.softmax(dim=-1)


def draw(weights: Tensor, uniform: Tensor) -> Tensor:
    """Ids (B,) where the cumulative distribution of weights (B, V) passes uniform (B,)."""
    cumulative = weights.cumsum(dim=-1)
    return (cumulative <= cumulative[..., -1:] * uniform[..., None]).sum(dim=-1)


def _keep_until(scores: Tensor, likelihood: Tensor, p: float, preference: Tensor) -> Tensor:
    """Keep symbols by preference (B, V), lowest first, until their probabilities reach p; at least one."""
    order = preference.argsort(dim=-1, stable=True)
    ordered = likelihood.gather(-1, order)
    before = ordered.cumsum(dim=-1) - ordered
    kept = torch.zeros_like(scores, dtype=torch.bool).scatter(-1, order, before < p)
    return scores.masked_fill(~kept, -math.inf)

"""The samplers in torch: twins of those in `samplers`, in float64. They never make the host wait for a GPU.

Shapes: B streams, V vocabulary. `samplers` explains each filter; tests check that both agree.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chargen.generation.samplers import Sampling


def token_probs(logits: Tensor, sampling: Sampling, bias: Tensor) -> Tensor:
    """Compute the distribution that the next token is drawn from, without repetition penalty.

    Args:
        logits: (B, V).
        sampling: The settings.
        bias: Added to the logits first (V,); -inf forbids a token.

    Returns:
        Probabilities (B, V), float64.

    >>> token_probs(torch.tensor([[0.0, 1.0, 1.0]]), Sampling(top_k=2), torch.zeros(3)).tolist()
    [[0.0, 0.5, 0.5]]
    """
    scores = logits.double() + bias
    if sampling.temperature == 0:
        return torch.zeros_like(scores).scatter_(-1, scores.argmax(dim=-1, keepdim=True), 1.0)
    scores = scores / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < scores.shape[-1]:
        threshold = scores.topk(sampling.top_k).values[..., -1:]
        scores = scores.masked_fill(scores < threshold, -math.inf)
    if sampling.top_p is not None:
        probs = scores.softmax(dim=-1)
        scores = _keep_until(scores, probs, sampling.top_p, -probs)
    if sampling.min_p is not None:
        threshold = scores.amax(dim=-1, keepdim=True) + math.log(sampling.min_p)
        scores = scores.masked_fill(scores < threshold, -math.inf)
    if sampling.typical is not None:
        probs = scores.softmax(dim=-1)
        surprise = -probs.clamp(min=torch.finfo(torch.float64).tiny).log()
        entropy = (probs * surprise).sum(dim=-1, keepdim=True)
        scores = _keep_until(scores, probs, sampling.typical, (surprise - entropy).abs())
    return scores.softmax(dim=-1)


def draw(probs: Tensor, uniform: Tensor) -> Tensor:
    """Draw ids (B,) from distributions (B, V) by random numbers (B,) in [0, 1).

    >>> draw(torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([0.9])).tolist()
    [2]
    """
    cumulative = probs.cumsum(dim=-1)
    return (cumulative <= cumulative[..., -1:] * uniform[..., None]).sum(dim=-1)


def _keep_until(scores: Tensor, probs: Tensor, p: float, preference: Tensor) -> Tensor:
    """Keep tokens by preference (B, V), lowest first, until their probabilities sum to at least p; at least one."""
    order = preference.argsort(dim=-1, stable=True)
    ordered = probs.gather(-1, order)
    before = ordered.cumsum(dim=-1) - ordered
    kept = torch.zeros_like(scores, dtype=torch.bool).scatter(-1, order, before < p)
    return scores.masked_fill(~kept, -math.inf)

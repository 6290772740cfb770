"""Dynamic evaluation: a language model that goes on learning from the text it is measured on, as it reads it.

Krause et al. 2018, arXiv:1709.07432, with their RMS gradients and decay to the trained weights. Each window is scored
before the weights move, so nothing is known of a symbol when it is predicted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from chargen.errors import ChargenError
from chargen.evaluation.losses import TextLoss
from chargen.models.language_model import LanguageModel
from chargen.text.tokenizers.base import Tokenizer

SAMPLED = 500  # windows of the training text that the gradients' usual size is taken from
EPSILON = 1e-5  # added to that size, so that weights that hardly ever have a gradient do not jump


@dataclass(frozen=True)
class Adaptation:
    """How fast weights follow the text."""

    rate: float = 2e-4  # of the weights, in units of their gradients' usual size
    decay: float = 3e-3  # share of the way back to the trained weights, each window
    window: int = 32  # tokens between updates

    def __post_init__(self) -> None:
        if not (0 < self.rate < math.inf and 0 <= self.decay <= 1 and self.window >= 1):
            raise ChargenError(f"{self} is out of range: rate must be above 0, decay from 0 to 1, window at least 1")


def dynamic_loss(
    model: LanguageModel,
    tokenizer: Tokenizer,
    ids: np.ndarray,
    training_ids: np.ndarray,
    adaptation: Adaptation | None = None,
    progress: Callable[[float], object] | None = None,
) -> TextLoss:
    """What the model needs for ids (N,), N at least 2, adapting as it reads; the model itself stays as it is.

    training_ids (M,), M at least 2, are of the text it was trained on. `progress` is told the share, 0 to 1, done.
    """
    how = adaptation or Adaptation()
    sizes = gradient_rms(model, training_ids, how.window)
    mean = torch.cat([size.flatten() for size in sizes]).mean()
    home = [weight.detach().clone() for weight in model.parameters()]
    back = [(how.decay * size / mean).clamp(max=1.0) for size in sizes]
    adapted = _copy(model)
    nats = 0.0
    for done, (loss, tokens) in enumerate(_read(adapted, ids, how.window), start=1):
        nats += loss.item() * tokens
        gradients = torch.autograd.grad(loss, list(adapted.parameters()))
        with torch.no_grad():
            for weight, gradient, size, share, start in zip(
                adapted.parameters(), gradients, sizes, back, home, strict=True
            ):
                weight.sub_(gradient / (size + EPSILON), alpha=how.rate).addcmul_(start - weight, share)
        if progress:
            progress(min(1.0, done * how.window / (len(ids) - 1)))
    return TextLoss(nats, len(ids) - 1, tokenizer.count_characters(ids[1:]))


def gradient_rms(model: LanguageModel, ids: np.ndarray, window: int) -> list[Tensor]:
    """The root of the mean square of each weight's gradient over windows spread evenly over ids (M,)."""
    copied = _copy(model)
    weights = list(copied.parameters())
    squares = [torch.zeros_like(weight) for weight in weights]
    windows = max(1, min(SAMPLED, (len(ids) - 1) // window))
    for start in np.linspace(0, max(0, len(ids) - 1 - window), windows).astype(int).tolist():
        ((loss, _),) = _read(copied, ids[start : start + window + 1], window)
        for square, gradient in zip(squares, torch.autograd.grad(loss, weights), strict=True):
            square.addcmul_(gradient, gradient)
    return [(square / windows).sqrt() for square in squares]


def _copy(model: LanguageModel) -> LanguageModel:
    """A copy in training mode, which cuDNN's way back needs."""
    copied = deepcopy(model).train()
    for layer in copied.encoder.layers:
        layer.compact()
    return copied


def _read(model: LanguageModel, ids: np.ndarray, window: int) -> Iterator[tuple[Tensor, int]]:
    """Mean loss of each window of ids (N,), by the weights as they are when it is asked for, and its tokens."""
    device = model.projection.bias.device
    state = model.encoder.initial_state(1)
    for start in range(0, len(ids) - 1, window):
        tokens = torch.from_numpy(ids[start : start + window + 1].astype(np.int64)).to(device)[:, None]
        logits, after = model(tokens[:-1], state)
        state = tuple(tuple(part.detach() for part in layer) for layer in after)
        yield cross_entropy(logits[:, 0], tokens[1:, 0]), len(tokens) - 1

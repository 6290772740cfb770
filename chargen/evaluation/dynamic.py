"""Dynamic evaluation: a model that keeps learning from the text it is evaluated on.

Krause et al. 2018, arXiv:1709.07432, with their RMS gradients and decay to the trained weights. Each window is scored
before the weights are updated, so no token is learned from before it is predicted.
"""

from __future__ import annotations

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

SAMPLED = 500  # windows of the training text used to estimate the RMS of gradients
EPSILON = 1e-5  # added to the RMS, so that weights that rarely have a gradient do not jump


@dataclass(frozen=True)
class Adaptation:
    """How fast the weights adapt to the text."""

    rate: float = 2e-4  # learning rate, for gradients divided by their RMS
    decay: float = 3e-3  # fraction of the distance to the trained weights undone per window
    window: int = 32  # tokens between updates

    def __post_init__(self) -> None:
        if not (1e-12 <= self.rate <= 1e12 and 0 <= self.decay <= 1 and self.window >= 1):
            raise ChargenError(
                "dynamic evaluation needs a rate from 1e-12 to 1e12, a decay from 0 to 1 and a window of at least 1, "
                f"not {self.rate:g}, {self.decay:g} and {self.window}"
            )


def dynamic_loss(
    model: LanguageModel,
    tokenizer: Tokenizer,
    ids: np.ndarray,
    training_ids: np.ndarray,
    adaptation: Adaptation | None = None,
    progress: Callable[[float], object] | None = None,
) -> TextLoss:
    """Cross-entropy of `ids` under a copy of the model that adapts as it reads; the model itself is not changed.

    Args:
        model: The language model.
        tokenizer: Its tokenizer.
        ids: The text (N,), N at least 2.
        training_ids: Text that the model was trained on (M,), M at least 2.
        adaptation: How fast to adapt.
        progress: Called with the fraction done, 0 to 1.
    """
    settings = adaptation or Adaptation()
    rms = gradient_rms(model, training_ids, settings.window)
    mean = torch.cat([part.flatten() for part in rms]).mean()
    trained = [weight.detach().clone() for weight in model.parameters()]
    decays = [(settings.decay * part / mean).clamp(max=1.0) for part in rms]
    adapted = _copy(model)
    nats = 0.0
    for done, (loss, tokens) in enumerate(_read(adapted, ids, settings.window), start=1):
        nats += loss.item() * tokens
        gradients = torch.autograd.grad(loss, list(adapted.parameters()))
        with torch.no_grad():
            for weight, gradient, size, decay, target in zip(
                adapted.parameters(), gradients, rms, decays, trained, strict=True
            ):
                weight.sub_(gradient / (size + EPSILON), alpha=settings.rate).addcmul_(target - weight, decay)
        if progress:
            progress(min(1.0, done * settings.window / (len(ids) - 1)))
    return TextLoss(nats, len(ids) - 1, tokenizer.count_characters(ids[1:]))


def gradient_rms(model: LanguageModel, ids: np.ndarray, window: int) -> list[Tensor]:
    """Root mean square of each weight's gradient.

    Args:
        model: The language model.
        ids: Text that it was trained on (M,); windows are spread evenly over it.
        window: Tokens per gradient.

    Returns:
        A tensor in the shape of each parameter.
    """
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
    """A copy in training mode, which cuDNN's RNN backward needs."""
    copied = deepcopy(model).train()
    for layer in copied.encoder.stack.layers:
        layer.compact()
    return copied


def _read(model: LanguageModel, ids: np.ndarray, window: int) -> Iterator[tuple[Tensor, int]]:
    """Yield mean loss and number of tokens of each window of ids (N,), under the weights at that time."""
    device = model.projection.bias.device
    state = model.encoder.initial_state(1)
    for start in range(0, len(ids) - 1, window):
        tokens = torch.from_numpy(ids[start : start + window + 1].astype(np.int64)).to(device)[:, None]
        logits, after = model(tokens[:-1], state)
        state = tuple(tuple(part.detach() for part in layer) for layer in after)
        yield cross_entropy(logits[:, 0], tokens[1:, 0]), len(tokens) - 1

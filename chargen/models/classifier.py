"""The classifier: which label a text has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from chargen.models.config import ClassifierConfig
from chargen.models.dropout import NO_MASKS, Masks
from chargen.models.encoder import Encoder
from chargen.text.labelled import batches_by_length, pad
from chargen.workers import ONE_WORKER, Workers


class Classifier(nn.Module):
    """An encoder, its outputs pooled over each text, and a linear head."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.head = nn.Linear(config.pooled_size, config.num_labels)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, lengths: Tensor, masks: Masks = NO_MASKS) -> Tensor:
        """Logits (B, labels) of texts padded to ids (T, B), the first `lengths` (B,) steps of each its own."""
        logits: Tensor = self.head(self.pooled(ids, lengths, masks))
        return logits

    def pooled(self, ids: Tensor, lengths: Tensor, masks: Masks = NO_MASKS) -> Tensor:
        """What the head reads of the same texts: their outputs, pooled (B, pooled size)."""
        outputs, _ = self.encoder(ids, lengths=lengths, masks=masks)
        return pool(outputs, lengths, self.config)


def pool(outputs: Tensor, lengths: Tensor, config: ClassifierConfig) -> Tensor:
    """Outputs (T, B, ·) of texts of `lengths` (B,) to one vector a text, padding left out.

    `final`: after the last symbol, and for the way back after the first; `mean` and `max` over the text; `concat`:
    all three side by side, as in ULMFiT (Howard & Ruder 2018, arXiv:1801.06146).
    """
    streams = torch.arange(len(lengths), device=outputs.device)
    final = outputs[lengths - 1, streams]  # (B, ·)
    if config.encoder.bidirectional:
        hidden = config.encoder.hidden_size
        final = torch.cat([final[:, :hidden], outputs[0, :, hidden:]], dim=-1)
    if config.pooling == "final":
        return final
    padding = (torch.arange(len(outputs), device=outputs.device)[:, None] >= lengths)[..., None]  # (T, B, 1)
    mean = outputs.masked_fill(padding, 0).sum(0) / lengths[:, None]
    largest = outputs.masked_fill(padding, float("-inf")).amax(0)
    return {"mean": mean, "max": largest, "concat": torch.cat([final, mean, largest], dim=-1)}[config.pooling]


def label_logits(
    model: Classifier, texts: Sequence[np.ndarray], batch_size: int = 32, workers: Workers = ONE_WORKER
) -> np.ndarray:
    """Logits (texts, labels), float32, of texts given as ids of any lengths, at least one symbol each."""
    return _of_each(model, texts, model, model.config.num_labels, batch_size, workers)


def embeddings(
    model: Classifier, texts: Sequence[np.ndarray], batch_size: int = 32, workers: Workers = ONE_WORKER
) -> np.ndarray:
    """Pooled outputs (texts, pooled size), float32, of texts given as ids, at least one symbol each."""
    return _of_each(model, texts, model.pooled, model.config.pooled_size, batch_size, workers)


def _of_each(
    model: Classifier,
    texts: Sequence[np.ndarray],
    read: Callable[[Tensor, Tensor], Tensor],
    size: int,
    batch_size: int,
    workers: Workers,
) -> np.ndarray:
    """What `read` makes (texts, size) of texts given as ids, called with batches of them as `pad` gives them."""
    device = model.head.weight.device
    results = np.empty((len(texts), size), np.float32)

    @torch.inference_mode()
    def fill(chosen: np.ndarray) -> None:
        ids, lengths = (torch.from_numpy(array).to(device) for array in pad([texts[i] for i in chosen]))
        results[chosen] = read(ids, lengths).float().cpu().numpy()

    was_training = model.training
    model.eval()
    workers.map(fill, batches_by_length(texts, batch_size))
    model.train(was_training)
    return results

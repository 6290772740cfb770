"""The classifier: predicts the label of a text.

Shapes: T steps, B texts in a batch, N texts in all, H outputs of the encoder, F pooled outputs, K labels.
"""

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
        """Compute the logits of a batch of texts.

        Args:
            ids: (T, B), shorter texts padded at the end.
            lengths: Tokens (B,) of each text, at least 1.
            masks: From `Encoder.draw_masks`; none outside training.

        Returns:
            Logits (B, K).
        """
        logits: Tensor = self.head(self.pooled(ids, lengths, masks))
        return logits

    def pooled(self, ids: Tensor, lengths: Tensor, masks: Masks = NO_MASKS) -> Tensor:
        """Pooled outputs (B, F), which the head reads; arguments as for `forward`."""
        outputs, _ = self.encoder(ids, lengths=lengths, masks=masks)
        return pool(outputs, lengths, self.config)


def pool(outputs: Tensor, lengths: Tensor, config: ClassifierConfig) -> Tensor:
    """Pool each text's outputs over time into one vector, ignoring padding.

    Args:
        outputs: Of the last layer (T, B, H).
        lengths: Tokens (B,) of each text.
        config: With the pooling. `final` is the last output of each direction: after the last token, and for
            backward layers after the first. `mean` and `max` are over time. `concat` is all three side by side, as in
            ULMFiT (Howard & Ruder 2018, arXiv:1801.06146).

    Returns:
        Vectors (B, F).
    """
    texts = torch.arange(len(lengths), device=outputs.device)
    final = outputs[lengths - 1, texts]  # (B, H)
    if config.encoder.bidirectional:
        size = config.encoder.layer_output_size
        final = torch.cat([final[:, :size], outputs[0, :, size:]], dim=-1)
    if config.pooling == "final":
        return final
    padding = (torch.arange(len(outputs), device=outputs.device)[:, None] >= lengths)[..., None]  # (T, B, 1)
    mean = outputs.masked_fill(padding, 0).sum(0) / lengths[:, None]
    maximum = outputs.masked_fill(padding, float("-inf")).amax(0)
    return {"mean": mean, "max": maximum, "concat": torch.cat([final, mean, maximum], dim=-1)}[config.pooling]


def label_logits(
    model: Classifier, texts: Sequence[np.ndarray], batch_size: int = 32, workers: Workers = ONE_WORKER
) -> np.ndarray:
    """Compute logits (N, K), float32.

    Args:
        model: Run in evaluation mode, then put back into the mode it was in.
        texts: Ids of each text, at least one token each.
        batch_size: Texts of similar length read at once.
        workers: Threads that share the batches.
    """
    return _in_batches(model, texts, model, model.config.num_labels, batch_size, workers)


def embeddings(
    model: Classifier, texts: Sequence[np.ndarray], batch_size: int = 32, workers: Workers = ONE_WORKER
) -> np.ndarray:
    """Compute pooled outputs (N, F), float32; arguments as for `label_logits`."""
    return _in_batches(model, texts, model.pooled, model.config.pooled_size, batch_size, workers)


def _in_batches(
    model: Classifier,
    texts: Sequence[np.ndarray],
    compute: Callable[[Tensor, Tensor], Tensor],
    size: int,
    batch_size: int,
    workers: Workers,
) -> np.ndarray:
    """Results (N, size) of `compute`, a function of a batch's ids (T, B) and lengths (B,)."""
    device = model.head.weight.device
    results = np.empty((len(texts), size), np.float32)

    @torch.inference_mode()
    def fill(chosen: np.ndarray) -> None:
        ids, lengths = (torch.from_numpy(array).to(device) for array in pad([texts[i] for i in chosen]))
        results[chosen] = compute(ids, lengths).float().cpu().numpy()

    was_training = model.training
    model.eval()
    workers.map(fill, batches_by_length(texts, batch_size))
    model.train(was_training)
    return results

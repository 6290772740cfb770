"""The task of a classifier: labels of texts, by a network alone or combined with n-grams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from chargen.evaluation.calibration import (
    calibration_error,
    cross_fitted,
    error_by_chance,
    fit_scales,
    mean_nats,
    softmax,
    wilson_interval,
)
from chargen.evaluation.labels import classification_report
from chargen.hardware import autocast
from chargen.models.classifier import Classifier, label_logits
from chargen.models.dropout import NO_DROPOUT, Dropout, Masks
from chargen.models.weights import weights_of
from chargen.runs.folder import CONFIDENCE, RIGHT, SCALES
from chargen.text.labelled import pad
from chargen.training.batches import Texts
from chargen.training.distributed import ALONE, World
from chargen.workers import ONE_WORKER, Workers

ENOUGH_TEXTS = 2500  # read by an evaluation during training: an accuracy then has a standard error of at most 1 %
# What the scales of the logits are without any data: of the network alone, and of network and n-grams, where only the
# n-grams count at first.
NETWORK_ALONE, BESIDE_NGRAMS = [1.0], [0.0, 1.0]


@dataclass
class Classification:
    """The task of predicting the label of each text.

    Shapes: N texts, K labels, F pooled outputs.
    """

    model: Classifier
    train: Texts
    validation: Texts
    labels: list[str]
    device: torch.device
    precision: str
    workers: Workers = ONE_WORKER
    shards: int = 1  # parts of this process's texts, computed in parallel
    dropout: Dropout = NO_DROPOUT
    world: World = ALONE
    ngram_logits: np.ndarray | None = None  # (N, K) of the validation texts; None without n-grams
    label_weights: Tensor | None = None  # (K,) of each label's texts in the loss; None: all 1
    metric: str = "loss"  # one of options.METRICS, chooses the weights to keep
    pooled: np.ndarray | None = None  # (N, F) of the validation texts, for an encoder that does not change

    def __post_init__(self) -> None:
        self.calibration: dict[str, np.ndarray] = {}  # what the last evaluation found, stored with the weights

    @property
    def steps_per_epoch(self) -> int:
        """Batches that read every training text once."""
        return self.train.steps_per_epoch

    def losses(self, step: int) -> tuple[list[Callable[[], Tensor]], int]:
        """Loss functions of this process's shards, and the tokens of all processes; see `Task.losses`.

        Each function gives its part of the mean cross-entropy in nats per text.
        """
        batch, texts = self.train.batch(step), self.train.read(step)
        # Texts are sorted by length, so taking every n-th text makes parts of about the same cost.
        shared = len(batch) >= self.world.size
        own = slice(self.world.rank, None, self.world.size) if shared else slice(None)
        labels, texts = self.train.labels[batch[own]], texts[own]
        masks = self.model.encoder.draw_masks(self.dropout, len(texts))
        parts = [slice(first, None, self.shards) for first in range(min(self.shards, len(texts)))]
        weight = self.world.size / len(batch) if shared else 1 / len(batch)
        shards: list[Callable[[], Tensor]] = [
            partial(self._loss, texts[part], labels[part], masks.select(part), weight) for part in parts
        ]
        return shards, int(self.train.lengths[batch].sum())

    def _loss(self, texts: list[np.ndarray], labels: np.ndarray, masks: Masks, weight: float) -> Tensor:
        ids, lengths, truth = (torch.from_numpy(a).to(self.device) for a in (*pad(texts), labels))
        with autocast(self.device, self.precision):
            logits = self.model(ids, lengths, masks)
        return cross_entropy(logits.float(), truth, self.label_weights, reduction="sum") * weight

    def bits(self, nats: float) -> None:
        """None, since a loss per label is not about characters."""

    def evaluate(self, most_tokens: int, *, last: bool = False) -> dict[str, Any]:
        """Loss, accuracy and macro-F1 of network and n-grams combined, with scales fitted here.

        Args:
            most_tokens: Ignored: evaluations during training read the same ENOUGH_TEXTS texts.
            last: Read all texts; also report network and n-grams alone, the accuracy's 95 % interval and the
                calibration error.

        Returns:
            Figures by name; losses in nats per text.
        """
        order = np.random.default_rng(0).permutation(len(self.validation.texts))
        chosen = np.sort(order if last else order[:ENOUGH_TEXTS])
        truth = self.validation.labels[chosen]
        network = self._network_logits(chosen)
        sources, expected = [network], NETWORK_ALONE
        if self.ngram_logits is not None:
            sources, expected = [network, self.ngram_logits[chosen]], BESIDE_NGRAMS
        weights = None if self.label_weights is None else self.label_weights.cpu().numpy()[truth]
        scales = np.resize([*fit_scales(sources, truth, expected, weights), 0.0], 2)
        probs = cross_fitted(sources, truth, expected, weights)
        confidence, right = probs.max(-1), probs.argmax(-1) == truth
        self.calibration = {
            SCALES: scales,
            CONFIDENCE: confidence.astype(np.float32),
            RIGHT: right.astype(np.uint8),
        }
        figures = self._figures(probs, truth, weights)
        if not last:
            return figures
        figures["texts"] = len(truth)
        figures["accuracy_interval"] = list(wilson_interval(int(right.sum()), len(truth)))
        figures["network"] = self._figures(cross_fitted(sources[:1], truth, NETWORK_ALONE, weights), truth, weights)
        if self.ngram_logits is not None:
            figures["ngrams"] = self._figures(
                cross_fitted(sources[1:], truth, NETWORK_ALONE, weights), truth, weights
            )
        raw = softmax(network)
        figures["calibration_error"] = {
            "network_unscaled": calibration_error(raw.max(-1), raw.argmax(-1) == truth),
            "scaled": calibration_error(confidence, right),
            "by_chance": error_by_chance(confidence),
        }
        return figures

    def _network_logits(self, chosen: np.ndarray) -> np.ndarray:
        """The network's logits (N, K) of the validation texts with indices `chosen` (N,)."""
        if self.pooled is None:
            return label_logits(self.model, [self.validation.texts[i] for i in chosen], workers=self.workers)
        weight, bias = (own.detach().cpu().numpy() for own in (self.model.head.weight, self.model.head.bias))
        logits: np.ndarray = self.pooled[chosen] @ weight.T + bias
        return logits

    def _figures(self, probs: np.ndarray, truth: np.ndarray, weights: np.ndarray | None) -> dict[str, Any]:
        """Loss, weighted by `weights` (N,), accuracy and macro-F1 of probabilities (N, K) for labels (N,)."""
        report = classification_report(truth.tolist(), probs.argmax(-1).tolist(), self.labels)
        return {
            "val_loss": mean_nats(probs, truth, weights),
            "accuracy": report["accuracy"],
            "macro_f1": report["macro_f1"],
        }

    def weights(self) -> dict[str, np.ndarray]:
        """The network's weights, the scales, and the confidence and correctness of each validation text."""
        return weights_of(self.model) | self.calibration

    def score(self, figures: Mapping[str, Any]) -> float:
        """The metric, or the negative loss."""
        return -float(figures["val_loss"]) if self.metric == "loss" else float(figures[self.metric.replace("-", "_")])

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing, since each text is read from a zero state."""
        return {}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Nothing to restore."""

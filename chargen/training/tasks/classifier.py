"""Training a classifier: what the loop needs to know of labelled texts."""

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

MEASURED = 2000  # texts held out, whose rare words are counted
TIMED_CROP = 64  # tokens of a text, where the speed of steps is measured
ENOUGH_TEXTS = 2500  # measured on the way: the standard error of an accuracy is 1 % at most
NETWORK_ALONE, BESIDE_NGRAMS = [1.0], [0.0, 1.0]  # scales where nothing is known of them


@dataclass
class Classification:
    """The loop's task: predict the label of each text."""

    model: Classifier
    train: Texts
    validation: Texts
    labels: list[str]
    device: torch.device
    precision: str
    workers: Workers = ONE_WORKER
    shards: int = 1
    dropout: Dropout = NO_DROPOUT
    world: World = ALONE
    ngram_logits: np.ndarray | None = None  # of the validation texts (texts, labels)
    label_weights: Tensor | None = None  # of each label's texts in the loss (labels,)
    metric: str = "loss"  # one of METRICS
    pooled: np.ndarray | None = None  # of the validation texts (texts, pooled size), where the encoder stays as it is

    def __post_init__(self) -> None:
        self.beside_weights: dict[str, np.ndarray] = {}  # what was fitted and found at the last evaluation

    @property
    def steps_per_epoch(self) -> int:
        """Batches that read every training text once."""
        return self.train.steps_per_epoch

    def losses(self, step: int) -> tuple[list[Callable[[], Tensor]], int]:
        """A function for each shard of this process's texts, and the tokens of all processes.

        Each gives its part of the mean cross-entropy (nats per text).
        """
        batch, texts = self.train.batch(step), self.train.read(step)
        # Neighbours in a batch are about as long, so parts of every n-th text cost about the same.
        shared = len(batch) >= self.world.size
        own = slice(self.world.rank, None, self.world.size) if shared else slice(None)
        labels, texts = self.train.labels[batch[own]], texts[own]
        masks = self.model.encoder.draw_masks(self.dropout, len(texts))
        parts = [slice(first, None, self.shards) for first in range(min(self.shards, len(texts)))]
        weight = self.world.size / len(batch) if shared else 1 / len(batch)
        shards: list[Callable[[], Tensor]] = [
            partial(self._loss, texts[part], labels[part], masks.of(part), weight) for part in parts
        ]
        return shards, int(self.train.lengths[batch].sum())

    def _loss(self, texts: list[np.ndarray], labels: np.ndarray, masks: Masks, weight: float) -> Tensor:
        ids, lengths, truth = (torch.from_numpy(a).to(self.device) for a in (*pad(texts), labels))
        with autocast(self.device, self.precision):
            logits = self.model(ids, lengths, masks)
        return cross_entropy(logits.float(), truth, self.label_weights, reduction="sum") * weight

    def bits(self, nats: float) -> None:
        """Labels have no characters."""

    def evaluate(self, most_tokens: int, *, last: bool = False) -> dict[str, Any]:
        """Loss, accuracy and macro-F1 of network and n-grams together, under scales that are fitted here.

        On enough of the validation texts, always the same, or in the end on all, then also of each alone, with the
        accuracy's 95 % interval and the calibration error.
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
        self.beside_weights = {
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
        """The network's (N, labels) of the validation texts `chosen` (N,)."""
        if self.pooled is None:
            return label_logits(self.model, [self.validation.texts[i] for i in chosen], workers=self.workers)
        weight, bias = (own.detach().cpu().numpy() for own in (self.model.head.weight, self.model.head.bias))
        logits: np.ndarray = self.pooled[chosen] @ weight.T + bias
        return logits

    def _figures(self, probs: np.ndarray, truth: np.ndarray, weights: np.ndarray | None) -> dict[str, Any]:
        report = classification_report(truth.tolist(), probs.argmax(-1).tolist(), self.labels)
        return {
            "val_loss": mean_nats(probs, truth, weights),
            "accuracy": report["accuracy"],
            "macro_f1": report["macro_f1"],
        }

    def weights(self) -> dict[str, np.ndarray]:
        """The network's, the scales, and how sure and right it was."""
        return weights_of(self.model) | self.beside_weights

    def merit(self, figures: Mapping[str, Any]) -> float:
        """What the metric says; a loss is better when it is lower."""
        return -float(figures["val_loss"]) if self.metric == "loss" else float(figures[self.metric.replace("-", "_")])

    def carried(self) -> dict[str, Tensor]:
        """Nothing: each text begins anew."""
        return {}

    def carry(self, tensors: Mapping[str, Tensor]) -> None:
        """Nothing to take up."""

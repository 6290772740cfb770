"""Weights and text to labels: a trained classifier that reads texts as people have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from chargen.calibration import combine, softmax
from chargen.checkpoint import Run
from chargen.hardware import choose_device
from chargen.models.classifier import Classifier, label_logits
from chargen.models.config import ClassifierConfig
from chargen.text.labelled import encode_example
from chargen.workers import workers_for


class Verdict(NamedTuple):
    """The label of a text, and how sure the classifier is."""

    label: str
    probability: float  # 0 to 1
    probabilities: dict[str, float]  # of every label, the likeliest first


class TextClassifier:
    """A run's classifier, ready to label texts."""

    def __init__(self, run: Run, device: str = "auto") -> None:
        """`run`: of a classifier, as `checkpoint.find_run` gives it; ChargenError when it is damaged."""
        config = run.model_config()
        assert isinstance(config, ClassifierConfig)  # of the kind that was asked for
        self.labels = run.labels()
        self.tokenizer = run.tokenizer()
        self._reading = {name: run.config["data"][name] for name in ("documents", "max_length")}
        self._model = Classifier(config)
        self._model.load_state_dict({name: torch.from_numpy(weight) for name, weight in run.weights().items()})
        self._ngrams, self._scales = run.ngrams(), run.scales()
        self._device = choose_device(device)
        self._model.to(self._device)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """The probability (texts, labels), float64, of each label for each text; rows sum to 1."""
        if not texts:
            return np.empty((0, len(self.labels)))
        ids = [encode_example(self.tokenizer, text, **self._reading) for text in texts]
        with workers_for(self._device) as workers:
            network = label_logits(self._model, ids, workers=workers)
        ngrams = np.zeros_like(network) if self._ngrams is None else self._ngrams.logits(texts)
        return softmax(combine([network, ngrams], self._scales))

    def classify(self, texts: Sequence[str]) -> list[Verdict]:
        """The verdict on each text."""
        verdicts = []
        for shares in self.probabilities(texts):
            ranked = {self.labels[i]: float(shares[i]) for i in np.argsort(-shares, kind="stable")}
            label = next(iter(ranked))
            verdicts.append(Verdict(label, ranked[label], ranked))
        return verdicts

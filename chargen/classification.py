"""Weights and text to labels: a trained classifier that reads texts as people have them.

CPUs compute with NumPy; torch is imported for other devices only, when one is asked for or there is much to do.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from chargen.calibration import combine, softmax
from chargen.checkpoint import Run
from chargen.models.classifier_numpy import NumpyClassifier
from chargen.models.config import ClassifierConfig
from chargen.text.labelled import encode_example

MANY_SYMBOLS = 500_000  # read by one classifier; from here on a GPU repays torch's import
DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")  # libraries without which torch finds no GPU

Logits = Callable[[Sequence[np.ndarray]], np.ndarray]  # texts as ids to (texts, labels)


class Verdict(NamedTuple):
    """The label of a text, and how sure the classifier is."""

    label: str
    probability: float  # 0 to 1
    probabilities: dict[str, float]  # of every label, the likeliest first


class TextClassifier:
    """A run's classifier, ready to label texts."""

    def __init__(self, run: Run, device: str = "auto") -> None:
        """`run`: of a classifier, as `checkpoint.find_run` gives it; ChargenError when it is damaged.

        device: cpu, cuda, …; auto is the CPU, and for many texts the GPU if there is one. ChargenError for a device
        that cannot be had.
        """
        config = run.model_config()
        assert isinstance(config, ClassifierConfig)  # of the kind that was asked for
        self.labels = run.labels()
        self.tokenizer = run.tokenizer()
        self._reading = {name: run.config["data"][name] for name in ("documents", "max_length")}
        self._ngrams, self._scales = run.ngrams(), run.scales()
        self._config, self._weights = config, run.weights()
        self._lock = threading.Lock()
        self._until_gpu = MANY_SYMBOLS if device == "auto" else None  # symbols; None: the device is decided
        self._logits: Logits = NumpyClassifier(config, self._weights).logits
        if device not in ("auto", "cpu"):
            self._move(device)

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """The probability (texts, labels), float64, of each label for each text; rows sum to 1."""
        if not texts:
            return np.empty((0, len(self.labels)))
        ids = [encode_example(self.tokenizer, text, **self._reading) for text in texts]
        self._look_for_gpu(sum(map(len, ids)))
        network = self._logits(ids)
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

    def _look_for_gpu(self, symbols: int) -> None:
        """Move to a GPU, if there is one, before so many more symbols are read, once there were many in all."""
        with self._lock:
            if self._until_gpu is None:
                return
            self._until_gpu -= symbols
            if self._until_gpu <= 0:
                self._until_gpu = None
                if has_gpu_driver():
                    self._move("auto")

    def _move(self, device: str) -> None:
        """Compute with torch from now on, unless the device is a CPU after all."""
        import torch

        from chargen.hardware import choose_device
        from chargen.models.classifier import Classifier, label_logits

        where = choose_device(device)
        if where.type != "cpu":
            model = Classifier(self._config)
            model.load_state_dict({name: torch.from_numpy(weight) for name, weight in self._weights.items()})
            model.to(where).eval()
            self._logits = lambda texts: label_logits(model, texts)


def has_gpu_driver() -> bool:
    """Whether a GPU's driver is installed; to tell takes far less time than to import torch."""
    for name in DRIVERS:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False

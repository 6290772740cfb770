"""Label texts with a trained classifier.

On a CPU, NumPy computes; torch is imported only for a GPU, when one is asked for or there is much to do.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chargen.errors import ChargenError
from chargen.evaluation.calibration import combine, softmax, threshold_for
from chargen.models.cells_numpy.registry import runs_in_numpy
from chargen.models.classifier_numpy import NumpyClassifier
from chargen.models.config import ClassifierConfig
from chargen.runs.folder import Run
from chargen.text.labelled import encode_example
from chargen.text.records import LabelledRecord

GPU_TOKENS = 500_000  # from this many tokens on, a GPU makes up for the time to import torch
DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")  # torch needs one of these libraries to find a GPU

Network = Callable[[Sequence[np.ndarray]], np.ndarray]  # ids of N texts to (N, ·)


class Verdict(NamedTuple):
    """The label of a text, and how sure the classifier is.

    >>> Verdict("spam", 0.8, {"spam": 0.8, "ham": 0.2}).is_sure(0.9)
    False
    """

    label: Any  # a str, or the type of the labels that a `TextClassifier` was fitted to
    probability: float  # 0 to 1
    probabilities: dict[Any, float]  # of every label, most likely first
    familiar: bool | None = None  # False: the text is unlike those in training; None: unknown, for lack of n-grams

    def is_sure(self, threshold: float) -> bool:
        """Whether the probability reaches a threshold and the text is not unfamiliar; always true for threshold 0."""
        return not threshold or (self.probability >= threshold and self.familiar is not False)


class Outputs(NamedTuple):
    """Outputs of a classifier's two parts for N texts."""

    network: np.ndarray  # logits (N, labels)
    ngrams: np.ndarray | None  # logits (N, labels)
    familiar: np.ndarray | None  # (N,), whether a text is like those in training


class Labeller:
    """A trained classifier, ready to label texts. Threads may share one."""

    def __init__(self, run: Run, device: str = "auto") -> None:
        """Load a classifier.

        Args:
            run: A classifier's run.
            device: "cpu", "cuda", …; "auto" starts on the CPU and moves to a GPU, if any, for many texts.

        Raises:
            ChargenError: The run is damaged or of another kind, or the device is not available.
        """
        config, record = run.model_config(ClassifierConfig), run.data(LabelledRecord)
        self.labels = run.labels()
        self.tokenizer = run.tokenizer()
        self._record = record
        self.ngrams, self._scales = run.ngrams(), run.scales()
        self._config, self._weights = config, run.weights()
        self._lock = threading.Lock()
        self._tokens_until_gpu = GPU_TOKENS if device == "auto" else None  # None: the device is decided
        self._logits: Network
        self._pooled: Network
        if device not in ("auto", "cpu") or not runs_in_numpy(config.encoder.cell):
            self._use_torch("cpu" if device == "auto" else device)
        else:
            self._use_numpy()

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities (N, labels), float64, of each text's labels; rows sum to 1."""
        return softmax(self.logits(texts))

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Logits (N, labels), float64, of network and n-grams together."""
        return self.combined(self.read(texts))

    def combined(self, outputs: Outputs) -> np.ndarray:
        """Combine the logits of both parts with the run's scales; logits (N, labels), float64."""
        network, ngrams, _ = outputs
        return combine([network, np.zeros_like(network) if ngrams is None else ngrams], self._scales)

    def read(self, texts: Sequence[str]) -> Outputs:
        """Run network and n-grams separately on each text."""
        ids = self._encode(texts)
        network = self._logits(ids) if ids else np.empty((0, len(self.labels)), np.float32)
        if self.ngrams is None:
            return Outputs(network, None, None)
        logits, familiarity = self.ngrams.judge(texts)
        return Outputs(network, logits, familiarity >= self.ngrams.strange)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors (N, pooled size), float32: the last layer's outputs, pooled, which the network's head reads.

        N-grams have no part in them. The vector of a text does not depend on the other texts.
        """
        return self._pooled(self._encode(texts))

    def classify(self, texts: Sequence[str]) -> list[Verdict]:
        """Label each text."""
        outputs = self.read(texts)
        probs = softmax(self.combined(outputs))
        verdicts = []
        for number, row in enumerate(probs):
            ranked = {self.labels[i]: float(row[i]) for i in np.argsort(-row, kind="stable")}
            label = next(iter(ranked))
            familiar = None if outputs.familiar is None else bool(outputs.familiar[number])
            verdicts.append(Verdict(label, ranked[label], ranked, familiar))
        return verdicts

    def _encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        framed, max_length = self._record.framed, self._record.max_length
        ids = [encode_example(self.tokenizer, text, framed=framed, max_length=max_length) for text in texts]
        self._look_for_gpu(sum(map(len, ids)))
        return list(ids)

    def _look_for_gpu(self, tokens: int) -> None:
        """Move to a GPU, if any, once GPU_TOKENS were read in all, `tokens` included."""
        with self._lock:
            if self._tokens_until_gpu is None:
                return
            self._tokens_until_gpu -= tokens
            if self._tokens_until_gpu <= 0:
                self._tokens_until_gpu = None
                if has_gpu_driver():
                    self._use_torch("auto")

    def _use_numpy(self) -> None:
        network = NumpyClassifier(self._config, self._weights)
        self._logits, self._pooled = network.logits, network.embed

    def _use_torch(self, device: str) -> None:
        """Use torch, or NumPy if the device is a CPU after all and NumPy has the cell."""
        from chargen.hardware import choose_device
        from chargen.models.classifier import Classifier, embeddings, label_logits
        from chargen.models.weights import load_weights

        where = choose_device(device)
        if where.type == "cpu" and runs_in_numpy(self._config.encoder.cell):
            self._use_numpy()
        else:
            model = load_weights(Classifier(self._config), self._weights).to(where).eval()
            self._logits = lambda texts: label_logits(model, texts)
            self._pooled = lambda texts: embeddings(model, texts)


def threshold_of(run: Run, accuracy: float) -> tuple[float, float, int]:
    """Find the lowest probability from which a run's labels reach an accuracy on the held-out texts.

    Args:
        run: A classifier's run.
        accuracy: Fraction of correct labels, 0 to 1; see `calibration.threshold_for`.

    Returns:
        The threshold, the fraction of held-out texts that reach it, and the number of held-out texts.

    Raises:
        ChargenError: There is no such threshold, or the run has no record of its probabilities.
    """
    confidence, correct = run.held_out()
    if not len(confidence):
        raise ChargenError(
            f"{run.name} has no record of how sure it was of texts held out, as older runs have none: "
            "train it again, or give a --threshold"
        )
    threshold = threshold_for(confidence, correct, accuracy)
    if threshold is None:
        raise ChargenError(
            f"no threshold is sure to make {100 * accuracy:.4g}% of the labels right, by the {len(confidence):,} "
            f"texts that {run.name} held out: ask for less, or train with more texts"
        )
    return threshold, float((confidence >= threshold).mean()), len(confidence)


def has_gpu_driver() -> bool:
    """Whether a GPU's driver is installed; checking takes far less time than importing torch."""
    for name in DRIVERS:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False

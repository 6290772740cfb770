"""Weights and text to labels: a trained classifier that reads texts as people have them.

CPUs compute with NumPy; torch is imported for other devices only, when one is asked for or there is much to do.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chargen.errors import ChargenError
from chargen.evaluation.calibration import combine, softmax, threshold_for
from chargen.models.classifier_numpy import NumpyClassifier
from chargen.models.config import ClassifierConfig
from chargen.models.layers_numpy import has_twin
from chargen.runs.folder import Run
from chargen.text.labelled import encode_example
from chargen.text.records import LabelledRecord

GPU_TOKENS = 500_000  # read by one classifier; from here on a GPU repays torch's import
DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")  # libraries without which torch finds no GPU

Reader = Callable[[Sequence[np.ndarray]], np.ndarray]  # texts as ids to (texts, ·)


class Verdict(NamedTuple):
    """The label of a text, and how sure the classifier is."""

    label: Any  # a str; of a `TextClassifier` that was given other labels, one of those
    probability: float  # 0 to 1
    probabilities: dict[Any, float]  # of every label, the likeliest first
    familiar: bool | None = None  # False: the text is unlike any in training; None: without n-grams, no telling

    def is_sure(self, threshold: float) -> bool:
        """Whether the probability reaches a threshold and the text is not unlike any in training; at 0 always."""
        return not threshold or (self.probability >= threshold and self.familiar is not False)


class Sources(NamedTuple):
    """What a classifier's two parts say of N texts."""

    network: np.ndarray  # logits (N, labels)
    ngrams: np.ndarray | None  # logits (N, labels)
    familiar: np.ndarray | None  # whether (N,) a text is like those in training


class Labeller:
    """A run's classifier, ready to label texts; threads may share one."""

    def __init__(self, run: Run, device: str = "auto") -> None:
        """`run`: of a classifier, as `checkpoint.find_run` gives it; ChargenError when it is damaged.

        device: cpu, cuda, …; auto is the CPU, and for many texts the GPU if there is one. ChargenError for a device
        that is not available.
        """
        config, record = run.model_config(ClassifierConfig), run.data(LabelledRecord)
        self.labels = run.labels()
        self.tokenizer = run.tokenizer()
        self._record = record
        self.ngrams, self._scales = run.ngrams(), run.scales()
        self._config, self._weights = config, run.weights()
        self._lock = threading.Lock()
        self._until_gpu = GPU_TOKENS if device == "auto" else None  # symbols; None: the device is decided
        self._logits: Reader
        self._pooled: Reader
        if device not in ("auto", "cpu") or not has_twin(config.encoder.cell):
            self._by_torch("cpu" if device == "auto" else device)
        else:
            network = NumpyClassifier(config, self._weights)
            self._logits, self._pooled = network.logits, network.embed

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """The probability (texts, labels), float64, of each label for each text; rows sum to 1."""
        return softmax(self.logits(texts))

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Logits (texts, labels), float64, of network and n-grams together."""
        return self.combined(self.read(texts))

    def combined(self, sources: Sources) -> np.ndarray:
        """Logits (N, labels), float64, of both parts, as the run scales them."""
        network, ngrams, _ = sources
        return combine([network, np.zeros_like(network) if ngrams is None else ngrams], self._scales)

    def read(self, texts: Sequence[str]) -> Sources:
        """What network and n-grams say of each text."""
        ids = self._encode(texts)
        network = self._logits(ids) if ids else np.empty((0, len(self.labels)), np.float32)
        if self.ngrams is None:
            return Sources(network, None, None)
        logits, familiarity = self.ngrams.judge(texts)
        return Sources(network, logits, familiarity >= self.ngrams.strange)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """What the network's head reads (texts, pooled size), float32: the outputs of the last layer, pooled.

        The n-grams that a classifier is combined with have no part in it. A text's row does not depend on the others.
        """
        return self._pooled(self._encode(texts))

    def classify(self, texts: Sequence[str]) -> list[Verdict]:
        """The verdict on each text."""
        sources = self.read(texts)
        probs = softmax(self.combined(sources))
        verdicts = []
        for number, shares in enumerate(probs):
            ranked = {self.labels[i]: float(shares[i]) for i in np.argsort(-shares, kind="stable")}
            label = next(iter(ranked))
            familiar = None if sources.familiar is None else bool(sources.familiar[number])
            verdicts.append(Verdict(label, ranked[label], ranked, familiar))
        return verdicts

    def _encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        framed, max_length = self._record.framed, self._record.max_length
        ids = [encode_example(self.tokenizer, text, framed=framed, max_length=max_length) for text in texts]
        self._look_for_gpu(sum(map(len, ids)))
        return list(ids)

    def _look_for_gpu(self, symbols: int) -> None:
        """Move to a GPU, if there is one, before so many more symbols are read, once there were many in all."""
        with self._lock:
            if self._until_gpu is None:
                return
            self._until_gpu -= symbols
            if self._until_gpu <= 0:
                self._until_gpu = None
                if has_gpu_driver():
                    self._by_torch("auto")

    def _by_torch(self, device: str) -> None:
        """Compute with torch from now on, unless NumPy can and the device is a CPU after all."""
        from chargen.hardware import choose_device
        from chargen.models.classifier import Classifier, embeddings, label_logits
        from chargen.models.weights import load_weights

        where = choose_device(device)
        if where.type != "cpu" or not has_twin(self._config.encoder.cell):
            model = load_weights(Classifier(self._config), self._weights).to(where).eval()
            self._logits = lambda texts: label_logits(model, texts)
            self._pooled = lambda texts: embeddings(model, texts)


def threshold_of(run: Run, accuracy: float) -> tuple[float, float, int]:
    """The least probability from which on a run's labels are surely right as often as asked.

    Args:
        run: Of a classifier.
        accuracy: Share of right labels, 0 to 1; see `calibration.threshold_for`.

    Returns:
        The threshold, the share of the texts held out that reach it, and how many were held out.

    Raises:
        ChargenError: There is no such threshold, or the run did not record how sure it was.
    """
    confidence, right = run.held_out()
    if not len(confidence):
        raise ChargenError(
            f"{run.name} has no record of how sure it was of texts held out, as older runs have none: "
            "train it again, or give a --threshold"
        )
    threshold = threshold_for(confidence, right, accuracy)
    if threshold is None:
        raise ChargenError(
            f"no threshold is sure to make {100 * accuracy:.4g}% of the labels right, by the {len(confidence):,} "
            f"texts that {run.name} held out: ask for less, or train with more texts"
        )
    return threshold, float((confidence >= threshold).mean()), len(confidence)


def has_gpu_driver() -> bool:
    """Whether a GPU's driver is installed; to tell takes far less time than to import torch."""
    for name in DRIVERS:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False

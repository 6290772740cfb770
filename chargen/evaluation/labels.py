"""Metrics of a classifier: accuracy, macro-F1, calibration, confusion matrix, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chargen.evaluation.calibration import (
    calibration_curve,
    calibration_error,
    error_by_chance,
    mean_nats,
    wilson_interval,
)


def classification_report(truth: Sequence[int], predicted: Sequence[int], labels: Sequence[str]) -> dict[str, Any]:
    """Compute accuracy, macro-F1, metrics per label, and the confusion matrix.

    Args:
        truth: Index of each text's true label.
        predicted: Index of each predicted label.
        labels: Names of all labels.

    Returns:
        `accuracy`, `macro_f1`, `examples`; `labels`, one record per label; `confusion`, rows being the true labels.

    >>> report = classification_report([0, 1, 1], [0, 1, 0], ["neg", "pos"])
    >>> report["confusion"], round(report["macro_f1"], 3)
    ([[1, 0], [1, 1]], 0.667)
    """
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

    indices = list(range(len(labels)))
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, predicted, labels=indices, zero_division=0.0
    )
    present = support > 0  # a label without examples has no F1 to average
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_f1": float(f1[present].mean()),
        "examples": len(truth),
        "labels": [
            {
                "label": label,
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "examples": int(support[i]),
            }
            for i, label in enumerate(labels)
        ],
        "confusion": confusion_matrix(truth, predicted, labels=indices).tolist(),
    }


def classifier_metrics(probs: np.ndarray, truth: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Compute the classification report, the loss in nats, and calibration.

    Args:
        probs: Probabilities (N, labels).
        truth: Index of each text's true label (N,).
        labels: Names of all labels.
    """
    chosen = probs.argmax(-1)
    confidence, correct = probs.max(-1), chosen == truth
    return classification_report(truth.tolist(), chosen.tolist(), labels) | {
        "accuracy_interval": list(wilson_interval(int(correct.sum()), len(truth))),
        "loss": mean_nats(probs, truth),
        "calibration_error": calibration_error(confidence, correct),
        "calibration_error_by_chance": error_by_chance(confidence),
        "calibration": [part._asdict() for part in calibration_curve(confidence, correct)],
    }


def summary_metrics(probs: np.ndarray, truth: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
    """Compute accuracy, macro-F1 and loss in nats; arguments as for `classifier_metrics`."""
    report = classification_report(truth.tolist(), probs.argmax(-1).tolist(), labels)
    return {"accuracy": report["accuracy"], "macro_f1": report["macro_f1"], "loss": mean_nats(probs, truth)}


def worst_mistakes(probs: np.ndarray, truth: np.ndarray, most: int) -> list[int]:
    """Find the texts whose wrong label has the highest probability.

    Args:
        probs: Probabilities (N, labels).
        truth: Index of each text's true label (N,).
        most: Limit on the number of texts.

    Returns:
        Indices of texts, worst first.

    >>> worst_mistakes(np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]]), np.array([1, 1, 1]), 5)
    [1, 0]
    """
    wrong = np.flatnonzero(probs.argmax(-1) != truth)
    found: list[int] = wrong[np.argsort(-probs[wrong].max(-1), kind="stable")][:most].tolist()
    return found

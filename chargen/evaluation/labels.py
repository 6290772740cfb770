"""Figures of a classifier: accuracy, macro-F1, calibration, who is taken for whom, and the worst mistakes."""

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
    """Accuracy, macro-F1, a row a label, and the confusion matrix (rows are the truth), from label indices."""
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

    indices = list(range(len(labels)))
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, predicted, labels=indices, zero_division=0.0
    )
    present = support > 0  # a label that the data lacks has no F1 to average
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
    """The report on labels given probabilities (N, labels) and true ones (N,), with loss (nats) and calibration."""
    chosen = probs.argmax(-1)
    confidence, right = probs.max(-1), chosen == truth
    return classification_report(truth.tolist(), chosen.tolist(), labels) | {
        "accuracy_interval": list(wilson_interval(int(right.sum()), len(truth))),
        "loss": mean_nats(probs, truth),
        "calibration_error": calibration_error(confidence, right),
        "calibration_error_by_chance": error_by_chance(confidence),
        "calibration": [part._asdict() for part in calibration_curve(confidence, right)],
    }


def summary_metrics(probs: np.ndarray, truth: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
    """Accuracy, macro-F1 and loss (nats) of probabilities (N, labels) and true labels (N,)."""
    report = classification_report(truth.tolist(), probs.argmax(-1).tolist(), labels)
    return {"accuracy": report["accuracy"], "macro_f1": report["macro_f1"], "loss": mean_nats(probs, truth)}


def worst_mistakes(probs: np.ndarray, truth: np.ndarray, most: int) -> list[int]:
    """The texts, at most so many, of which a wrong label is likeliest, the likeliest first."""
    wrong = np.flatnonzero(probs.argmax(-1) != truth)
    found: list[int] = wrong[np.argsort(-probs[wrong].max(-1), kind="stable")][:most].tolist()
    return found

"""Findings as JSON has them; docs/formats.md describes every field."""

from __future__ import annotations

import math
from base64 import b64encode
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from chargen.errors import shell_word
from chargen.inspection.decisions import Carrier
from chargen.inspection.findings import Curve, Findings
from chargen.inspection.gates import LayerGates
from chargen.inspection.probing import Finding, Told
from chargen.inspection.states import Points
from chargen.inspection.survey import Survey

VERSION = 1
DIGITS = 4  # significant ones; of bits and probabilities, after the point


def as_json(findings: Findings) -> dict[str, Any]:
    """All numbers of an inspection, as dicts, lists, strings and numbers."""
    passage = findings.passage
    return {
        "version": VERSION,
        "model": findings.model,
        "argument": shell_word(findings.model),
        "kind": findings.kind,
        "notes": list(findings.notes),
        "text": {
            "source": findings.source,
            "symbols": list(passage.symbols),
            "characters": passage.characters,
            "starts": passage.starts.tolist(),
            "labels": list(passage.labels),
        },
        "vocabulary": list(findings.vocabulary),
        "reading": _reading(findings.survey),
        "units": {
            "layers": findings.layers,
            "per_layer": findings.units_per_layer,
            "asked": [str(unit) for unit in findings.asked],
            "first": {"tokens": len(findings.survey.first)} | in_bytes(findings.survey.first),
            "chosen": {"units": [str(unit) for unit in findings.survey.chosen]} | in_bytes(findings.survey.values),
        },
        "properties": [_finding(found) for found in findings.properties],
        "left_out": [asdict(left_out) for left_out in findings.left_out],
        "gates": [_gates(layer) for layer in findings.gates],
        "gradients": [_curve(curve) for curve in findings.curves],
        "dependence": _dependence(findings),
        "states": _points(findings.points) if findings.points else None,
        "decisions": [
            asdict(decision) | {"units": list(map(_carrier, decision.units))} for decision in findings.decisions
        ],
        "carriers": [_carrier(carrier) for carrier in findings.carriers],
    }


def in_bytes(values: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Columns of numbers (N, U) as signed bytes: a value is its byte times its column's scale.

    The bytes are in base64, column by column.

    >>> in_bytes(np.array([[1.0], [-0.5]], np.float32))
    {'scales': [0.007874], 'bytes': 'f8A='}
    """
    scales = np.abs(values).max(axis=0, initial=0) / 127
    scaled = np.divide(values, scales, out=np.zeros_like(values), where=scales > 0)
    return {"scales": _rounded(scales), "bytes": b64encode(scaled.round().astype(np.int8).T.tobytes()).decode()}


def _rounded(values: npt.ArrayLike) -> Any:
    """Numbers with DIGITS significant digits, in lists; null for what is not finite."""
    array = np.asarray(values, np.float64)
    if array.ndim:
        return [_rounded(row) for row in array]
    return float(f"{array:.{DIGITS}g}") if math.isfinite(array) else None


def _reading(survey: Survey) -> dict[str, Any] | None:
    reading = survey.reading
    if reading is None:
        return None
    return {
        "bits": reading.bits.round(DIGITS).tolist(),
        "alternatives": reading.alternatives.tolist(),
        "probabilities": reading.probabilities.round(DIGITS).tolist(),
    }


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "name": found.name,
        "score": "r2" if found.is_number else "auc",
        "mean": found.mean,
        "best": _told(found.best),
        "untrained": _told(found.untrained),
        "last_three": found.last_three,
        "is_learned": found.is_learned,
        "is_remembered": found.is_remembered,
    }


def _told(told: Told) -> dict[str, Any]:
    return asdict(told) | {"unit": str(told.unit)}


def _gates(layer: LayerGates) -> dict[str, Any]:
    gates = [{"name": gate.name, "left": _rounded(gate.left), "right": _rounded(gate.right)} for gate in layer.gates]
    return {
        "layer": layer.layer,
        "gates": gates,
        "memory": None if layer.memory is None else _rounded(layer.memory),
    }


def _curve(curve: Curve) -> dict[str, Any]:
    low, median, high = curve.gradients.quartiles
    numbers = {"low": _rounded(low), "median": _rounded(median), "high": _rounded(high)}
    return {"name": curve.name, "is_trained": curve.is_trained, "positions": len(curve.gradients.positions)} | numbers


def _dependence(findings: Findings) -> dict[str, Any] | None:
    if not findings.curves:
        return None
    gradients = findings.curves[0].gradients
    return {"positions": gradients.positions.tolist(), "influence": _rounded(gradients.influence)}


def _points(points: Points) -> dict[str, Any]:
    return {
        "texts": list(points.texts),
        "labels": list(points.labels),
        "coordinates": _rounded(points.coordinates),
        "explained": _rounded(points.explained),
        "clusters": points.clusters.tolist(),
    }


def _carrier(carrier: Carrier) -> dict[str, Any]:
    return {"unit": str(carrier.unit), "pooling": carrier.pooling, "weight": carrier.weight}

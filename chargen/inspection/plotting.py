"""A picture of gates and gradients; matplotlib, an optional dependency, is imported when it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from chargen.errors import ChargenError
from chargen.evaluation.plotting import require_plot
from chargen.inspection.findings import Curve, Findings
from chargen.inspection.gates import LayerGates

SMALLEST = 1e-30  # norm that is drawn, as the axis is logarithmic
STYLES = {True: "-", False: ":"}  # of trained and untrained models


def plot_findings(findings: Findings, path: Path) -> None:
    """Draw how far gradients reach back, and how often each unit's gates are saturated.

    Args:
        findings: With gradients, gates or both; what is missing is not drawn.
        path: The picture to write.

    Raises:
        ChargenError: There are neither gradients nor gates, or as for `require_plot`.
    """
    require_plot(path)
    from matplotlib.figure import Figure

    gated = [layer for layer in findings.gates if layer.gates]
    if not (panels := bool(findings.curves) + len(gated)):
        raise ChargenError(f"{findings.model} has neither gradients nor gates to draw here: leave out the plot")
    figure = Figure(figsize=(1 + 5 * panels, 5), layout="constrained")
    axes = list(np.ravel(figure.subplots(1, panels)))
    if findings.curves:
        _plot_gradients(axes.pop(0), findings.curves)
    for axis, layer in zip(axes, gated, strict=False):
        _plot_gates(axis, layer)
    figure.savefig(path)


def _plot_gradients(axis: Any, curves: tuple[Curve, ...]) -> None:
    """Median and quartiles by distance; a model and its untrained twin share a colour."""
    names = list(dict.fromkeys(curve.name for curve in curves))
    for curve in curves:
        low, median, high = np.maximum(curve.gradients.quartiles, SMALLEST)
        distance, colour = np.arange(1, len(median) + 1), f"C{names.index(curve.name) % 10}"
        label = curve.title.replace("$", r"\$")  # which would begin a formula
        axis.plot(distance, median, STYLES[curve.is_trained], color=colour, label=label)
        axis.fill_between(distance, low, high, color=colour, alpha=0.12, linewidth=0)
    axis.set(
        xlabel="tokens back", ylabel="norm of the gradient by the state", yscale="log", title="median and quartiles"
    )
    axis.legend()


def _plot_gates(axis: Any, layer: LayerGates) -> None:
    """Each unit's gates as points, as in figure 3 of Karpathy et al. 2015."""
    for gate in layer.gates:
        axis.scatter(gate.right, gate.left, s=8, alpha=0.5, label=gate.name)
    axis.plot([0, 1], [1, 0], color="grey", linewidth=0.5)
    axis.set(
        xlabel="share of time above 0.9", ylabel="share of time below 0.1", title=f"gates of layer {layer.layer}"
    )
    axis.legend()

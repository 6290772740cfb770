"""Figures of a classifier as a picture; matplotlib, which is optional, is imported when one is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chargen.errors import ChargenError

MOST_NUMBERS = 12  # labels up to which the counts are written into the cells
MOST_NAMES = 60  # labels up to which each has its name beside the matrix
LONGEST_NAME = 30  # characters


def require_plot(path: Path) -> None:
    """ChargenError when a picture cannot be written to `path`: no matplotlib, an unknown suffix, no such folder."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ChargenError("a plot needs matplotlib: pip install 'chargen[plot]'") from error
    known = Figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise ChargenError(f"{path} has no suffix of a picture: name one such as .png, of {', '.join(sorted(known))}")
    if not path.absolute().parent.is_dir():
        raise ChargenError(f"there is no folder {path.parent} for the plot {path.name}: make it first")


def plot_classifier(figures: Mapping[str, Any], path: Path) -> None:
    """The confusion matrix and the calibration curve of what `evaluate` found, as a picture.

    ChargenError as of `require_plot`.
    """
    require_plot(path)
    import numpy as np
    from matplotlib.figure import Figure

    names, counts = [row["label"] for row in figures["labels"]], np.array(figures["confusion"])
    side = min(12.0, 4 + 0.25 * len(names))
    figure = Figure(figsize=(side + 5, side), layout="constrained")
    confusion, curve = figure.subplots(1, 2, width_ratios=[side, 4.5])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = confusion.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=confusion, label="share of the true label's texts", shrink=0.8)
    confusion.set(xlabel="taken for", ylabel="truth", title=f"accuracy {figures['accuracy']:.4f}")
    if len(names) <= MOST_NAMES:
        shown = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in names]
        confusion.set_xticks(range(len(names)), shown, rotation=90, parse_math=False)
        confusion.set_yticks(range(len(names)), shown, parse_math=False)
    if len(names) <= MOST_NUMBERS:
        for row, column in np.ndindex(*counts.shape):
            colour = "white" if shares[row, column] > 0.5 else "black"
            confusion.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour)
    bins = figures["calibration"]
    confidence, accuracy = [row["confidence"] for row in bins], [row["accuracy"] for row in bins]
    sizes = np.array([row["texts"] for row in bins])
    curve.plot([0, 1], [0, 1], color="grey", linestyle="--")
    curve.plot(confidence, accuracy, color="tab:blue")
    curve.scatter(confidence, accuracy, s=10 + 150 * sizes / sizes.max(), color="tab:blue")
    curve.set(
        xlabel="mean probability",
        ylabel="accuracy",
        xlim=(0, 1.02),
        ylim=(0, 1.02),
        title=f"calibration error {figures['calibration_error']:.4f}\n"
        f"by chance {figures['calibration_error_by_chance']:.4f}",
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # in a label's name: a box stands for it
        figure.savefig(path)

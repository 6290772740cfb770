"""A plot of a classifier's evaluation; matplotlib, an optional dependency, is imported when it is needed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chargen.errors import ChargenError

MAX_COUNTS = 12  # with more labels, cells have no counts
MAX_NAMES = 60  # with more labels, rows and columns have no names
MAX_NAME = 30  # characters


def require_plot(path: Path) -> None:
    """Check that a plot can be written to `path`.

    Raises:
        ChargenError: matplotlib is not installed, the suffix is unknown, or the folder does not exist.
    """
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
    """Plot the confusion matrix and the calibration curve.

    Args:
        figures: Metrics, as `evaluate` returns them.
        path: The picture to write.

    Raises:
        ChargenError: As for `require_plot`.
    """
    require_plot(path)
    import numpy as np
    from matplotlib.figure import Figure

    names, counts = [row["label"] for row in figures["labels"]], np.array(figures["confusion"])
    side = min(12.0, 4 + 0.25 * len(names))
    figure = Figure(figsize=(side + 5, side), layout="constrained")
    confusion, curve = figure.subplots(1, 2, width_ratios=[side, 4.5])
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = confusion.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=confusion, label="fraction of the true label's texts", shrink=0.8)
    confusion.set(xlabel="taken for", ylabel="truth", title=f"accuracy {figures['accuracy']:.4f}")
    if len(names) <= MAX_NAMES:
        texts = [name.encode(errors="replace").decode() for name in names]  # a label may be the name of any file
        shown = [text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 1]}…" for text in texts]
        confusion.set_xticks(range(len(names)), shown, rotation=90, parse_math=False)
        confusion.set_yticks(range(len(names)), shown, parse_math=False)
    if len(names) <= MAX_COUNTS:
        for row, column in np.ndindex(*counts.shape):
            colour = "white" if fractions[row, column] > 0.5 else "black"
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
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # shown as a box in a label's name
        figure.savefig(path)

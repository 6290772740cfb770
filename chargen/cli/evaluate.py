"""`chargen evaluate`: measure a run and print its metrics."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chargen.cli.command import Command, needs
from chargen.cli.completion import Input, RunName
from chargen.cli.output import json_line, tell
from chargen.cli.progress import fraction_bar

if TYPE_CHECKING:
    from chargen.runs.folder import Run

READING = ("encoding", "text_column", "label_column", "skip_unlabelled")  # how to read DATA
RULES = [needs("dynamic_rate", "dynamic"), *(needs(name, "data") for name in READING)]
GROUPS = {
    "Data": ("model", *READING),
    "Language models": ("dynamic", "dynamic_rate"),
    "Classifiers": ("mistakes", "explain", "plot"),
    "Device and output": ("device", "as_json"),
}


@click.command(cls=Command, groups=GROUPS, rules=RULES)
@click.argument("data", nargs=-1, type=Input(), metavar="[DATA]...")
@click.option(
    "-m", "--model", type=RunName(), help="A run: its name under checkpoints/, or its path.  [default: the newest]"
)
@click.option("--encoding", help="Encoding of DATA.  [default: as in training]")
@click.option(
    "--text-column",
    multiple=True,
    help="Column of the texts in DATA; repeatable for classifiers.  [default: as in training]",
)
@click.option("--label-column", help="Column of the labels in DATA.  [default: as in training]")
@click.option(
    "--skip-unlabelled", is_flag=True, default=None, help="Leave out texts of DATA without label, not refuse them."
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, …")
@click.option(
    "--dynamic", is_flag=True, help="Let the model go on learning from DATA while it reads it (dynamic evaluation)."
)
@click.option("--dynamic-rate", type=float, help="Learning rate of --dynamic.  [default: 0.0002]")
@click.option(
    "--mistakes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show the N mistakes that the classifier was most sure of.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Show the n-grams of DATA, or of the training texts, that speak most for each label.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the confusion matrix and the calibration curve to a .png, .svg, .pdf, … file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    data: tuple[str, ...],
    model: str | None,
    device: str,
    dynamic: bool,
    dynamic_rate: float | None,
    mistakes: int | None,
    explain: bool,
    plot: Path | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Measure a run on DATA, or on the part of its own text that it held out.

    For a language model: nats per token, perplexity and bits per character, and for comparison the bits per character
    of xz. For a classifier: accuracy with its 95% interval, macro-F1 and nats, also of the network and of the n-grams
    alone; then a table of labels, which labels are taken for which, and whether labels are right as often as their
    probabilities say.

    \b
    chargen evaluate test.txt
    chargen evaluate -m reviews test.csv --json
    chargen evaluate -m reviews --mistakes 20 --explain --plot reviews.png
    chargen evaluate test.txt --dynamic
    """
    from chargen.api.evaluate import evaluate
    from chargen.evaluation.dynamic import Adaptation
    from chargen.evaluation.plotting import plot_classifier, require_plot
    from chargen.kinds import kind_of
    from chargen.runs.search import find_run

    run = find_run(model)
    _check_labels(run, {"--mistakes": mistakes, "--explain": explain, "--plot": plot})
    if plot:
        require_plot(plot)
    adaptation = Adaptation() if dynamic_rate is None else Adaptation(rate=dynamic_rate)
    with fraction_bar("reading") as progress:
        metrics = evaluate(
            run,
            data,
            device=device,
            dynamic=adaptation if dynamic else None,
            progress=progress,
            mistakes=mistakes or 0,
            explain=explain,
            **reading,
        )
    _tell_reading(metrics)
    if plot:
        plot_classifier(metrics, plot)
        tell(f"plot: {plot}")
    if as_json:
        sys.stdout.write(json_line({"model": run.name, **metrics}))
    else:
        kind_of(run.kind).get("show")(run, metrics)


def _tell_reading(metrics: Mapping[str, Any]) -> None:
    """Say how texts were read that the run does not know, and how many were left out."""
    from chargen.errors import abridge

    for note in metrics.get("guessed", ()):
        tell(abridge(note))
    for name, what in (("rows_dropped", "rows without text"), ("unlabelled", "texts without label")):
        if metrics.get(name):
            tell(f"{what}, left out: {metrics[name]:,}")


def _check_labels(run: Run, flags: Mapping[str, object]) -> None:
    """Raise ChargenError for a flag about labels if the run has none."""
    from chargen.errors import ChargenError
    from chargen.kinds import kind_of

    kind = kind_of(run.kind)
    for flag, value in flags.items():
        if value and not kind.has_labels:
            raise ChargenError(f"{flag} is for classifiers, and {run.name} is a {kind.title}: leave it out")

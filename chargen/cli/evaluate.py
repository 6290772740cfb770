"""`chargen evaluate`: the figures of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chargen.cli.completion import Input, RunName

if TYPE_CHECKING:
    from chargen.runs.folder import Run

CELL = 9  # width of a column of numbers
SHOWN = 160  # characters of a text


@click.command()
@click.argument("data", nargs=-1, type=Input(), metavar="[DATA]...")
@click.option(
    "-m", "--model", type=RunName(), help="A run: its name under checkpoints/, or a path.  [default: the newest]"
)
@click.option("--encoding", help="How DATA is encoded.  [default: as the training text]")
@click.option(
    "--text-column", multiple=True, help="Column of the texts; repeatable for classifiers.  [default: as in training]"
)
@click.option("--label-column", help="Column of the labels.  [default: as in training]")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, …")
@click.option("--dynamic", is_flag=True, help="Let the language model go on learning from the text as it reads it.")
@click.option("--dynamic-rate", type=float, help="How fast, with --dynamic.  [default: 0.0002]")
@click.option(
    "--mistakes", type=click.IntRange(min=1), metavar="N", help="Show the N wrong labels that were the most probable."
)
@click.option(
    "--explain", is_flag=True, help="Show the n-grams, in DATA or the training texts, that speak most for each label."
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the confusion matrix and the calibration curve: .png, .svg, .pdf, …",
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
    **changes: Any,
) -> None:
    """Measure a run on DATA, or on what it held out of its own text.

    A language model: nats, perplexity and bits per character, beside what xz needs for the same text. A
    classifier: accuracy with its 95 % interval, macro-F1, nats, the same of its two parts alone, a table of labels,
    who is taken for whom, and whether labels are right as often as their probabilities say.

    \b
    chargen evaluate test.txt
    chargen evaluate -m reviews test.csv --json
    chargen evaluate -m reviews --mistakes 20 --explain --plot reviews.png
    chargen evaluate test.txt --dynamic
    """
    from tqdm import tqdm

    from chargen.errors import ChargenError
    from chargen.evaluation.plotting import plot_classifier, require_plot
    from chargen.kinds import kind_of
    from chargen.runs.search import find_run

    run = find_run(model)
    kind = kind_of(run.kind)
    for name, given in (("--mistakes", mistakes), ("--explain", explain), ("--plot", plot)):
        if given and not kind.has_labels:
            raise ChargenError(f"{name} is for classifiers, and {run.name} is a {kind.title}: leave it out")
    if plot:
        require_plot(plot)
    from chargen.api.evaluate import evaluate
    from chargen.evaluation.dynamic import Adaptation

    if dynamic_rate is not None and not dynamic:
        raise click.UsageError("--dynamic-rate has no use without --dynamic: give both")
    adaptation = None
    if dynamic:
        adaptation = Adaptation() if dynamic_rate is None else Adaptation(rate=dynamic_rate)
    with tqdm(total=1.0, bar_format="reading {percentage:3.0f}%|{bar}| {elapsed}<{remaining}", delay=1.0,
              disable=None, leave=False) as bar:  # fmt: skip
        figures = evaluate(
            run,
            data,
            device=device,
            dynamic=adaptation,
            progress=lambda share: bar.update(share - bar.n),
            mistakes=mistakes or 0,
            explain=explain,
            **{name: value for name, value in changes.items() if value not in (None, ())},
        )
    for note in figures.get("guessed", ()):
        click.echo(note, err=True)
    if figures.get("rows_dropped"):
        click.echo(f"rows without text left out: {figures['rows_dropped']:,}", err=True)
    if plot:
        plot_classifier(figures, plot)
        click.echo(f"plot: {plot}", err=True)
    if as_json:
        click.echo(json.dumps({"model": run.name, **figures}, ensure_ascii=False))
    else:
        kind.get("show")(run, figures)


def show_language_model(run: Run, figures: dict[str, Any]) -> None:
    """Print the figures of a language model."""
    click.echo(f"model               {run.name}")
    click.echo(f"text                {figures['characters']:,} characters, {figures['tokens']:,} tokens")
    click.echo(f"nats per token      {figures['nats_per_token']:.4f}")
    click.echo(f"bits per character  {figures['bits_per_character']:.4f}")
    click.echo(f"perplexity          {figures['perplexity']:.3f}")
    click.echo(f"xz                  {figures['xz_bits_per_character']:.4f} bits per character")
    if figures["unknown"]:
        click.echo(f"unknown             {figures['unknown']:,} characters the model never saw", err=True)


def show_classifier(run: Run, figures: dict[str, Any]) -> None:
    """Print the figures of a classifier."""
    low, high = figures["accuracy_interval"]
    click.echo(f"model              {run.name}")
    click.echo(f"texts              {figures['examples']:,}")
    click.echo(f"accuracy           {figures['accuracy']:.4f} ({low:.4f} to {high:.4f})")
    click.echo(f"macro-F1           {figures['macro_f1']:.4f}")
    click.echo(f"nats per text      {figures['loss']:.4f}")
    for name, what in (("network", "network alone"), ("ngrams", "n-grams alone")):
        if alone := figures.get(name):
            numbers = f"{alone['accuracy']:.4f}, macro-F1 {alone['macro_f1']:.4f}, {alone['loss']:.4f} nats"
            click.echo(f"{what:<17}  accuracy {numbers}")
    by_chance = f"{figures['calibration_error_by_chance']:.4f} by chance"
    click.echo(f"calibration error  {figures['calibration_error']:.4f} ({by_chance})\n")
    _show_labels(figures)
    click.echo("\n" + "probability" + "".join(f"  {name:>{CELL}}" for name in ("texts", "mean", "accuracy")))
    for row in figures["calibration"]:
        numbers = "".join(f"  {row[name]:>{CELL}.4f}" for name in ("confidence", "accuracy"))
        click.echo(f"{row['low']:.2f} – {row['high']:.2f}  {row['texts']:>{CELL},}{numbers}")
    for label, ngrams in figures.get("strongest_ngrams", {}).items():
        click.echo(f"\nspeaks for {label}")
        for ngram in ngrams:
            click.echo(f"{ngram['weight']:+{CELL}.2f}  {ngram['texts']:>{CELL},} texts  {ngram['text']!r}")
    if "mistakes" in figures:
        _show_mistakes(figures["mistakes"])


def _show_mistakes(mistakes: list[dict[str, Any]]) -> None:
    if not mistakes:
        click.echo("\nno mistakes")
        return
    width = max(len("label"), *(len(row[name]) for row in mistakes for name in ("label", "truth")))
    click.echo(f"\nprobability  {'label':<{width}}  {'truth':<{width}}  text")
    for row in mistakes:
        labels = f"{row['label']:<{width}}  {row['truth']:<{width}}"
        click.echo(f"{row['probability']:<11.4f}  {labels}  {_one_line(row['text'])}")


def _show_labels(figures: dict[str, Any]) -> None:
    """The figures of each label, and what it is taken for."""
    rows, names = figures["labels"], [row["label"] for row in figures["labels"]]
    width = max(map(len, (*names, "truth")))
    heading = ("precision", "recall", "f1", "examples")
    click.echo("label".ljust(width) + "".join(f"  {name:>{CELL}}" for name in heading))
    for row in rows:
        numbers = "".join(f"  {row[name]:>{CELL}.4f}" for name in heading[:3])
        click.echo(f"{row['label']:<{width}}{numbers}  {row['examples']:>{CELL},}")
    click.echo("\n" + "truth".ljust(width) + "  taken for")
    for name, counts in zip(names, figures["confusion"], strict=True):
        found = sorted(zip(counts, names, strict=True), key=lambda pair: -pair[0])
        click.echo(name.ljust(width) + "".join(f"  {taken} {count:,}" for count, taken in found if count))


def _one_line(text: str) -> str:
    short = " ".join(text[: 2 * SHOWN].split())
    return short if len(short) <= SHOWN and len(text) <= 2 * SHOWN else f"{short[: SHOWN - 1]}…"

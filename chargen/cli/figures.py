"""Print the metrics of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from chargen.cli.output import visible

if TYPE_CHECKING:
    from chargen.runs.folder import Run

COLUMN = 9  # width of a column of numbers
MAX_SHOWN = 160  # characters of a text


def show_language_model(run: Run, metrics: dict[str, Any]) -> None:
    """Print the metrics of a language model, as `evaluate_language_model` returns them."""
    click.echo(f"model               {run.name}")
    click.echo(f"text                {metrics['characters']:,} characters, {metrics['tokens']:,} tokens")
    click.echo(f"nats per token      {metrics['nats_per_token']:.4f}")
    click.echo(f"bits per character  {metrics['bits_per_character']:.4f}")
    click.echo(f"perplexity          {metrics['perplexity']:.3f}")
    click.echo(f"xz                  {metrics['xz_bits_per_character']:.4f} bits per character")
    if metrics["unknown"]:
        click.echo(f"unknown             {metrics['unknown']:,} characters the model never saw", err=True)


def show_classifier(run: Run, metrics: dict[str, Any]) -> None:
    """Print the metrics of a classifier, as `evaluate_classifier` returns them."""
    low, high = metrics["accuracy_interval"]
    click.echo(f"model              {run.name}")
    click.echo(f"texts              {metrics['examples']:,}")
    click.echo(f"accuracy           {metrics['accuracy']:.4f} ({low:.4f} to {high:.4f})")
    click.echo(f"macro-F1           {metrics['macro_f1']:.4f}")
    click.echo(f"nats per text      {metrics['loss']:.4f}")
    for name, title in (("network", "network alone"), ("ngrams", "n-grams alone")):
        if alone := metrics.get(name):
            numbers = f"{alone['accuracy']:.4f}, macro-F1 {alone['macro_f1']:.4f}, {alone['loss']:.4f} nats"
            click.echo(f"{title:<17}  accuracy {numbers}")
    by_chance = f"{metrics['calibration_error_by_chance']:.4f} by chance"
    click.echo(f"calibration error  {metrics['calibration_error']:.4f} ({by_chance})\n")
    _show_labels(metrics)
    click.echo("\n" + "probability" + "".join(f"  {name:>{COLUMN}}" for name in ("texts", "mean", "accuracy")))
    for row in metrics["calibration"]:
        numbers = "".join(f"  {row[name]:>{COLUMN}.4f}" for name in ("confidence", "accuracy"))
        click.echo(f"{row['low']:.2f} – {row['high']:.2f}  {row['texts']:>{COLUMN},}{numbers}")
    for label, ngrams in metrics.get("strongest_ngrams", {}).items():
        click.echo(f"\nspeaks for {visible(label)}")
        for ngram in ngrams:
            click.echo(f"{ngram['weight']:+{COLUMN}.2f}  {ngram['texts']:>{COLUMN},} texts  {ngram['text']!r}")
    if "mistakes" in metrics:
        _show_mistakes(metrics["mistakes"])


def _show_mistakes(mistakes: list[dict[str, Any]]) -> None:
    if not mistakes:
        click.echo("\nno mistakes")
        return
    width = max(len("label"), *(len(row[name]) for row in mistakes for name in ("label", "truth")))
    click.echo(f"\nprobability  {'label':<{width}}  {'truth':<{width}}  text")
    for row in mistakes:
        labels = f"{visible(row['label']):<{width}}  {visible(row['truth']):<{width}}"
        click.echo(f"{row['probability']:<11.4f}  {labels}  {_one_line(row['text'])}")


def _show_labels(metrics: dict[str, Any]) -> None:
    """Print the metrics of each label, and the labels that it is taken for."""
    rows, names = metrics["labels"], [visible(row["label"]) for row in metrics["labels"]]
    width = max(map(len, (*names, "truth")))
    heading = ("precision", "recall", "f1", "examples")
    click.echo("label".ljust(width) + "".join(f"  {name:>{COLUMN}}" for name in heading))
    for row in rows:
        numbers = "".join(f"  {row[name]:>{COLUMN}.4f}" for name in heading[:3])
        click.echo(f"{visible(row['label']):<{width}}{numbers}  {row['examples']:>{COLUMN},}")
    click.echo("\n" + "truth".ljust(width) + "  taken for")
    for name, counts in zip(names, metrics["confusion"], strict=True):
        predicted = sorted(zip(counts, names, strict=True), key=lambda pair: -pair[0])
        click.echo(name.ljust(width) + "".join(f"  {label} {count:,}" for count, label in predicted if count))


def _one_line(text: str) -> str:
    short = visible(" ".join(text[: 2 * MAX_SHOWN].split()))
    return short if len(short) <= MAX_SHOWN and len(text) <= 2 * MAX_SHOWN else f"{short[: MAX_SHOWN - 1]}…"

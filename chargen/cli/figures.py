"""The figures of a run, as they are printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from chargen.cli.output import visible

if TYPE_CHECKING:
    from chargen.runs.folder import Run

CELL = 9  # width of a column of numbers
SHOWN = 160  # characters of a text


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
        click.echo(f"\nspeaks for {visible(label)}")
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
        labels = f"{visible(row['label']):<{width}}  {visible(row['truth']):<{width}}"
        click.echo(f"{row['probability']:<11.4f}  {labels}  {_one_line(row['text'])}")


def _show_labels(figures: dict[str, Any]) -> None:
    """The figures of each label, and what it is taken for."""
    rows, names = figures["labels"], [visible(row["label"]) for row in figures["labels"]]
    width = max(map(len, (*names, "truth")))
    heading = ("precision", "recall", "f1", "examples")
    click.echo("label".ljust(width) + "".join(f"  {name:>{CELL}}" for name in heading))
    for row in rows:
        numbers = "".join(f"  {row[name]:>{CELL}.4f}" for name in heading[:3])
        click.echo(f"{visible(row['label']):<{width}}{numbers}  {row['examples']:>{CELL},}")
    click.echo("\n" + "truth".ljust(width) + "  taken for")
    for name, counts in zip(names, figures["confusion"], strict=True):
        found = sorted(zip(counts, names, strict=True), key=lambda pair: -pair[0])
        click.echo(name.ljust(width) + "".join(f"  {taken} {count:,}" for count, taken in found if count))


def _one_line(text: str) -> str:
    short = visible(" ".join(text[: 2 * SHOWN].split()))
    return short if len(short) <= SHOWN and len(text) <= 2 * SHOWN else f"{short[: SHOWN - 1]}…"

"""Print the metrics of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chargen.cli.output import echo, tell, visible

if TYPE_CHECKING:
    from chargen.runs.folder import Run

COLUMN = 9  # width of a column of numbers
MAX_SHOWN = 160  # characters of a text


def show_language_model(run: Run, metrics: dict[str, Any]) -> None:
    """Print the metrics of a language model, as `evaluate_language_model` returns them."""
    echo(f"model               {run.name}")
    echo(f"text                {metrics['characters']:,} characters, {metrics['tokens']:,} tokens")
    echo(f"nats per token      {metrics['nats_per_token']:.4f}")
    echo(f"bits per character  {metrics['bits_per_character']:.4f}")
    echo(f"perplexity          {metrics['perplexity']:.3f}")
    echo(f"xz                  {metrics['xz_bits_per_character']:.4f} bits per character")
    if metrics["unknown"]:
        tell(f"unknown             {metrics['unknown']:,} characters the model never saw")


def show_classifier(run: Run, metrics: dict[str, Any]) -> None:
    """Print the metrics of a classifier, as `evaluate_classifier` returns them."""
    low, high = metrics["accuracy_interval"]
    echo(f"model              {run.name}")
    echo(f"texts              {metrics['examples']:,}")
    echo(f"accuracy           {metrics['accuracy']:.4f} ({low:.4f} to {high:.4f})")
    echo(f"macro-F1           {metrics['macro_f1']:.4f}")
    echo(f"nats per text      {metrics['loss']:.4f}")
    for name, title in (("network", "network alone"), ("ngrams", "n-grams alone")):
        if alone := metrics.get(name):
            numbers = f"{alone['accuracy']:.4f}, macro-F1 {alone['macro_f1']:.4f}, {alone['loss']:.4f} nats"
            echo(f"{title:<17}  accuracy {numbers}")
    by_chance = f"{metrics['calibration_error_by_chance']:.4f} by chance"
    echo(f"calibration error  {metrics['calibration_error']:.4f} ({by_chance})\n")
    _show_labels(metrics)
    echo("\n" + "probability" + "".join(f"  {name:>{COLUMN}}" for name in ("texts", "mean", "accuracy")))
    for row in metrics["calibration"]:
        numbers = "".join(f"  {row[name]:>{COLUMN}.4f}" for name in ("confidence", "accuracy"))
        echo(f"{row['low']:.2f} - {row['high']:.2f}  {row['texts']:>{COLUMN},}{numbers}")
    for label, ngrams in metrics.get("strongest_ngrams", {}).items():
        echo(f"\nspeaks for {_one_line(label)}")
        for ngram in ngrams:
            echo(f"{ngram['weight']:+{COLUMN}.2f}  {ngram['texts']:>{COLUMN},} texts  {ngram['text']!r}")
    if "mistakes" in metrics:
        _show_mistakes(metrics["mistakes"])


def _show_mistakes(mistakes: list[dict[str, Any]]) -> None:
    if not mistakes:
        echo("\nno mistakes")
        return
    width = max(len("label"), *(len(_one_line(row[name])) for row in mistakes for name in ("label", "truth")))
    echo(f"\nprobability  {'label':<{width}}  {'truth':<{width}}  text")
    for row in mistakes:
        labels = f"{_one_line(row['label']):<{width}}  {_one_line(row['truth']):<{width}}"
        echo(f"{row['probability']:<11.4f}  {labels}  {_one_line(row['text'])}")


def _show_labels(metrics: dict[str, Any]) -> None:
    """Print the metrics of each label, and the labels that it is taken for."""
    rows, names = metrics["labels"], [_one_line(row["label"]) for row in metrics["labels"]]
    width = max(map(len, (*names, "truth")))
    heading = ("precision", "recall", "f1", "examples")
    echo("label".ljust(width) + "".join(f"  {name:>{COLUMN}}" for name in heading))
    for label, row in zip(names, rows, strict=True):
        numbers = "".join(f"  {row[name]:>{COLUMN}.4f}" for name in heading[:3])
        echo(f"{label:<{width}}{numbers}  {row['examples']:>{COLUMN},}")
    echo("\n" + "truth".ljust(width) + "  taken for")
    for name, counts in zip(names, metrics["confusion"], strict=True):
        predicted = sorted(zip(counts, names, strict=True), key=lambda pair: -pair[0])
        echo(name.ljust(width) + "".join(f"  {label} {count:,}" for count, label in predicted if count))


def _one_line(text: str) -> str:
    short = visible(" ".join(text[: 2 * MAX_SHOWN].split()))
    return short if len(short) <= MAX_SHOWN and len(text) <= 2 * MAX_SHOWN else f"{short[: MAX_SHOWN - 1]}…"

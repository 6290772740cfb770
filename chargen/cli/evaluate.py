"""`chargen evaluate`: the figures of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from chargen.cli.completion import Input, RunName

if TYPE_CHECKING:
    from chargen.checkpoint import Run

CELL = 9  # width of a column of numbers


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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    data: tuple[str, ...],
    model: str | None,
    device: str,
    dynamic: bool,
    dynamic_rate: float | None,
    as_json: bool,
    **changes: Any,
) -> None:
    """Measure a run on DATA, or on what it held out of its own text.

    A language model: nats, perplexity and bits per character, beside what xz needs for the same text. A
    classifier: accuracy, macro-F1, a table of labels and who is taken for whom.

    \b
    chargen evaluate test.txt
    chargen evaluate -m reviews test.csv --json
    chargen evaluate test.txt --dynamic
    """
    from tqdm import tqdm

    from chargen.api import evaluate
    from chargen.checkpoint import CLASSIFIER, find_run
    from chargen.dynamic import Adaptation

    run = find_run(model)
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
            **{name: value for name, value in changes.items() if value not in (None, ())},
        )
    if figures.get("rows_dropped"):
        click.echo(f"rows without text left out: {figures['rows_dropped']:,}", err=True)
    if as_json:
        click.echo(json.dumps({"model": run.name, **figures}, ensure_ascii=False))
    elif run.kind == CLASSIFIER:
        _show_classifier(run, figures)
    else:
        _show_language_model(run, figures)


def _show_language_model(run: Run, figures: dict[str, Any]) -> None:
    click.echo(f"model               {run.name}")
    click.echo(f"text                {figures['characters']:,} characters, {figures['tokens']:,} tokens")
    click.echo(f"nats a token        {figures['nats_per_token']:.4f}")
    click.echo(f"bits per character  {figures['bits_per_character']:.4f}")
    click.echo(f"perplexity          {figures['perplexity']:.3f}")
    click.echo(f"xz                  {figures['xz_bits_per_character']:.4f} bits per character")
    if figures["unknown"]:
        click.echo(f"unknown             {figures['unknown']:,} characters the model never saw", err=True)


def _show_classifier(run: Run, figures: dict[str, Any]) -> None:
    click.echo(f"model     {run.name}")
    click.echo(f"texts     {figures['examples']:,}")
    click.echo(f"accuracy  {figures['accuracy']:.4f}")
    click.echo(f"macro-F1  {figures['macro_f1']:.4f}\n")
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

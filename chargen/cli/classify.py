"""`chargen classify`: texts in, a label and its probability a line out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice

import click

from chargen.cli.completion import RunName
from chargen.cli.output import reader_may_leave

READ_AT_ONCE = 1000  # texts labelled together


@click.command()
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@click.option(
    "-m",
    "--model",
    type=RunName(),
    help="A run: its name under checkpoints/, or a path.  [default: the newest classifier]",
)
@click.option("-f", "--file", "files", multiple=True, metavar="FILE", help="Label each line of a file; repeatable.")
@click.option("--encoding", default="utf-8", show_default=True, help="How files and standard input are encoded.")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="cpu, cuda, …; auto: cpu, and for many texts the GPU, if there is one.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object a text, with the probability of every label."
)
def command(
    texts: tuple[str, ...], model: str | None, files: tuple[str, ...], encoding: str, device: str, as_json: bool
) -> None:
    """Label each TEXT; with none, each line of a file or of standard input.

    \b
    chargen classify "Kowalczyk"
    chargen classify -m reviews --file new.txt --json
    """
    from chargen.checkpoint import CLASSIFIER, find_run

    if texts and files:
        raise click.UsageError("texts and --file contradict: leave out one of the two")
    run = find_run(model, CLASSIFIER)
    from chargen.classification import TextClassifier

    classifier = TextClassifier(run, device)
    waiting = iter(texts) if texts else _lines(files or ("-",), encoding)
    unknown = 0
    with reader_may_leave():
        for part in _parts(waiting):
            for text, verdict in zip(part, classifier.classify(part), strict=True):
                unknown += sum(classifier.tokenizer.unknown(text).values())
                if as_json:
                    record = {"text": text, "label": verdict.label, "probabilities": verdict.probabilities}
                    sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
                else:
                    sys.stdout.write(f"{verdict.label}\t{verdict.probability:.4f}\n")
            sys.stdout.flush()
    if unknown:
        click.echo(f"read as unknown, for {run.name} never saw them: {unknown:,} characters", err=True)


def _lines(files: Iterable[str], encoding: str) -> Iterator[str]:
    from chargen.text.documents import read_lines
    from chargen.text.sources import resolve

    for source in resolve(list(files)):
        yield from read_lines(source, encoding)


def _parts(texts: Iterator[str]) -> Iterator[list[str]]:
    while part := list(islice(texts, READ_AT_ONCE)):
        yield part

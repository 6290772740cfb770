"""`chargen classify`: texts in, a label and its probability a line out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

import click

from chargen.cli.command import Command, needs, without
from chargen.cli.completion import RunName
from chargen.cli.labelling import UNSURE, Answer, Opened
from chargen.cli.output import reader_may_leave

if TYPE_CHECKING:
    from chargen.classification.explaining import Explanation
    from chargen.classification.labeller import Labeller
    from chargen.runs.folder import Run

NOTICES = {  # on standard error
    "unknown": "read as unknown, for {run} never saw them: {count:,} characters",
    "strange": "unlike anything that {run} was trained with: {count:,} of the texts",
    "blank": "blank lines of tables left out: {count:,}",
    "textless": "blank, and so without a label: {count:,} of the texts",
}
RULES = [
    without("files", "names the texts", "texts"),
    needs("text_column", "files"),
    without("threshold", "sets the threshold", "target_accuracy"),
]
GROUPS = {
    "Texts": ("model", "files", "text_column", "encoding"),
    "Answer": ("top", "threshold", "target_accuracy", "explain", "as_json"),
}
READ_AT_ONCE = 1000  # texts labelled together
EXPLAINED_AT_ONCE = 20  # for which each is read many times


@click.command(cls=Command, groups=GROUPS, rules=RULES)
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@click.option(
    "-m",
    "--model",
    type=RunName(),
    help="A run: its name under checkpoints/, or a path.  [default: the newest classifier]",
)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    help="Label each row of a table (CSV, TSV, JSONL, JSON, Parquet) and each line of another file, or the whole "
    "file if the run was trained on whole files; repeatable.",
)
@click.option(
    "--text-column", multiple=True, help="A table's column of the texts; repeatable.  [default: as in training]"
)
@click.option("--encoding", default="utf-8", show_default=True, help="How files and standard input are encoded.")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="cpu, cuda, …; auto: cpu, and for many texts the GPU, if there is one.",
)
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Show the N likeliest labels.")
@click.option(
    "--threshold",
    type=float,
    metavar="P",
    help="Answer `unsure` where no label has this probability, 0 to 1, or the text is unlike any in training.",
)
@click.option(
    "--target-accuracy",
    type=float,
    metavar="A",
    help="The same, with the lowest threshold that made this share of labels right in training, on texts held out.",
)
@click.option("--explain", is_flag=True, help="Show the words, or characters, that speak for and against the label.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object a text, with the probability of every label."
)
def command(**options: Any) -> None:
    """Label each TEXT; with none, each row or line of a file, or each line of standard input.

    A table comes back with all its columns and two more, label and probability, called predicted_label and
    predicted_probability where it has such columns: CSV and TSV as they are, the others as JSON lines. A file that is
    one text, as standard input is to a run of whole files, has its name before its label. What is blank gets no
    label. With --top there are further columns, label_2, probability_2, …

    Instead of a label that is not sure enough, `unsure` is printed, with the probability of the likeliest label; in
    JSON the label is null and "unsure" true. A text whose n-grams are unlike those in training ("familiar" false) is
    unsure too, unless the threshold is 0.

    --explain leaves out each word, or each character of a single word: by how much the log-odds of the likeliest
    label fall without it is what it weighs. What speaks for the label is green at a terminal, what speaks against it
    red; elsewhere the strongest are listed; in JSON "why" has all.

    \b
    chargen classify "Kowalczyk" --top 3 --explain
    chargen classify -m reviews --file new.csv --target-accuracy 0.95 > labelled.csv
    chargen classify -m reviews --file new.txt --json
    """
    from chargen.classification.labeller import Labeller
    from chargen.kinds import CLASSIFIER
    from chargen.runs.search import find_run

    asked = Asked(**options)
    run = find_run(asked.model, CLASSIFIER)
    threshold = _threshold(run, asked.threshold, asked.target_accuracy)
    with reader_may_leave():
        _label(run, Labeller(run, asked.device), asked, threshold)


@dataclass(frozen=True)
class Asked:
    """What is to be labelled, and how it is shown."""

    texts: tuple[str, ...]
    model: str | None
    files: tuple[str, ...]
    text_column: tuple[str, ...]
    encoding: str
    device: str
    top: int | None
    threshold: float | None
    target_accuracy: float | None
    explain: bool
    as_json: bool


def _label(run: Run, classifier: Labeller, asked: Asked, threshold: float | None) -> None:
    """Write the label of each text, and in the end what a person should know of them."""
    from tqdm import tqdm

    from chargen.cli.labelling import json_writer, open_files, writer_for
    from chargen.text.records import LabelledRecord

    files = asked.files or ("-",)
    opened = Opened(len(asked.texts), [], zip(asked.texts, repeat(None)))
    if not asked.texts:
        opened = open_files(files, asked.encoding, asked.text_column, run.data(LabelledRecord))
    if asked.explain and any(opened.tables) and not asked.as_json:
        raise click.UsageError("a table has no room for --explain: add --json, or leave it out")
    shown = min(asked.top or 1, len(classifier.labels))
    write = json_writer(asked.top, threshold) if asked.as_json else writer_for(opened.tables, shown)
    at_once = EXPLAINED_AT_ONCE if asked.explain else READ_AT_ONCE
    hidden = None if asked.files and not sys.stdout.isatty() else True  # None: unless at a terminal
    noticed = Counter[str]()
    with tqdm(total=opened.texts, unit=" texts", disable=hidden, leave=False, file=sys.stderr) as bar:
        while part := list(islice(opened.rows, at_once)):
            kept = [text for text, _ in part if text.strip()]
            answers = iter(_answers(classifier, kept, threshold or 0.0, asked.explain))
            for text, row in part:
                answer = next(answers) if text.strip() else None
                write(text, row, answer)
                noticed["strange"] += answer is not None and answer.verdict.familiar is False
            sys.stdout.flush()
            noticed["unknown"] += sum(sum(classifier.tokenizer.unknown(text).values()) for text in kept)
            noticed["textless"] += len(part) - len(kept)
            bar.update(len(part))
    noticed["blank"] = sum(table.blank for table in opened.tables if table)
    for what, sentence in NOTICES.items():
        if count := noticed[what]:
            click.echo(sentence.format(run=run.name, count=count), err=True)


def _threshold(run: Run, threshold: float | None, accuracy: float | None) -> float | None:
    """The threshold asked for, or the one that reaches an accuracy, which is told; ChargenError where none can be."""
    from chargen.errors import ChargenError

    for name, given in (("--threshold", threshold), ("--target-accuracy", accuracy)):
        if given is None:
            continue
        if not 0 <= given <= 1:
            raise ChargenError(f"{name} is {given:g}, but must be from 0 to 1")
        if UNSURE in run.labels():
            raise ChargenError(f"{run.name} has a label {UNSURE!r} of its own, so {name} cannot say it: leave it out")
    if accuracy is None:
        return threshold
    from chargen.classification.labeller import threshold_of

    threshold, share, count = threshold_of(run, accuracy)
    click.echo(
        f"threshold {threshold:.4f}: {share:.1%} of the {count:,} texts held out in training reach it, and of those "
        f"{100 * accuracy:.4g}% or more have the right label",
        err=True,
    )
    return threshold


def _answers(classifier: Labeller, texts: Sequence[str], threshold: float, explained: bool) -> Iterator[Answer]:
    from chargen.classification.explaining import explain

    verdicts = classifier.classify(texts)
    whys: Iterable[Explanation | None] = explain(classifier.logits, texts) if explained else repeat(None, len(texts))
    for verdict, why in zip(verdicts, whys, strict=True):
        yield Answer(verdict, verdict.is_sure(threshold), why)

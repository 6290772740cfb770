"""`chargen classify`: print a label and its probability for each text."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import click

from chargen.cli.command import Command, excludes, needs
from chargen.cli.completion import RunName
from chargen.cli.labelling import UNSURE, Answer, Known, OpenTexts
from chargen.cli.output import reader_may_leave, tell

if TYPE_CHECKING:
    from chargen.classification.explaining import Explanation
    from chargen.classification.labeller import Labeller
    from chargen.cli.labelling import Row
    from chargen.runs.folder import Run

NOTICES = {  # printed to standard error at the end, for counts above 0
    "unknown": "characters read as unknown, since {run} never saw them: {count:,}",
    "unfamiliar": "texts unlike anything that {run} was trained on: {count:,}",
    "blank": "blank lines of tables, left out: {count:,}",
    "unlabelled": "blank texts, which get no label: {count:,}",
}
RULES = [
    excludes("files", "names the texts", "texts"),
    needs("text_column", "files"),
    excludes("threshold", "sets the threshold", "target_accuracy"),
]
GROUPS = {
    "Texts": ("model", "files", "text_column", "encoding"),
    "Answer": ("top", "threshold", "target_accuracy", "explain", "as_json"),
    "Engine": ("device",),
}
BATCH = 1000  # texts labelled together
BATCH_CHARACTERS = 1 << 24  # or fewer texts, if these are long
EXPLAINED_BATCH = 20  # fewer, since an explanation reads each text many times


@click.command(cls=Command, groups=GROUPS, rules=RULES)
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@click.option(
    "-m",
    "--model",
    type=RunName(),
    help="A run: its name under checkpoints/, or its path.  [default: the newest classifier]",
)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    help="Label each row of a table (CSV, TSV, JSONL, JSON, Parquet) or each line of another file, or the whole file "
    "if the run was trained on whole files; repeatable.",
)
@click.option(
    "--text-column", multiple=True, help="Column of the texts in tables; repeatable.  [default: as in training]"
)
@click.option("--encoding", help="Encoding of files and standard input.  [default: utf-8]")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="cpu, cuda, …; auto is the CPU, but for many texts the GPU, if there is one.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show the N likeliest labels.  [default: 1; with --json all]",
)
@click.option(
    "--threshold",
    type=float,
    metavar="P",
    help="Answer `unsure` if no label has at least probability P (0 to 1), or the text is unlike any in training.",
)
@click.option(
    "--target-accuracy",
    type=float,
    metavar="A",
    help="Like --threshold, with the lowest P at which at least a fraction A of the held-out texts got the right "
    "label.",
)
@click.option("--explain", is_flag=True, help="Show which words or characters speak for and against the label.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per text, with the probability of every label."
)
def command(**options: Any) -> None:
    """Print a label and its probability for each TEXT, or for each row or line of --file or standard input (also -).

    A table is printed with all its columns and two new ones, label and probability (predicted_label and
    predicted_probability if those names are taken). CSV and TSV keep their format; other tables become JSON lines.
    If the run was trained on whole files, the name of the file comes before its label. Blank texts get no label.
    --top adds the columns label_2, probability_2, …

    With --threshold or --target-accuracy, `unsure` replaces a label that is not probable enough, beside the
    probability of that label; in JSON the label is null and "unsure" is true. A text whose n-grams are unlike those
    in training ("familiar" is false) is unsure too, unless the threshold is 0.

    --explain leaves out each word in turn, or each character of a single word, and measures by how much the log-odds
    of the likeliest label fall. A terminal shows what speaks for the label in green and what speaks against it in
    red; other output lists the strongest; in JSON "why" has all.

    \b
    chargen classify "Kowalczyk" --top 3 --explain
    chargen classify -m reviews --file new.csv --target-accuracy 0.95 > labelled.csv
    chargen classify -m reviews --file new.txt --json
    """
    from chargen.classification.labeller import Labeller
    from chargen.kinds import CLASSIFIER
    from chargen.runs.search import find_run

    if "-" in options["texts"]:
        if len(options["texts"]) > 1:
            raise click.UsageError("TEXT - is standard input: leave the others out, or put them into it")
        options["texts"] = ()
    request = Request(**options)
    if request.texts and request.encoding is not None:
        raise click.UsageError("--encoding is for files and standard input, and TEXT is neither: leave it out")
    run = find_run(request.model, CLASSIFIER)
    threshold = _threshold(run, request.threshold, request.target_accuracy)
    with reader_may_leave():
        _label(run, Labeller(run, request.device), request, threshold)


@dataclass(frozen=True)
class Request:
    """What to label and how to show it, as typed."""

    texts: tuple[str, ...]
    model: str | None
    files: tuple[str, ...]
    text_column: tuple[str, ...]
    encoding: str | None
    device: str
    top: int | None
    threshold: float | None
    target_accuracy: float | None
    explain: bool
    as_json: bool


def _label(run: Run, classifier: Labeller, request: Request, threshold: float | None) -> None:
    """Print the label of each text, and at the end the notices."""
    from tqdm import tqdm

    from chargen.cli.labelling import json_writer, open_files, writer_for
    from chargen.text.records import LabelledRecord

    files = request.files or ("-",)
    opened = OpenTexts(len(request.texts), [], zip(request.texts, repeat(None)))
    if not request.texts:
        opened = open_files(files, request.encoding or "utf-8", request.text_column, run.data(LabelledRecord))
    if request.explain and any(opened.tables) and not request.as_json:
        raise click.UsageError("a table has no room for --explain: add --json, or leave --explain out")
    top = min(request.top or 1, len(classifier.labels))
    write = json_writer(request.top, threshold) if request.as_json else writer_for(opened.tables, top)
    batch_size = EXPLAINED_BATCH if request.explain else BATCH
    hidden = None if request.files and not sys.stdout.isatty() else True  # None: hidden unless stderr is a terminal
    counts = Counter[str]()
    with tqdm(total=opened.total, unit=" texts", disable=hidden, leave=False, file=sys.stderr) as bar:
        for batch in _batches(opened.rows, batch_size):
            texts = [text for text, _ in batch if text.strip()]
            answers = iter(_answers(classifier, texts, threshold or 0.0, request.explain))
            for text, row in batch:
                answer = next(answers) if text.strip() else None
                write(text, row, answer)
                if answer and isinstance(row, Known):
                    counts["known"] += 1
                    counts["right"] += answer.verdict.label in row.labels
                counts["unfamiliar"] += answer is not None and answer.verdict.familiar is False
            sys.stdout.flush()
            unknown = (classifier.tokenizer.unknown(part) for part in classifier.tokenizer.cut(texts))
            counts["unknown"] += sum(sum(part.values()) for part in unknown)
            counts["unlabelled"] += len(batch) - len(texts)
            bar.update(len(batch))
    counts["blank"] = sum(table.blank for table in opened.tables if table)
    if known := counts["known"]:
        share = f"{counts['right']:,} of {known:,} ({counts['right'] / known:.1%})"
        tell(f"labels in front of the lines, left out of the texts: {share} are those found")
    for name, notice in NOTICES.items():
        if count := counts[name]:
            tell(notice.format(run=run.name, count=count))
    for text in filter(os.path.isfile, request.texts):
        tell(f"{text} was labelled as a text, though it is a file: --file labels the texts in it")


def _batches(rows: Iterable[tuple[str, Row]], most: int) -> Iterator[list[tuple[str, Row]]]:
    """Divide texts into batches of at most `most` that are not much longer than BATCH_CHARACTERS."""
    batch: list[tuple[str, Row]] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += len(row[0])
        if len(batch) == most or characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _threshold(run: Run, threshold: float | None, accuracy: float | None) -> float | None:
    """The threshold to use: the one given, or the one that reaches `accuracy`, which is printed to standard error.

    Raises:
        ChargenError: A value is outside 0 to 1, a label is called `unsure`, or no threshold reaches the accuracy.
    """
    from chargen.errors import ChargenError

    for name, value in (("--threshold", threshold), ("--target-accuracy", accuracy)):
        if value is None:
            continue
        if not 0 <= value <= 1:
            raise ChargenError(f"{name} is {value:g}, but must be from 0 to 1")
        if UNSURE in run.labels():
            raise ChargenError(
                f"{run.name} has a label {UNSURE!r}, the word that {name} would answer with: leave {name} out"
            )
    if accuracy is None:
        return threshold
    from chargen.classification.labeller import threshold_of

    threshold, reached, count = threshold_of(run, accuracy)
    tell(
        f"threshold {threshold:.4f}: {reached:.1%} of the {count:,} texts held out in training reach it, and of "
        f"those {100 * accuracy:.4g}% or more have the right label"
    )
    return threshold


def _answers(classifier: Labeller, texts: Sequence[str], threshold: float, explained: bool) -> Iterator[Answer]:
    """Label texts, none of them blank, and explain the labels if asked to."""
    from chargen.classification.explaining import explain

    verdicts = classifier.classify(texts)
    whys: Iterable[Explanation | None] = explain(classifier.logits, texts) if explained else repeat(None, len(texts))
    for verdict, why in zip(verdicts, whys, strict=True):
        yield Answer(verdict, verdict.is_sure(threshold), why)

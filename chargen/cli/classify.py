"""`chargen classify`: texts in, a label and its probability a line out."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from chargen.cli.completion import RunName
from chargen.cli.output import escape, reader_may_leave

if TYPE_CHECKING:
    from chargen.classification.explaining import Why
    from chargen.classification.labeller import Labeller, Verdict
    from chargen.runs.folder import Run
    from chargen.text.records import LabelledRecord
    from chargen.text.tables import Table

    Row = list[str] | dict[str, Any] | str | None  # of CSV and TSV, of other tables; a file's name; none for a line
    Write = Callable[[str, Row, "Answer | None"], None]  # told each text, its row, and its label unless it is blank

READ_AT_ONCE = 1000  # texts labelled together
EXPLAINED_AT_ONCE = 20  # for which each is read many times
UNSURE = "unsure"  # instead of a label


class Answer(NamedTuple):
    """What there is to show of a text."""

    verdict: Verdict
    sure: bool
    why: Why | None  # only if asked for

    def labels(self, top: int) -> list[tuple[str, float]]:
        """The likeliest labels and their probabilities, the first being UNSURE where that is the answer."""
        (label, probability), *others = list(self.verdict.probabilities.items())[:top]
        return [(label if self.sure else UNSURE, probability), *others]


@click.command()
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
def command(
    texts: tuple[str, ...],
    model: str | None,
    files: tuple[str, ...],
    text_column: tuple[str, ...],
    encoding: str,
    device: str,
    top: int | None,
    threshold: float | None,
    target_accuracy: float | None,
    explain: bool,
    as_json: bool,
) -> None:
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
    from tqdm import tqdm

    from chargen.kinds import CLASSIFIER
    from chargen.runs.search import find_run
    from chargen.text.tables import Table

    if texts and files:
        raise click.UsageError("texts and --file contradict: leave out one of the two")
    if text_column and not files:
        raise click.UsageError("--text-column is for tables: name one with --file")
    if threshold is not None and target_accuracy is not None:
        raise click.UsageError("--threshold and --target-accuracy contradict: leave out one of the two")
    run = find_run(model, CLASSIFIER)
    threshold = _threshold(run, threshold, target_accuracy)
    from chargen.classification.labeller import Labeller
    from chargen.text import records

    classifier = Labeller(run, device)
    total, tables = len(texts), list[Table | None]()
    waiting: Iterator[tuple[str, Row]] = zip(texts, repeat(None))
    if not texts:
        total, tables, waiting = _open(files or ("-",), encoding, text_column, run.data(records.LabelledRecord))
    if explain and any(tables) and not as_json:
        raise click.UsageError("a table has no room for --explain: add --json, or leave it out")
    shown = min(top or 1, len(classifier.labels))
    write = _json_writer(top, threshold) if as_json else _writer(tables, shown)
    unknown = textless = strange = 0
    hidden = None if files and not sys.stdout.isatty() else True  # None: unless at a terminal
    with reader_may_leave(), tqdm(total=total, unit=" texts", disable=hidden, leave=False, file=sys.stderr) as bar:
        while part := list(islice(waiting, EXPLAINED_AT_ONCE if explain else READ_AT_ONCE)):
            kept = [text for text, _ in part if text.strip()]
            answers = iter(_answers(classifier, kept, threshold or 0.0, explain))
            for text, row in part:
                answer = next(answers) if text.strip() else None
                write(text, row, answer)
                strange += answer is not None and answer.verdict.familiar is False
            sys.stdout.flush()
            unknown += sum(sum(classifier.tokenizer.unknown(text).values()) for text in kept)
            textless += len(part) - len(kept)
            bar.update(len(part))
    if unknown:
        click.echo(f"read as unknown, for {run.name} never saw them: {unknown:,} characters", err=True)
    if strange:
        click.echo(f"unlike anything that {run.name} was trained with: {strange:,} of the texts", err=True)
    if blank := sum(table.blank for table in tables if table):
        click.echo(f"blank lines of tables left out: {blank:,}", err=True)
    if textless:
        click.echo(f"blank, and so without a label: {textless:,} of the texts", err=True)


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
    whys: Iterable[Why | None] = explain(classifier.logits, texts) if explained else repeat(None, len(texts))
    for verdict, why in zip(verdicts, whys, strict=True):
        yield Answer(verdict, verdict.is_sure(threshold), why)


def _open(
    files: Iterable[str], encoding: str, text_column: Sequence[str], recorded: LabelledRecord
) -> tuple[int, list[Table | None], Iterator[tuple[str, Row]]]:
    """How many texts there are; the table of each file, None for lines; and each text with its row.

    recorded: how the run read its own.
    """
    from chargen.text.columns import joined, open_texts
    from chargen.text.documents import read_lines
    from chargen.text.sources import Source, read_source, resolve
    from chargen.text.tables import is_table

    sources = resolve(list(files))
    opened = [
        open_texts(source, encoding, text_column, recorded.columns) if is_table(source) else None
        for source in sources
    ]
    if text_column and not any(opened):
        raise click.UsageError("--text-column is for tables, and no FILE is one: leave it out")

    def texts_of(source: Source) -> Iterator[tuple[str, Row]]:
        if recorded.whole_files:
            yield "".join(read_source(source, encoding)).strip("\n"), source.name
        else:
            yield from zip(read_lines(source, encoding), repeat(None))

    def read() -> Iterator[tuple[str, Row]]:
        for source, found in zip(sources, opened, strict=True):
            if found is None:
                yield from texts_of(source)
                continue
            table, indices = found
            for _, cells in table.rows():
                row = cells if table.dialect else dict(zip(table.columns, cells, strict=True))
                yield joined(cells, indices), row

    counts = [
        found[0].count if found else 1 if recorded.whole_files else sum(1 for _ in read_lines(source, encoding))
        for source, found in zip(sources, opened, strict=True)
    ]
    return sum(counts), [found and found[0] for found in opened], read()


def _writer(tables: Sequence[Table | None], top: int) -> Write:
    """What writes each text's likeliest labels in the form of the files; ChargenError where that is not one form."""
    from chargen.errors import ChargenError

    if not any(tables):
        return _line_writer(top)
    forms = {(table.columns, table.dialect) if table and table.dialect else table and "JSON" for table in tables}
    if len(forms) > 1:
        raise ChargenError("the files are not tables of the same columns: label one at a time, or with --json")
    names = list(dict.fromkeys(name for table in tables if table for name in table.columns))
    numbers = ("", *(f"_{number}" for number in range(2, top + 1)))
    added = [_new_name(f"{name}{number}", names) for number in numbers for name in ("label", "probability")]
    assert tables[0]
    return _row_writer(tables[0], added) if tables[0].dialect else _record_writer(added)


def _new_name(name: str, names: Sequence[str]) -> str:
    while name in names:
        name = f"predicted_{name}"
    return name


def _line_writer(top: int) -> Write:
    """A line of labels and probabilities; what explains them follows, in colour at a terminal."""
    from chargen.cli.showing import coloured, strongest

    in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def write(text: str, row: Row, answer: Answer | None) -> None:
        cells, below = [escape(row)] if isinstance(row, str) else [], ""
        found = [(escape(label), f"{probability:.4f}") for label, probability in answer.labels(top)] if answer else []
        cells += chain.from_iterable(found or [("", "")] * top)
        if answer and answer.why is not None and in_colour:
            below = coloured(answer.why) + "\n"
        elif answer and answer.why is not None:
            cells += strongest(answer.why)
        sys.stdout.write("\t".join(cells) + "\n" + below)

    return write


def _json_writer(top: int | None, threshold: float | None) -> Write:
    """A JSON object a text; `unsure` is there with a threshold, `familiar` where the run has n-grams."""

    def write(text: str, row: Row, answer: Answer | None) -> None:
        record: dict[str, Any] = {"file": row} if isinstance(row, str) else {}
        record |= {"text": text, "label": None, "probabilities": {}}
        if answer:
            record["label"] = answer.verdict.label if answer.sure else None
            record["probabilities"] = dict(islice(answer.verdict.probabilities.items(), top))
        if threshold is not None:
            record["unsure"] = answer is not None and not answer.sure
        if answer and answer.verdict.familiar is not None:
            record["familiar"] = answer.verdict.familiar
        if answer and answer.why is not None:
            record["why"] = answer.why
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")

    return write


def _row_writer(table: Table, added: Sequence[str]) -> Write:
    """Rows as the table has them: where quotation marks are characters, nothing is quoted."""
    assert table.dialect
    quoted = table.dialect.quoted
    quoting: Any = {"quoting": csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, "quotechar": '"' if quoted else None}
    writer = csv.writer(sys.stdout, delimiter=table.dialect.delimiter, lineterminator="\n", **quoting)
    if table.header:
        writer.writerow([*table.columns, *added])

    def write(text: str, row: Row, answer: Answer | None) -> None:
        assert isinstance(row, list)
        cells = [""] * len(added)
        if answer:
            found = answer.labels(len(added) // 2)
            cells[::2] = [label if quoted else escape(label) for label, _ in found]
            cells[1::2] = [f"{probability:.4f}" for _, probability in found]
        writer.writerow([*row, *cells])

    return write


def _finite(value: Any) -> Any:
    """A value as JSON allows it: without infinite numbers and those that are none."""
    if isinstance(value, dict):
        return {name: _finite(own) for name, own in value.items()}
    if isinstance(value, list):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _record_writer(added: Sequence[str]) -> Write:
    """A JSON object a row; what JSON has no type for, such as a date, is text, and what is no number null."""

    def write(text: str, row: Row, answer: Answer | None) -> None:
        assert isinstance(row, dict)
        record = _finite(row)
        found = [cell for pair in answer.labels(len(added) // 2) for cell in pair] if answer else [None] * len(added)
        record |= zip(added, found, strict=True)
        sys.stdout.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")

    return write

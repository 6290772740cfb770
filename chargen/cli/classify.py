"""`chargen classify`: texts in, a label and its probability a line out."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

import click

from chargen.cli.completion import RunName
from chargen.cli.output import escape, reader_may_leave

if TYPE_CHECKING:
    from chargen.classification import Verdict
    from chargen.text.tables import Columns, Table

    Row = list[str] | dict[str, Any] | None  # of CSV and TSV, of other tables, none for a line
    Write = Callable[[str, Row, Verdict | None], None]  # told each text, its row, and its label unless it is blank

READ_AT_ONCE = 1000  # texts labelled together


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
    help="Label each row of a table (CSV, TSV, JSONL, JSON, Parquet), each line of another file; repeatable.",
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
    as_json: bool,
) -> None:
    """Label each TEXT; with none, each row or line of a file, or each line of standard input.

    A table comes back with all its columns and two more, label and probability, called predicted_label and
    predicted_probability where it has such columns: CSV and TSV as they are, the others as JSON lines. A row without
    text gets no label.

    \b
    chargen classify "Kowalczyk"
    chargen classify -m reviews --file new.csv > labelled.csv
    chargen classify -m reviews --file new.txt --json
    """
    from tqdm import tqdm

    from chargen.checkpoint import CLASSIFIER, find_run
    from chargen.text.tables import Columns, Table

    if texts and files:
        raise click.UsageError("texts and --file contradict: leave out one of the two")
    if text_column and not files:
        raise click.UsageError("--text-column is for tables: name one with --file")
    run = find_run(model, CLASSIFIER)
    from chargen.classification import TextClassifier

    classifier = TextClassifier(run, device)
    total, tables = len(texts), list[Table | None]()
    waiting: Iterator[tuple[str, Row]] = zip(texts, repeat(None))
    if not texts:
        recorded = Columns.from_record(run.config["data"].get("columns"))
        total, tables, waiting = _open(files or ("-",), encoding, text_column, recorded)
    write = _as_json if as_json else _writer(tables)
    unknown = textless = 0
    hidden = None if files and not sys.stdout.isatty() else True  # None: unless at a terminal
    with reader_may_leave(), tqdm(total=total, unit=" texts", disable=hidden, leave=False, file=sys.stderr) as bar:
        while part := list(islice(waiting, READ_AT_ONCE)):
            kept = [text for text, row in part if text or row is None]
            verdicts = iter(classifier.classify(kept))
            for text, row in part:
                write(text, row, next(verdicts) if text or row is None else None)
            sys.stdout.flush()
            unknown += sum(sum(classifier.tokenizer.unknown(text).values()) for text in kept)
            textless += len(part) - len(kept)
            bar.update(len(part))
    if unknown:
        click.echo(f"read as unknown, for {run.name} never saw them: {unknown:,} characters", err=True)
    if textless:
        click.echo(f"no label for rows without text: {textless:,}", err=True)


def _open(
    files: Iterable[str], encoding: str, text_column: Sequence[str], recorded: Columns | None
) -> tuple[int, list[Table | None], Iterator[tuple[str, Row]]]:
    """How many texts there are; the table of each file, None for lines; and each text with its row."""
    from chargen.text.documents import read_lines
    from chargen.text.sources import resolve
    from chargen.text.tables import is_table, joined, open_texts

    sources = resolve(list(files))
    opened = [open_texts(source, encoding, text_column, recorded) if is_table(source) else None for source in sources]
    if text_column and not any(opened):
        raise click.UsageError("--text-column is for tables, and no FILE is one: leave it out")

    def read() -> Iterator[tuple[str, Row]]:
        for source, found in zip(sources, opened, strict=True):
            if found is None:
                yield from zip(read_lines(source, encoding), repeat(None))
                continue
            table, indices = found
            for _, cells in table.rows():
                row = cells if table.dialect else dict(zip(table.columns, cells, strict=True))
                yield joined(cells, indices), row

    counts = [
        found[0].count if found else sum(1 for _ in read_lines(source, encoding))
        for source, found in zip(sources, opened, strict=True)
    ]
    return sum(counts), [found and found[0] for found in opened], read()


def _writer(tables: Sequence[Table | None]) -> Write:
    """What writes each text's label in the form of the files; ChargenError where they have no form in common."""
    from chargen.errors import ChargenError

    if not any(tables):
        return _as_line
    forms = {(table.columns, table.dialect) if table and table.dialect else table and "JSON" for table in tables}
    if len(forms) > 1:
        raise ChargenError("the files are not tables of the same columns: label one at a time, or with --json")
    names = list(dict.fromkeys(name for table in tables if table for name in table.columns))
    added = [_new_name(name, names) for name in ("label", "probability")]
    assert tables[0]
    return _as_rows(tables[0], added) if tables[0].dialect else _as_records(added)


def _new_name(name: str, names: Sequence[str]) -> str:
    while name in names:
        name = f"predicted_{name}"
    return name


def _as_line(text: str, row: Row, verdict: Verdict | None) -> None:
    assert verdict  # lines all get one
    sys.stdout.write(f"{escape(verdict.label)}\t{verdict.probability:.4f}\n")


def _as_json(text: str, row: Row, verdict: Verdict | None) -> None:
    label, probabilities = (verdict.label, verdict.probabilities) if verdict else (None, {})
    record = {"text": text, "label": label, "probabilities": probabilities}
    sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")


def _as_rows(table: Table, added: Sequence[str]) -> Write:
    """Rows as the table has them: where quotation marks are characters, nothing is quoted."""
    assert table.dialect
    quoted = table.dialect.quoted
    quoting: Any = {"quoting": csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, "quotechar": '"' if quoted else None}
    writer = csv.writer(sys.stdout, delimiter=table.dialect.delimiter, lineterminator="\n", **quoting)
    if table.header:
        writer.writerow([*table.columns, *added])

    def write(text: str, row: Row, verdict: Verdict | None) -> None:
        assert isinstance(row, list)
        label, probability = (verdict.label, f"{verdict.probability:.4f}") if verdict else ("", "")
        writer.writerow([*row, label if quoted else escape(label), probability])

    return write


def _as_records(added: Sequence[str]) -> Write:
    """A JSON object a row; what JSON has no type for, such as a date, is text."""

    def write(text: str, row: Row, verdict: Verdict | None) -> None:
        assert isinstance(row, dict)
        record = {name: None if value != value else value for name, value in row.items()}  # no NaN in JSON
        record |= zip(added, (verdict.label, verdict.probability) if verdict else (None, None), strict=True)
        sys.stdout.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")

    return write

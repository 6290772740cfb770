"""Labelled examples, read from one table, folder or text file at a time."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from chargen.errors import ChargenError
from chargen.text.columns import Columns, find_columns, names_of, reading_note, row_text
from chargen.text.documents import read_lines, read_whole
from chargen.text.packed import is_hidden
from chargen.text.sources import Source, read_source, resolve
from chargen.text.tables import PARQUET, SUFFIXES, is_parquet, read_table

Example = tuple[str, str]  # text, label
PREFIX = "__label__"  # of a label in front of a line, as fastText has it
SPACE = re.compile(r"[ \t\v\f]+")  # what ends such a label
SAMPLE = 100  # lines that tell a table from texts
UNLABELLED = ("unsup", "unsupervised", "unlabeled", "unlabelled")  # parts of a split without labels
SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", *UNLABELLED)


@dataclass
class Found:
    """What was read so far, and how to read."""

    strict: bool = True  # refuse what could be read in several ways
    skip_unlabelled: bool = False  # leave out texts without label; else refuse them
    examples: list[Example] = field(default_factory=list)
    columns: Columns | None = None  # of the first table
    empty: int = 0  # empty rows, lines and files
    textless: int = 0  # rows with other cells, but no text
    unlabelled: int = 0  # texts without label
    headers: int = 0  # rows that repeat the header, as where files were joined
    files: int = 0  # examples that are files
    named: set[str] = field(default_factory=set)  # names of files that became labels of their lines
    notes: list[str] = field(default_factory=list)

    def add(self, text: str, label: str) -> None:
        """Add an example, unless its text is blank."""
        if text.strip():
            self.examples.append((text, label))
        else:
            self.empty += 1

    def add_unlabelled(self, where: str, advice: str) -> None:
        """Count a text without label; ChargenError, with another way out, unless such texts are left out."""
        if not self.skip_unlabelled:
            raise ChargenError(f"{where}: {advice}, or leave out such texts with --skip-unlabelled")
        self.unlabelled += 1


def refuse_splits(names: Collection[str], where: str) -> None:
    """ChargenError if names that would be labels are those of the parts of a split.

    Args:
        names: Of folders or files; none will do.
        where: They lie, for messages.

    >>> refuse_splits({"neg", "pos"}, "films")
    """
    split = [name for name in names if name.casefold() in SPLITS]
    if split and (len(split) == len(names) or {"train", "test"} <= set(split)):
        raise ChargenError(
            f"{where} would give the labels {', '.join(sorted(names))}, but these look like parts of a split: name "
            "the labelled texts to train on as input and others with --val, or rename what is a label"
        )
    if unlabelled := [name for name in split if name.casefold() in UNLABELLED]:
        raise ChargenError(
            f"{where} would give the label {unlabelled[0]}, but this looks like texts without labels: leave them out "
            "with --skip-unlabelled, or rename it if it is a label"
        )


def read_folder(found: Found, folder: Path, encoding: str) -> None:
    """Read a folder with one folder per label, else one file per label."""
    subfolders = sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))
    if found.skip_unlabelled:
        unlabelled = [path for path in subfolders if path.name.casefold() in UNLABELLED]
        found.unlabelled += len(resolve([str(path) for path in unlabelled]))
        subfolders = [path for path in subfolders if path not in unlabelled]
    refuse_splits([path.name for path in subfolders], str(folder))
    for path in subfolders:
        for source in resolve([str(path)]):
            _read_whole_file(found, source, path.name, encoding)
    if subfolders:
        return
    binary = [Source(str(path), path) for path in sorted(folder.iterdir()) if path.suffix.lower() in PARQUET]
    sources = binary or resolve([str(folder)])
    if all(source.plain.suffix.lower() in SUFFIXES for source in sources):
        raise ChargenError(f"the folder {folder} holds tables: name one of them, such as {sources[0].name}")
    refuse_splits({source.plain.stem for source in sources}, str(folder))
    for source in sources:
        read_line_file(found, source, encoding)


def read_archive(found: Found, sources: Sequence[Source], encoding: str) -> bool:
    """Read an archive with one folder per label, each file an example; False for an archive of another form.

    Args:
        found: Where the examples go.
        sources: The archive's files.
        encoding: Of the files.

    Raises:
        ChargenError: The folders have the names of the parts of a split.
    """
    folders = [source.member.split("/")[:-1] for source in sources]
    shared = next((depth for depth, names in enumerate(zip(*folders, strict=False)) if len(set(names)) > 1), None)
    if shared is None or any(source.plain.suffix.lower() in SUFFIXES for source in sources):
        return False
    labelled = [(names[shared], source) for names, source in zip(folders, sources, strict=True)]
    if found.skip_unlabelled:
        found.unlabelled += sum(label.casefold() in UNLABELLED for label, _ in labelled)
        labelled = [(label, source) for label, source in labelled if label.casefold() not in UNLABELLED]
    refuse_splits({label for label, _ in labelled}, sources[0].name.removesuffix(f"/{sources[0].member}"))
    for label, source in labelled:
        _read_whole_file(found, source, label, encoding)
    return True


def _read_whole_file(found: Found, source: Source, label: str, encoding: str) -> None:
    text = read_whole(source, encoding).strip("\n")
    found.add(text, label)
    found.files += bool(text.strip())


def is_lines(source: Source, encoding: str) -> bool:
    """Whether each line of a file is an example: by its suffix, or by a label in front if it has no suffix."""
    suffix = source.plain.suffix.lower()
    return suffix not in SUFFIXES if suffix else not is_parquet(source) and has_labels(source, encoding)


def has_labels(source: Source, encoding: str) -> bool:
    """Whether the first line with text begins with a label."""
    return next(read_source(source, encoding), "").lstrip().startswith(PREFIX)


def split_labels(line: str) -> tuple[tuple[str, ...], str]:
    """The labels in front of a line, and its text.

    >>> split_labels("__label__pos so good"), split_labels("so good")
    ((('pos',), 'so good'), ((), 'so good'))
    """
    labels, text = list[str](), line.strip()
    while text.startswith(PREFIX):
        label, *rest = SPACE.split(text, maxsplit=1)
        labels.append(label.removeprefix(PREFIX))
        text = "".join(rest)
    return tuple(labels), text


def read_line_file(found: Found, source: Source, encoding: str) -> None:
    """Read each line as an example; its label is in front, or is the file's name."""
    if has_labels(source, encoding):
        _read_labelled_lines(found, source, encoding)
        return
    if found.strict:
        _refuse_table(source, encoding)
    found.named.add(source.plain.stem)
    for number, line in enumerate(read_lines(source, encoding), start=1):
        if line.startswith(PREFIX):
            raise ChargenError(
                f"{source.name}, line {number}, begins with {PREFIX}, but the first line does not: put a label in "
                "front of each line, or of none"
            )
        found.add(line.strip(), source.plain.stem)


def _read_labelled_lines(found: Found, source: Source, encoding: str) -> None:
    found.notes.append(f"reading labels from {PREFIX} in front of each line")
    for number, line in enumerate(read_lines(source, encoding), start=1):
        labels, text = split_labels(line)
        where = f"{source.name}, line {number}, does not begin with one label, such as {PREFIX}x, and a space"
        if len(labels) > 1 or "" in labels:
            raise ChargenError(f"{where}: each line must have exactly one")
        if labels:
            found.add(text, labels[0])
        elif text:
            found.add_unlabelled(where, "each line must have exactly one")
        else:
            found.empty += 1


def _refuse_table(source: Source, encoding: str) -> None:
    """ChargenError if each of the first lines has the same number of tabs."""
    lines = [line for line in islice(read_lines(source, encoding), SAMPLE) if line.strip()]
    if len(lines) > 1 and len(tabs := {line.count("\t") for line in lines}) == 1 and (count := tabs.pop()):
        raise ChargenError(
            f"{source.name} looks like a table, since each line has {count + 1} cells with tabs between them: name "
            "it .tsv, or replace the tabs if each line is one text"
        )


def read_table_file(
    found: Found,
    source: Source,
    encoding: str,
    text: Sequence[str],
    label: str | None,
    header: bool | None,
) -> None:
    """Read each row with a text and a label as an example."""
    wanted = (*text, *names_of(label))
    table, rows = read_table(source, encoding, wanted=wanted, header=header, strict=found.strict)
    found.empty += table.blank
    if not rows:
        return
    columns = find_columns(table, rows, text, label, strict=found.strict)
    found.columns = found.columns or columns
    found.notes.append(reading_note(table, columns))
    text_indices = [table.columns.index(name) for name in columns.text]
    label_index = table.columns.index(columns.label)
    for row in rows:
        label_of_row = row.cells[label_index].strip()
        if table.header and tuple(row.cells) == table.first:
            found.headers += 1
        elif text_of_row := row_text(row.cells, text_indices):
            if label_of_row:
                found.examples.append((text_of_row, label_of_row))
            else:
                found.add_unlabelled(f"{source.name}, {row.place}, has no label in {columns.label!r}", "add it")
        elif any(cell.strip() for cell in row.cells):
            found.textless += 1
        else:
            found.empty += 1

"""Labelled examples, read from one table, folder or text file at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chargen.errors import ChargenError
from chargen.text.columns import Columns, find_columns, names_of, reading_note, row_text
from chargen.text.documents import read_lines, read_whole
from chargen.text.sources import Source, resolve
from chargen.text.tables import PARQUET, SUFFIXES, read_table

Example = tuple[str, str]  # text, label
PREFIX = "__label__"  # of a label in front of a line, as fastText has it
UNLABELLED = ("unsup", "unsupervised", "unlabeled", "unlabelled")  # parts of a split without labels
SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", *UNLABELLED)


@dataclass
class Found:
    """What was read so far."""

    examples: list[Example] = field(default_factory=list)
    columns: Columns | None = None  # of the first table
    empty: int = 0  # empty rows, lines and files
    textless: int = 0  # rows with other cells, but no text
    files: int = 0  # examples that are files
    named: set[str] = field(default_factory=set)  # names of files that became labels of their lines
    notes: list[str] = field(default_factory=list)

    def add(self, text: str, label: str) -> None:
        """Add an example, unless its text is blank."""
        if text.strip():
            self.examples.append((text, label))
        else:
            self.empty += 1


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
            f"{where} would give the label {unlabelled[0]}, but this looks like texts without labels: move it "
            "elsewhere, or rename it if it is a label"
        )


def read_folder(found: Found, folder: Path, encoding: str) -> None:
    """Read a folder with one folder per label, else one file per label."""
    subfolders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    refuse_splits([path.name for path in subfolders], str(folder))
    for path in subfolders:
        for source in resolve([str(path)]):
            text = read_whole(source, encoding)
            found.add(text, path.name)
            found.files += bool(text.strip())
    if subfolders:
        return
    binary = [Source(str(path), path) for path in sorted(folder.iterdir()) if path.suffix.lower() in PARQUET]
    sources = binary or resolve([str(folder)])
    if all(source.plain.suffix.lower() in SUFFIXES for source in sources):
        raise ChargenError(f"the folder {folder} holds tables: name one of them, such as {sources[0].name}")
    refuse_splits({source.plain.stem for source in sources}, str(folder))
    for source in sources:
        read_line_file(found, source, encoding)


def is_lines(source: Source) -> bool:
    """Whether each line of a file is an example: by its suffix, or by a label in front if it has no suffix."""
    suffix = source.plain.suffix.lower()
    return suffix not in SUFFIXES if suffix else _has_labels(source)


def read_line_file(found: Found, source: Source, encoding: str) -> None:
    """Read each line as an example; its label is in front, or is the file's name."""
    if not _has_labels(source):
        found.named.add(source.plain.stem)
        for line in read_lines(source, encoding):
            found.add(line.strip(), source.plain.stem)
        return
    found.notes.append(f"reading labels from {PREFIX} in front of each line")
    for number, line in enumerate(read_lines(source, encoding), start=1):
        first, _, text = line.strip().partition(" ")
        label = first.removeprefix(PREFIX)
        if first and (label in ("", first) or text.lstrip().startswith(PREFIX)):
            raise ChargenError(
                f"{source.name}, line {number}, does not begin with one label, such as {PREFIX}x, and a space: each "
                "line must have exactly one"
            )
        found.add(text.strip(), label)


def _has_labels(source: Source) -> bool:
    return next(source.blocks(size=len(PREFIX)), b"") == PREFIX.encode()


def read_table_file(
    found: Found,
    source: Source,
    encoding: str,
    text: Sequence[str],
    label: str | None,
    header: bool | None,
    strict: bool,
) -> None:
    """Read each row with a text as an example; ChargenError if it has no label."""
    table, rows = read_table(source, encoding, wanted=(*text, *names_of(label)), header=header)
    found.empty += table.blank
    if not rows:
        return
    columns = find_columns(table, rows, text, label, strict=strict)
    found.columns = found.columns or columns
    found.notes.append(reading_note(table, columns))
    text_indices = [table.columns.index(name) for name in columns.text]
    label_index = table.columns.index(columns.label)
    for row in rows:
        if text_of_row := row_text(row.cells, text_indices):
            if not row.cells[label_index].strip():
                raise ChargenError(f"{source.name}, {row.place}, has no label in {columns.label!r}: add it")
            found.examples.append((text_of_row, row.cells[label_index].strip()))
        elif any(cell.strip() for cell in row.cells):
            found.textless += 1
        else:
            found.empty += 1

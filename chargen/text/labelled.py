"""Labelled sets: texts and the class of each, from tables, JSON lines, and folders."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chargen.errors import ChargenError
from chargen.text.documents import read_lines
from chargen.text.sources import Source, read_source, resolve
from chargen.text.tables import DELIMITERS, JSON_LINES, find_columns, read_table
from chargen.text.tokenizers import Ids, Tokenizer

Example = tuple[str, str]  # text, label


@dataclass(frozen=True)
class LabelledSet:
    """Texts, and the label of each."""

    texts: list[str]
    labels: list[str]

    @property
    def names(self) -> list[str]:
        """The distinct labels, sorted."""
        return sorted(set(self.labels))

    def select(self, indices: Sequence[int]) -> LabelledSet:
        """Some of the examples."""
        return LabelledSet([self.texts[i] for i in indices], [self.labels[i] for i in indices])

    def fingerprint(self) -> str:
        """SHA-256 of texts and labels, in hexadecimal."""
        digest = hashlib.sha256()
        for part in (*self.texts, *self.labels):
            digest.update(part.encode() + b"\0")
        return digest.hexdigest()


def read_labelled(
    inputs: Sequence[str],
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    encoding: str = "utf-8",
    for_training: bool = True,
) -> LabelledSet:
    """The examples in CSV, TSV or JSONL files, in folders, in text files named by label, in named corpora.

    A folder has one folder per label, each file an example, or one file per label, each line an example.
    Columns that are not named are found: by usual names, else the longest values are texts and the fewest
    distinct ones labels. Columns of a table without header are called 1, 2, … Examples with an empty text are
    dropped. Raises ChargenError for a column that is absent, a row without label, no example at all, and,
    unless the set is only to be measured with, for a single label or a label with a single example.
    """
    found: list[Example] = []
    for given in inputs:
        if Path(given).is_dir():
            found += _folder(Path(given), encoding)
        else:
            for source in resolve([given], kinds=("labelled",)):
                found += _file(source, text_column, label_column, encoding)
    examples = [(text, label) for text, label in found if text.strip()]
    where = ", ".join(inputs)
    if not examples:
        raise ChargenError(f"there is no example in {where}: name a file or folder with labelled texts")
    texts, labels = map(list, zip(*examples, strict=True))
    if for_training:
        _require_variety(labels, where)
    return LabelledSet(texts, labels)


def stratified_split(labels: Sequence[str], fraction: float, seed: int = 0) -> tuple[list[int], list[int]]:
    """Indices to train on and indices held out, each sorted, every label in both.

    Of each label about `fraction` is held out, drawn by `seed`. Raises ChargenError for a fraction not between
    0 and 1 and for a label with a single example.
    """
    if not 0 < fraction < 1:
        raise ChargenError(f"the fraction held out is {fraction}, but must be between 0 and 1")
    indices: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        indices.setdefault(label, []).append(index)
    draw = random.Random(seed)
    train: list[int] = []
    held_out: list[int] = []
    for label, members in sorted(indices.items()):
        if len(members) == 1:
            raise _lonely(label, "these examples")
        draw.shuffle(members)
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held_out += members[:count]
        train += members[count:]
    return sorted(train), sorted(held_out)


def encode_example(tokenizer: Tokenizer, text: str, *, documents: bool, max_length: int) -> Ids:
    """The ids (N,) of a text as a classifier reads it, N from 1 to `max_length`.

    documents: between begin and end symbol; else between line breaks, where the tokenizer has them, which is how
    texts stand in the stream that an encoder taken over from a language model knows.
    """
    if documents:
        edges = [np.array([token], np.int32) for token in (tokenizer.bos_id, tokenizer.eos_id)]
    else:
        edges = [tokenizer.encode("" if tokenizer.unknown("\n") else "\n")] * 2
    ids = np.concatenate([edges[0], tokenizer.encode(text), edges[1]])[:max_length]
    return ids if len(ids) else np.array([tokenizer.bos_id], np.int32)


def batches_by_length(texts: Sequence[np.ndarray], size: int) -> list[np.ndarray]:
    """Indices of texts given as ids, at most `size` in a batch, those of like length together: little is padded."""
    by_length = np.argsort([len(text) for text in texts], kind="stable")
    return [by_length[start : start + size] for start in range(0, len(texts), size)]


def pad(texts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Texts side by side as ids (T, B), zeros after each one's end, and their lengths (B,), both int64."""
    lengths = np.array([len(text) for text in texts])
    ids = np.zeros((lengths.max(), len(texts)), np.int64)
    for column, text in enumerate(texts):
        ids[: len(text), column] = text
    return ids, lengths


def _require_variety(labels: list[str], where: str) -> None:
    counts = Counter(labels)
    if len(counts) == 1:
        raise ChargenError(
            f"all examples in {where} are labelled {labels[0]!r}: a classifier needs at least two labels"
        )
    for label, count in counts.items():
        if count == 1:
            raise _lonely(label, where)


def _lonely(label: str, where: str) -> ChargenError:
    return ChargenError(
        f"the label {label!r} has a single example in {where}: it needs one to learn from and one to be "
        "measured on, so add another or remove it"
    )


def _folder(folder: Path, encoding: str) -> list[Example]:
    """One folder per label, else one file per label."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if classes:
        return [
            ("".join(read_source(source, encoding)).strip("\n"), path.name)
            for path in classes
            for source in resolve([str(path)])
        ]
    sources = resolve([str(folder)])
    if all(source.plain.suffix.lower() in (*DELIMITERS, *JSON_LINES) for source in sources):
        raise ChargenError(f"the folder {folder} holds tables: name one of them, such as {sources[0].name}")
    return [example for source in sources for example in _lines(source, encoding)]


def _file(source: Source, text_column: str | None, label_column: str | None, encoding: str) -> list[Example]:
    """A table, unless the suffix says otherwise: then each line is an example of the label that names it."""
    if source.plain.suffix.lower() not in (*DELIMITERS, *JSON_LINES, ""):
        return _lines(source, encoding)
    table = read_table(source, encoding, [name for name in (text_column, label_column) if name])
    text, label = find_columns(table, text_column, label_column)
    for row, line in zip(table.rows, table.lines, strict=True):
        if not row[label].strip():
            raise ChargenError(f"{source.name}, line {line}, has no label in {table.columns[label]!r}: add it")
    return [(row[text], row[label].strip()) for row in table.rows]


def _lines(source: Source, encoding: str) -> list[Example]:
    return [(line.strip(), source.plain.stem) for line in read_lines(source, encoding)]

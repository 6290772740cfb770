"""Labelled sets: texts and their labels, from tables, folders and text files."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence, Set, Sized
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from chargen.errors import ChargenError
from chargen.text.columns import Columns, names_of
from chargen.text.examples import (
    Found,
    is_lines,
    read_archive,
    read_folder,
    read_line_file,
    read_table_file,
    refuse_splits,
)
from chargen.text.ngrams import words_of
from chargen.text.packed import ARCHIVE
from chargen.text.sources import Source, resolve
from chargen.text.tokenizers.base import Ids, Tokenizer


@dataclass(frozen=True)
class Reading:
    """How a labelled set was read."""

    columns: Columns | None = None  # None if no table was read
    rows_dropped: int = 0  # rows, lines and files without text
    unlabelled: int = 0  # texts without label that were left out
    notes: tuple[str, ...] = ()  # sentences for the user
    whole_files: bool = False  # each text is a file


@dataclass(frozen=True)
class LabelledSet:
    """Texts, each with a label.

    >>> examples = LabelledSet(["fine", "awful", "good"], ["pos", "neg", "pos"])
    >>> examples.label_names, examples.select([1]).texts
    (['neg', 'pos'], ['awful'])
    """

    texts: list[str]
    labels: list[str]  # one per text
    reading: Reading = field(default=Reading(), compare=False)
    label_type: str = field(default="str", compare=False)  # type of the user's labels: str, int or bool

    @property
    def label_names(self) -> list[str]:
        """The distinct labels, sorted."""
        return sorted(set(self.labels))

    def select(self, indices: Sequence[int]) -> LabelledSet:
        """The examples at `indices`, without the notes on how they were read."""
        texts, labels = [self.texts[i] for i in indices], [self.labels[i] for i in indices]
        return LabelledSet(texts, labels, label_type=self.label_type)

    def fingerprint(self) -> str:
        """SHA-256 of texts and labels, in hexadecimal."""
        digest = hashlib.sha256()
        for part in (*self.texts, *self.labels):
            digest.update(part.encode("utf-8", "surrogatepass") + b"\0")  # a label may be the name of any file
        return digest.hexdigest()


def read_labelled(
    inputs: Sequence[str],
    *,
    text_column: str | Sequence[str] | None = None,
    label_column: str | None = None,
    columns: Columns | None = None,
    strict: bool = True,
    skip_unlabelled: bool = False,
    encoding: str = "utf-8",
    for_training: bool = True,
    to_split: bool = True,
) -> LabelledSet:
    """Read labelled texts.

    A table is CSV, TSV, JSONL, a JSON array or Parquet. A folder or zip archive has one folder per label, each file
    an example, or one file per label, each line an example. Lines may also have their label in front, as
    `__label__x`. Names of the parts of a split, such as train, test and unsup, are refused as labels. Rows without
    text are dropped and counted in the set's `reading`, which also says which columns were read.

    Args:
        inputs: Tables, folders, text files named by label, patterns, named corpora.
        text_column: Name of the text column; the texts of several are joined by a line break.
        label_column: Name of the label column. The columns of a table without header are called 1, 2, …
        columns: Columns that a run recorded, used if none is named. Without either, `find_columns` finds them in the
            first table, and the other tables must have the same.
        strict: Refuse to choose between columns that fit equally well; else guess, table by table, as old runs did.
        skip_unlabelled: Leave out texts without label, and count them, instead of refusing them.
        encoding: Of text files.
        for_training: Require at least two labels.
        to_split: For training, also require two examples of each label.

    Raises:
        ChargenError: A column is absent, a row has text but no label, names are those of a split, or there are no or
            too few examples.
    """
    text, label = names_of(text_column), label_column
    header = None
    if columns and not (text and label):
        text, label, header = text or columns.text, label or columns.label, columns.header
    found = Found(strict, skip_unlabelled)
    for given in inputs:
        for source in _not_by_folder(found, given, encoding):
            if is_lines(source, encoding):
                read_line_file(found, source, encoding)
                continue
            read_table_file(found, source, encoding, text, label, header)
            if strict and found.columns:
                text, label, header = found.columns.text, found.columns.label, found.columns.header
    where = ", ".join(inputs)
    refuse_splits(found.named, where)
    if not found.examples:
        raise ChargenError(f"there is no example in {where}: name a file or folder with labelled texts")
    texts, labels = map(list, zip(*found.examples, strict=True))
    if for_training:
        _require_variety(labels, where, to_split, found.named)
    return LabelledSet(texts, labels, _reading(found, where))


def _not_by_folder(found: Found, given: str, encoding: str) -> list[Source]:
    """Read a folder or archive that is laid out by label; the files of any other input are still to be read."""
    if given and Path(given).is_dir():
        read_folder(found, Path(given), encoding)
        return []
    sources = resolve([given], kinds=("labelled",))
    is_read = Path(given).suffix.lower() == ARCHIVE and read_archive(found, sources, encoding)
    return [] if is_read else sources


def stratified_split(
    labels: Sequence[str],
    fraction: float,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
    *,
    keep_single: bool = False,
) -> tuple[list[int], list[int]]:
    """Split examples at random so that every label is on both sides.

    Args:
        labels: Label of each example.
        fraction: Fraction of each label to hold out, between 0 and 1; at least one example of each.
        seed: Of the random draw.
        groups: Group of each example. A group stays on one side, unless a label would then be missing from the other.
        keep_single: Train on a label's only example instead of refusing it.

    Returns:
        Sorted indices to train on, and sorted indices to hold out.

    Raises:
        ChargenError: The fraction is out of range, a label has a single example, or nothing can be held out.

    >>> train, held_out = stratified_split(["a", "b"] * 10, fraction=0.2)
    >>> len(train), len(held_out)
    (16, 4)
    """
    if not 0 < fraction < 1:
        raise ChargenError(f"the fraction held out is {fraction}, but must be between 0 and 1")
    wanted: dict[str, int] = {}
    for label, count in sorted(Counter(labels).items()):
        if count == 1 and not keep_single:
            raise _single_example(label, "these examples")
        wanted[label] = min(max(round(fraction * count), 1), count - 1)
    if not any(wanted.values()):
        raise ChargenError("every label has a single example, so that nothing can be held out: add more")
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(range(len(labels)) if groups is None else groups):
        members.setdefault(group, []).append(index)
    shuffled = list(members.values())
    random.Random(seed).shuffle(shuffled)
    missing, held = Counter(wanted), set[int]()

    def hold_out(pool: Iterable[list[int]], which: Set[str]) -> None:
        for group in pool:
            own = Counter(labels[index] for index in group)
            if held.isdisjoint(group) and own.keys() & which and all(missing[label] >= own[label] for label in own):
                held.update(group)
                missing.subtract(own)

    hold_out(shuffled, wanted.keys())
    hold_out(([index] for group in shuffled for index in group), {x for x in wanted if missing[x] == wanted[x]})
    return [index for index in range(len(labels)) if index not in held], sorted(held)


def groups_of(texts: Sequence[str]) -> list[Hashable]:
    """Group texts that differ but have the same words in any order; every other text is its own group.

    If such variants were split, held-out texts would be too easy or, where word order decides the label, misleading.
    Exact copies are not grouped: a text that occurs twice in the sample will occur again in real use.

    Returns:
        A key per text, equal within a group.

    >>> groups_of(["The cat sat.", "the sat, cat", "dog", "dog"])
    ['cat sat the', 'cat sat the', 2, 3]
    """
    keys = [" ".join(sorted(words_of(text))) for text in texts]
    variants: dict[str, set[str]] = {}
    for key, text in zip(keys, texts, strict=True):
        variants.setdefault(key, set()).add(text)
    return [key if key and len(variants[key]) > 1 else number for number, key in enumerate(keys)]


def encode_example(tokenizer: Tokenizer, text: str, *, framed: bool, max_length: int) -> Ids:
    """Encode a text as a classifier reads it.

    Args:
        tokenizer: The tokenizer.
        text: The text.
        framed: Put the text between BOS and EOS; otherwise between line breaks (if the tokenizer knows them), as in
            the text that the encoder of a language model was trained on.
        max_length: Tokens to keep.

    Returns:
        Ids (N,), N from 1 to `max_length`.
    """
    if framed:
        edges = [np.array([token], np.int32) for token in (tokenizer.bos_id, tokenizer.eos_id)]
    else:
        edges = [tokenizer.encode("" if tokenizer.unknown("\n") else "\n")] * 2
    parts, length = [edges[0]], len(edges[0])
    for part in tokenizer.cut([text]):  # of a long text, only what is read is encoded
        parts.append(tokenizer.encode(part))
        length += len(parts[-1])
        if length >= max_length:
            break
    ids = np.concatenate([*parts, edges[1]])[:max_length]
    return ids if len(ids) else np.array([tokenizer.bos_id], np.int32)


def batches_by_length(texts: Sequence[Sized], size: int) -> list[np.ndarray]:
    """Batch texts (or their ids) of similar length together, to pad little; the indices of each batch.

    >>> [batch.tolist() for batch in batches_by_length(["aaa", "b", "cc"], 2)]
    [[1, 2], [0]]
    """
    by_length = np.argsort([len(text) for text in texts], kind="stable")
    return [by_length[start : start + size] for start in range(0, len(texts), size)]


def pad(texts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Pad the ids of B texts with zeros to the longest; return ids (T, B) and lengths (B,), both int64.

    >>> ids, lengths = pad([np.array([1, 2]), np.array([3])])
    >>> ids.tolist(), lengths.tolist()
    ([[1, 3], [2, 0]], [2, 1])
    """
    lengths = np.array([len(text) for text in texts])
    ids = np.zeros((lengths.max(), len(texts)), np.int64)
    for column, text in enumerate(texts):
        ids[: len(text), column] = text
    return ids, lengths


def _require_variety(labels: list[str], where: str, to_split: bool, named: Set[str]) -> None:
    """ChargenError if there are too few labels, or examples of one; `named`: labels that are names of files."""
    counts = Counter(labels)
    if len(counts) == 1:
        source = ", the name of the file" if labels[0] in named else ""
        hint = "; the name of a table ends in .csv or .tsv" if source else ""
        raise ChargenError(
            f"all examples in {where} are labelled {labels[0]!r}{source}: a classifier needs at least two labels"
            f"{hint}"
        )
    for label, count in counts.items():
        if count == 1 and to_split:
            raise _single_example(label, where)


def _single_example(label: str, where: str) -> ChargenError:
    return ChargenError(
        f"the label {label!r} has a single example in {where}: it needs one to learn from and one to be "
        "measured on, so add another, remove it, or name a separate validation set with --val"
    )


def _reading(found: Found, where: str) -> Reading:
    """Sum up how the set was read."""
    notes = list(dict.fromkeys(found.notes))
    if found.empty:
        notes.append(f"{_counted(found.empty, 'empty file' if found.files else 'empty row')} left out of {where}")
    if found.textless:
        notes.append(f"{_counted(found.textless, 'row')} without text left out of {where}")
    if found.headers:
        notes.append(f"{_counted(found.headers, 'row')} like the header left out of {where}")
    if found.unlabelled:
        notes.append(f"{_counted(found.unlabelled, 'text')} without label left out of {where}")
    whole_files = len(found.examples) == found.files > 0
    return Reading(found.columns, found.empty + found.textless, found.unlabelled, tuple(notes), whole_files)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"

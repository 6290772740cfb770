"""Labelled texts in two parts: one to train on, one held out for validation."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from chargen.errors import ChargenError
from chargen.text.labelled import LabelledSet, Reading, groups_of, read_labelled, stratified_split
from chargen.text.records import LabelledRecord

MAX_FRACTION, MIN_FRACTION = 0.2, 0.02  # of the labelled texts to hold out
HELD_OUT_TEXTS = 2000  # within these limits
LABELS_SHOWN = 5  # in a note
MISSING = {"nan", "na", "n/a", "null", "none", "-", "?"}  # how tables write that there is no value


@dataclass(frozen=True)
class LabelledSettings:
    """What to read, and how to split it."""

    inputs: tuple[str, ...]  # files, folders, patterns, named corpora
    text_column: tuple[str, ...] = ()  # none: find it
    label_column: str | None = None  # None: find it
    encoding: str = "utf-8"
    val: tuple[str, ...] = ()  # inputs of a separate validation set
    val_fraction: float | None = None  # fraction to hold out; None: as suits the number of texts
    seed: int = 0  # of the split
    skip_unlabelled: bool = False  # leave out texts without label


@dataclass(frozen=True)
class LabelledData:
    """Labelled texts for a classifier: training and validation set."""

    settings: LabelledSettings
    train: LabelledSet
    validation: LabelledSet

    @property
    def labels(self) -> list[str]:
        """The distinct labels, sorted."""
        return self.train.label_names

    @property
    def counts(self) -> Counter[str]:
        """Number of training texts per label."""
        return Counter(self.train.labels)

    @property
    def notes(self) -> list[str]:
        """What a user should know about the data, in sentences."""
        train, validation, counts = self.train, self.validation, self.counts
        found = [
            f"{len(train.texts):,} texts to learn from, {len(validation.texts):,} held out, {len(counts)} labels"
        ]
        if self.settings.val and (single := [label for label in self.labels if counts[label] == 1]):
            found.append(f"labels with a single example to learn from: {listed(single)}")
        if alike := _alike(self.labels):
            found.append(f"labels that look alike, and are learned as different ones: {listed(alike)}")
        if none := [label for label in self.labels if label.strip().casefold() in MISSING]:
            found.append(f"labels that may stand for none, and are learned as labels: {listed(none)}")
        if shared := len(set(train.texts) & set(validation.texts)):
            found.append(
                f"{shared:,} different texts are both learned from and held out, which flatters what is measured"
            )
        return [*dict.fromkeys(train.reading.notes + validation.reading.notes), *found]

    def record(self, *, framed: bool, max_length: int) -> LabelledRecord:
        """The run's record of the data.

        Args:
            framed: Texts are encoded between BOS and EOS.
            max_length: Tokens kept of each text.
        """
        reading, counts = self.train.reading, self.counts
        return LabelledRecord(
            fingerprint=self.train.fingerprint(),
            validation=self.validation.fingerprint(),
            sources=self.settings.inputs,
            encoding=self.settings.encoding,
            examples=len(self.train.texts),
            validation_examples=len(self.validation.texts),
            framed=framed,
            max_length=max_length,
            columns=reading.columns,
            whole_files=reading.whole_files,
            label_type=self.train.label_type,
            label_counts={label: counts[label] for label in self.labels},
            rows_dropped=reading.rows_dropped + self.validation.reading.rows_dropped,
            unlabelled=reading.unlabelled + self.validation.reading.unlabelled,
        )


def load_labelled(
    settings: LabelledSettings, recorded: LabelledRecord | None = None, examples: LabelledSet | None = None
) -> LabelledData:
    """Read labelled texts; hold out a stratified part, or read a separate validation set.

    Args:
        settings: What to read, and how to split it.
        recorded: Record of a run, whose columns are read again.
        examples: Texts in memory, instead of files.

    Raises:
        ChargenError: There are neither files nor texts, a validation label is not in the training texts, or as for
            `read_labelled`.
    """
    train, validation = _split(settings, examples) if examples else _read(settings, recorded)
    if unseen := set(validation.labels) - set(train.labels):
        raise ChargenError(
            f"no text to train on is labelled {sorted(unseen)[0]!r}, but one to validate on is: add one"
        )
    return LabelledData(settings, train, validation)


def _read(settings: LabelledSettings, recorded: LabelledRecord | None) -> tuple[LabelledSet, LabelledSet]:
    """Read the training and the validation set from files. A separate validation set has the same columns."""
    if not settings.inputs:
        raise ChargenError(
            "its texts were given in memory, not in files, so they cannot be read again: name a labelled set to "
            "measure it on, or fit it anew"
        )
    reading: dict[str, Any] = {
        "text_column": settings.text_column,
        "label_column": settings.label_column,
        "encoding": settings.encoding,
        "skip_unlabelled": settings.skip_unlabelled,
        **recorded_columns(recorded),
    }
    if not settings.val:
        examples = read_labelled(settings.inputs, **reading)
        train, held_out = _held_out(settings, examples)
        return replace(examples.select(train), reading=examples.reading), examples.select(held_out)
    if settings.val_fraction is not None:
        raise ChargenError("a set to validate on and a fraction of the set contradict: leave out one of the two")
    examples = read_labelled(settings.inputs, to_split=False, **reading)
    if reading["strict"]:
        reading["columns"] = examples.reading.columns
    return examples, read_labelled(settings.val, for_training=False, **reading)


def _split(settings: LabelledSettings, examples: LabelledSet) -> tuple[LabelledSet, LabelledSet]:
    """Split texts given in memory as those of files are; a label's only example is trained on."""
    train, held_out = _held_out(settings, examples, keep_single=True)
    note: tuple[str, ...] = ()
    if single := [label for label, count in sorted(Counter(examples.labels).items()) if count == 1]:
        note = (f"labels with a single example, which is not held out: {listed(single)}",)
    return replace(examples.select(train), reading=Reading(notes=note)), examples.select(held_out)


def _held_out(
    settings: LabelledSettings, examples: LabelledSet, *, keep_single: bool = False
) -> tuple[list[int], list[int]]:
    """Indices of the examples to train on, and of those to hold out."""
    fraction = held_out_fraction(len(examples.texts)) if settings.val_fraction is None else settings.val_fraction
    groups = groups_of(examples.texts)
    return stratified_split(examples.labels, fraction, settings.seed, groups, keep_single=keep_single)


def _alike(labels: Sequence[str]) -> list[str]:
    """The labels that would be others but for case, spaces, accents' encoding, or how a number is written.

    >>> _alike(["1", "1.0", "top class", "Top  class", "pos"])
    ['1', '1.0', 'top class', 'Top  class']
    """
    counts = Counter(map(_plain, labels))
    return [label for label in labels if counts[_plain(label)] > 1]


def _plain(label: str) -> str:
    visible = "".join(symbol for symbol in label if unicodedata.category(symbol) != "Cf")
    plain = " ".join(unicodedata.normalize("NFKC", visible).casefold().split())
    with suppress(ValueError):
        return str(float(plain))
    return plain


def listed(labels: Sequence[str]) -> str:
    """The first few labels, for a note.

    >>> listed(["a", "b"])
    "'a', 'b'"
    """
    return ", ".join(map(repr, labels[:LABELS_SHOWN])) + (", …" if len(labels) > LABELS_SHOWN else "")


def held_out_fraction(texts: int) -> float:
    """The fraction of labelled texts to hold out: a fifth of few texts, less if that is enough for validation.

    Args:
        texts: Number of labelled texts.

    >>> held_out_fraction(1000), held_out_fraction(20_000), held_out_fraction(10**7)
    (0.2, 0.1, 0.02)
    """
    return max(MIN_FRACTION, min(MAX_FRACTION, HELD_OUT_TEXTS / texts))


def recorded_columns(recorded: LabelledRecord | None) -> dict[str, Any]:
    """Arguments for `read_labelled` to read the columns that a run read; early versions guessed them per table.

    >>> recorded_columns(None)
    {'strict': True}
    """
    if recorded is None:
        return {"strict": True}
    return {"columns": recorded.columns, "strict": recorded.columns_known}

"""Labelled texts in two parts: those to learn from, and those held out to choose and to measure with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from chargen.errors import ChargenError
from chargen.text.columns import Columns
from chargen.text.labelled import LabelledSet, Reading, groups_of, read_labelled, stratified_split
from chargen.training.options import ClassifierOptions

MOST_HELD_OUT, LEAST_HELD_OUT = 0.2, 0.02  # part of the labelled texts that is measured on
HELD_OUT = 2000  # texts, between these
SHOWN = 5  # labels in a note


def read_split(
    options: ClassifierOptions, recorded: Mapping[str, Any] | None = None
) -> tuple[LabelledSet, LabelledSet]:
    """Examples to train on, and examples to validate on: a stratified part, or a set of their own.

    recorded: the data record of a run, whose columns are read again. A set of their own has those of training.
    ChargenError for what `read_labelled` refuses, and when the texts were in no files.
    """
    if not options.inputs:
        raise ChargenError(
            "its texts were given in memory, not in files, so they cannot be read again: name a labelled set to "
            "measure it on, or fit it anew"
        )
    reading: dict[str, Any] = {
        "text_column": options.text_column,
        "label_column": options.label_column,
        "encoding": options.encoding,
        **recorded_columns(recorded),
    }
    if not options.val:
        examples = read_labelled(options.inputs, **reading)
        train, held_out = _held_out(options, examples)
        return replace(examples.select(train), reading=examples.reading), examples.select(held_out)
    if options.val_fraction is not None:
        raise ChargenError("a set to validate on and a fraction of the set contradict: leave out one of the two")
    examples = read_labelled(options.inputs, to_split=False, **reading)
    if reading["sure"]:
        reading["columns"] = examples.reading.columns
    return examples, read_labelled(options.val, for_training=False, **reading)


def split_examples(options: ClassifierOptions, examples: LabelledSet) -> tuple[LabelledSet, LabelledSet]:
    """Examples given in memory, to train on and to validate on, split as those of files.

    A label's only example is trained on. ChargenError when that leaves nothing to hold out.
    """
    train, held_out = _held_out(options, examples, keep_single=True)
    note: tuple[str, ...] = ()
    if single := [label for label, count in sorted(Counter(examples.labels).items()) if count == 1]:
        note = (f"labels with a single example, which is not held out: {shown(single)}",)
    return replace(examples.select(train), reading=Reading(notes=note)), examples.select(held_out)


def _held_out(
    options: ClassifierOptions, examples: LabelledSet, *, keep_single: bool = False
) -> tuple[list[int], list[int]]:
    """Indices of the examples to train on, and of those to hold out."""
    fraction = held_out_share(len(examples.texts)) if options.val_fraction is None else options.val_fraction
    groups = groups_of(examples.texts)
    return stratified_split(examples.labels, fraction, options.seed, groups, keep_single=keep_single)


def shown(labels: Sequence[str]) -> str:
    """The first few labels, for a note."""
    return ", ".join(map(repr, labels[:SHOWN])) + (", …" if len(labels) > SHOWN else "")


def held_out_share(texts: int) -> float:
    """The part of so many labelled texts to hold out: a fifth of few, fewer where that is enough to measure on.

    >>> held_out_share(1000), held_out_share(20_000), held_out_share(10**7)
    (0.2, 0.1, 0.02)
    """
    return max(LEAST_HELD_OUT, min(MOST_HELD_OUT, HELD_OUT / texts))


def recorded_columns(recorded: Mapping[str, Any] | None) -> dict[str, Any]:
    """How `read_labelled` reads again what a run did; runs that recorded no columns guessed those of each table."""
    if recorded is None:
        return {"sure": True}
    return {"columns": Columns.from_record(recorded.get("columns")), "sure": "columns" in recorded}

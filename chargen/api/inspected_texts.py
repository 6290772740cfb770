"""The texts that an inspection reads: those of the user, or those that the run held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chargen.errors import ChargenError
from chargen.generation.constraints import listed, start_ids
from chargen.inspection.passage import Ids, Passage
from chargen.kinds import kind_of
from chargen.runs.folder import Run
from chargen.runs.inputs import check_unchanged, own_texts
from chargen.text.labelled import encode_example
from chargen.text.labelled_data import load_labelled
from chargen.text.records import LabelledRecord, TextRecord
from chargen.text.text_data import load_text
from chargen.text.tokenizers.base import Tokenizer
from chargen.training.options import ClassifierOptions, LanguageModelOptions, options_of

HELD_OUT = "held out"


@dataclass(frozen=True)
class Texts:
    """Texts to inspect, with their labels and their source."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()  # of each text, if they are known
    source: str = "given"
    is_cut: bool = False  # whether the last text goes on
    notes: tuple[str, ...] = ()

    @property
    def is_given(self) -> bool:
        """Whether the user gave them."""
        return self.source != HELD_OUT


def take(texts: Iterable[str], length: int, labels: Sequence[str] = (), source: str = "given") -> Texts:
    """The first `length` characters of texts; ChargenError if there is none.

    >>> take(["abc", "", "de", "f"], 4).texts
    ('abc', 'd')
    """
    kept: list[str] = []
    kept_labels: list[str] = []
    is_cut = False
    for number, text in enumerate(texts):
        if length <= 0:
            break
        if text[:length]:
            kept.append(text[:length])
            is_cut = len(text) > length
            kept_labels += labels[number : number + 1]
            length -= len(text)
    if not kept:
        raise ChargenError("there is no text to read: give one with at least one character")
    return Texts(tuple(kept), tuple(kept_labels), source, is_cut)


def held_out_texts(run: Run, length: int) -> Texts:
    """What a run held out of its own text; ChargenError if that is gone or has changed."""
    own = own_texts(run)
    if kind_of(run.kind).has_labels:
        labels, recorded = options_of(run, ClassifierOptions), run.data(LabelledRecord)
        labelled = load_labelled(replace(labels, inputs=own.inputs, val=own.val).labelled, recorded)
        check_unchanged(run, labelled.record(framed=recorded.framed, max_length=recorded.max_length), own)
        return take(labelled.validation.texts, length, labelled.validation.labels, HELD_OUT)
    options, tokenizer = options_of(run, LanguageModelOptions), run.tokenizer()
    corpus = replace(options, inputs=own.inputs).corpus
    data = load_text(corpus, val=own.val, val_fraction=options.val_fraction, tokenizer=tokenizer)
    check_unchanged(run, data.record, own)
    ids = data.validation[: length * MOST_BYTES]
    parts = [ids]
    if run.data(TextRecord).framed:
        parts = np.split(ids, np.flatnonzero(ids == tokenizer.bos_id))
    return take(map(tokenizer.decode, parts), length, source=HELD_OUT)


MOST_BYTES = 4  # of a character, so the most tokens that one can have


def predict_passage(run: Run, tokenizer: Tokenizer, texts: Texts) -> Passage:
    """Texts as a language model reads them: as documents, or as if each followed a line break.

    Raises:
        ChargenError: A text that was given has characters that the model never saw.
    """
    unknown = set().union(*map(tokenizer.unknown, texts.texts))
    if unknown and texts.is_given:
        raise ChargenError(
            f"the text has characters that {run.name} never saw, {listed(unknown)}: leave them out, or train on them"
        )
    framed = run.data(TextRecord).framed
    before = start_ids(tokenizer, framed, line_break=True)
    after = np.array([tokenizer.eos_id] if framed else [], np.int32)
    ids = [np.concatenate([before, tokenizer.encode(text), after]) for text in texts.texts]
    if texts.is_cut:  # a document that goes on does not end here
        ids[-1] = ids[-1][: len(ids[-1]) - len(after)]
    return Passage.of(tokenizer, ids, len(before))


def label_passage(run: Run, tokenizer: Tokenizer, texts: Texts) -> tuple[Passage, Callable[[str], Ids]]:
    """Texts as a classifier reads them, and the function that encodes one."""
    recorded = run.data(LabelledRecord)

    def encode(text: str) -> Ids:
        ids = encode_example(tokenizer, text, framed=recorded.framed, max_length=recorded.max_length)
        return ids.astype(np.int64)

    return Passage.of(tokenizer, list(map(encode, texts.texts)), labels=texts.labels), encode

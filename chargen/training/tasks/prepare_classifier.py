"""Prepares a classifier for the loop, or a probe that is fitted at once, from labelled texts and options."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from chargen.errors import ChargenError
from chargen.models.classifier import Classifier
from chargen.models.config import ClassifierConfig
from chargen.models.dropout import NO_DROPOUT
from chargen.runs.folder import Run
from chargen.text.labelled import encode_example
from chargen.text.labelled_data import LabelledData, load_labelled
from chargen.text.ngrams import words_of
from chargen.text.records import DataRecord, LabelledRecord
from chargen.text.sources import left_out
from chargen.text.tokenizers.base import Ids, Tokenizer
from chargen.text.tokenizers.registry import load_tokenizer, train_tokenizer
from chargen.training.batches import Texts
from chargen.training.chosen import ChosenClassifierOptions, ChosenProbeOptions, encoder_config
from chargen.training.classifier_recipes import (
    CLASSIFIER_BATCH,
    MAX_PIECES,
    PIECES,
    classifier_recipe,
    classifier_tokenizer,
    crop_for,
    probe_recipe,
    should_learn_language,
)
from chargen.training.distributed import World
from chargen.training.events import Event
from chargen.training.ngrams import FittedNgrams, fit_and_measure
from chargen.training.options import ClassifierOptions
from chargen.training.planner import tokens_per_second
from chargen.training.recipes import DEFAULT_CELL
from chargen.training.setup import (
    Context,
    Prepared,
    check_effects,
    check_same_text,
    copy_weights,
    dropout_settings,
    encoder_options,
    optimizer_settings,
    resolve_precision,
    unknown_note,
    why_unknown,
)
from chargen.training.task import OptimizerSettings
from chargen.training.tasks.classifier import Classification
from chargen.training.tasks.language_first import learn_language
from chargen.training.tasks.probe import fit_probe, store_probe

MAX_COUNTED_TEXTS = 2000  # held-out texts whose rare words are counted; their mean is then within about 1 %
TIMED_CROP = 64  # tokens of a text, in the steps that are timed to choose a crop


def prepare_classifier(options: ClassifierOptions, context: Context) -> Prepared:
    """Read, split and encode the texts, choose every option that was left open, and build the model.

    Args:
        options: What is requested.
        context: Device, processes, and other runs involved.

    Raises:
        ChargenError: The data cannot be read or learned from, or options contradict each other.
    """
    world = context.world
    if options.probe and world.size > 1:
        raise ChargenError(f"--probe needs one process, not {world.size}: start it without torchrun")
    if context.resumed and options.ngrams is None:  # early versions had no n-grams and did not record that
        options = replace(options, ngrams=False)
    encoded, notes = _load(options, context)
    asked = replace(options, **encoder_options(context.source, options)) if context.source else options
    precision, more = world.broadcast(
        lambda: resolve_precision(options.precision, asked.cell or DEFAULT_CELL, context.device)
    )
    notes += more
    asked = replace(asked, tokenizer=encoded.tokenizer.kind, precision=precision)
    if options.probe:
        return _prepare_probe(probe_recipe(asked), encoded, context, notes)
    chosen = classifier_recipe(asked, len(encoded.train), context.workers.size, world.size)
    ngrams, more = _fit_ngrams(chosen, encoded.data, world)
    notes += more
    learns_first = _learns_language_first(options, chosen, encoded, ngrams, context)
    chosen = replace(chosen, adapt=learns_first or context.is_adapted)
    task = _build(chosen, encoded, context, ngrams, batch_size=chosen.batch_size)
    if not (context.resumed or context.source or learns_first):
        check_effects(task.model.config.encoder)
    task = replace(task, shards=chosen.shards, dropout=dropout_settings(chosen))
    if chosen.crop is None and context.resumed is None and not learns_first:
        crop, more = _choose_crop(task, chosen)
        chosen = replace(chosen, crop=crop)
        notes += more
    task.train = replace(task.train, crop=chosen.crop)
    world.seed(chosen.seed)
    prepared = _prepared(task, chosen, optimizer_settings(chosen), encoded, ngrams, notes)
    if learns_first:
        texts = encoded.data.train.texts
        return replace(prepared, pretrain=partial(learn_language, texts=texts, asked=options, chosen=chosen))
    return prepared


@dataclass(frozen=True, eq=False)
class EncodedTexts:
    """Labelled texts as a network reads them: N training and M validation texts."""

    data: LabelledData
    record: LabelledRecord
    tokenizer: Tokenizer
    train: list[Ids]
    validation: list[Ids]
    train_labels: np.ndarray  # indices of labels (N,)
    validation_labels: np.ndarray  # (M,)


def _load(options: ClassifierOptions, context: Context) -> tuple[EncodedTexts, list[str]]:
    """Read and encode the texts, check that all processes have the same, and describe them in sentences."""
    recorded = context.resumed.data(LabelledRecord) if context.resumed else None
    data = load_labelled(options.labelled, recorded, context.examples)
    tokenizer, why = context.tokenizer, list[str]()
    fingerprints = data.train.fingerprint(), data.validation.fingerprint()
    same = context.world.broadcast(fingerprints) == fingerprints
    check_same_text(same, options.inputs, context.world, context.device)
    if tokenizer is None:
        tokenizer, why = _make_tokenizer(options, data, context.world)
    framed = recorded.framed if recorded else _is_framed(context.source)
    train, validation = (
        [encode_example(tokenizer, text, framed=framed, max_length=options.max_length) for text in part.texts]
        for part in (data.train, data.validation)
    )
    index = {label: number for number, label in enumerate(data.labels)}
    truth, held_out = (np.array([index[label] for label in part.labels]) for part in (data.train, data.validation))
    notes = [*left_out((*options.inputs, *options.val)), *data.notes, *why]
    characters = sum(map(len, data.train.texts))
    notes += unknown_note(tokenizer.unknown("".join(data.train.texts)), characters, why_unknown(options))
    if cut := sum(len(ids) == options.max_length for ids in train):
        notes.append(f"texts that fill the {options.max_length:,} tokens read of each (--max-length): {cut:,}")
    record = data.record(framed=framed, max_length=options.max_length)
    return EncodedTexts(data, record, tokenizer, train, validation, truth, held_out), notes


def _is_framed(source: Run | None) -> bool:
    """Whether to put texts between BOS and EOS: as the run to start from did, and always without one."""
    return source is None or source.data(DataRecord).framed


def _make_tokenizer(options: ClassifierOptions, data: LabelledData, world: World) -> tuple[Tokenizer, list[str]]:
    """Train the tokenizer requested, or else the one that suits the texts, and say why it does."""
    kind, notes = options.tokenizer, []
    if kind is None:
        kind, why = classifier_tokenizer(rare_words(data.train.texts, data.validation.texts))
        notes.append(why)
    size = MAX_PIECES if options.vocab_size is None and kind in PIECES else options.vocab_size

    def make() -> tuple[str, bytes]:
        tokenizer = train_tokenizer(kind, data.train.texts, vocab_size=size, min_frequency=options.min_frequency)
        return tokenizer.kind, tokenizer.to_bytes()

    return load_tokenizer(*world.broadcast(make)), notes


def _fit_ngrams(
    options: ChosenProbeOptions, data: LabelledData, world: World
) -> tuple[FittedNgrams | None, list[str]]:
    """Fit the n-grams to combine the network with, if requested, and describe them in a sentence."""
    if not options.ngrams:
        return None, []
    fitted: FittedNgrams = world.broadcast(lambda: fit_and_measure(data, balance=options.balance))
    return fitted, [fitted.note]


def _learns_language_first(
    options: ClassifierOptions,
    chosen: ChosenClassifierOptions,
    encoded: EncodedTexts,
    ngrams: FittedNgrams | None,
    context: Context,
) -> bool:
    """Whether to learn the language of the texts before their labels; ChargenError if requested but impossible."""
    if context.resumed or context.is_adapted or options.adapt is False:
        return False
    if context.world.size > 1 or context.source:
        if options.adapt:
            raise ChargenError("--adapt works in a single process and without --from: leave it out")
        return False
    if options.adapt:
        return True
    free = chosen.minutes is not None and options.steps is options.bidirectional is options.num_layers is None
    commonest = max(encoded.data.counts.values()) / len(encoded.train)
    tokens = sum(map(len, encoded.train))
    return free and ngrams is not None and should_learn_language(ngrams.accuracy, commonest, tokens)


def _build(
    options: ChosenProbeOptions,
    encoded: EncodedTexts,
    context: Context,
    ngrams: FittedNgrams | None,
    *,
    batch_size: int,
) -> Classification:
    """Build the model, its weights random or from the run to start from, and the task."""
    torch.manual_seed(options.seed)
    labels = encoded.data.labels
    model = Classifier(model_config(options, encoded.tokenizer, len(labels))).to(context.device)
    if context.source:
        copy_weights(model, context.source)
    weights = torch.from_numpy(_label_weights(encoded.train_labels, len(labels))).to(context.device)
    return Classification(
        model,
        Texts(encoded.train, encoded.train_labels, batch_size, options.seed, options.crop),
        Texts(encoded.validation, encoded.validation_labels, batch_size),
        labels,
        context.device,
        options.precision,
        context.workers,
        1,
        NO_DROPOUT,
        context.world,
        ngrams.held_out_logits if ngrams else None,
        weights if options.balance else None,
        options.metric,
    )


def _prepared(
    task: Classification,
    options: ChosenProbeOptions,
    settings: OptimizerSettings,
    encoded: EncodedTexts,
    ngrams: FittedNgrams | None,
    notes: list[str],
) -> Prepared:
    """Collect what the loop and the run's folder need."""
    return Prepared(
        task=task,
        options=options,
        optimizer_settings=settings,
        model=task.model.config,
        data=encoded.record,
        tokenizer=encoded.tokenizer,
        notes=notes,
        labels=encoded.data.labels,
        ngrams=ngrams.classifier if ngrams else None,
    )


def _prepare_probe(
    options: ChosenProbeOptions, encoded: EncodedTexts, context: Context, notes: list[str]
) -> Prepared:
    """Prepare a model whose encoder does not change and whose head is fitted at once."""
    ngrams, more = _fit_ngrams(options, encoded.data, context.world)
    options = replace(options, adapt=False)
    task = _build(options, encoded, context, ngrams, batch_size=CLASSIFIER_BATCH)

    def fit(create: Callable[[], Run]) -> Iterator[Event]:
        fits = fit_probe(task, balance=options.balance, seed=options.seed)
        yield from store_probe(task, fits, create())

    prepared = _prepared(task, options, OptimizerSettings(0.0), encoded, ngrams, notes + more)
    return replace(prepared, fit=fit)


def _choose_crop(task: Classification, options: ChosenClassifierOptions) -> tuple[int | None, list[str]]:
    """Choose a crop that a budget in minutes has time for, and explain it in a sentence; None: whole texts."""
    if options.minutes is None:
        return None, []
    timed = replace(task, train=replace(task.train, crop=TIMED_CROP))
    speed = tokens_per_second(timed, options.optimizer, options.precision, task.world, task.workers)
    crop = task.world.broadcast(crop_for(task.train.lengths, task.train.batch_size, 60 * options.minutes * speed))
    if crop >= task.train.lengths.max():
        return None, []
    return crop, [
        f"a step reads {crop} tokens of a text, another stretch in each epoch, since {options.minutes:g} minutes are "
        f"too short for all {task.train.lengths.sum():,} tokens often enough (--crop)"
    ]


def _label_weights(truth: np.ndarray, labels: int) -> np.ndarray:
    """Weights (K,) under which all labels weigh the same in the loss; their mean over the texts is 1."""
    counts = np.bincount(truth, minlength=labels)
    weights: np.ndarray = (len(truth) / (labels * counts)).astype(np.float32)
    return weights


def rare_words(train: Sequence[str], held_out: Sequence[str], most: int = MAX_PIECES) -> float:
    """Fraction of a text's words that are rare or new, as a mean over held-out texts.

    Args:
        train: Training texts.
        held_out: Held-out texts; about MAX_COUNTED_TEXTS of them are read.
        most: How many of the most common training words count as known.

    Returns:
        A fraction from 0 to 1; 1 if the held-out texts have no words.

    >>> rare_words(["the cat and the dog"], ["the cow"], most=1)
    0.5
    """
    counts = Counter(word for text in train for word in words_of(text))
    common = {word for word, _ in counts.most_common(most)}
    rare = [
        sum(word not in common for word in words) / len(words)
        for text in held_out[:: -(-len(held_out) // MAX_COUNTED_TEXTS)]
        if (words := words_of(text))
    ]
    return float(np.mean(rare)) if rare else 1.0


def model_config(options: ChosenProbeOptions, tokenizer: Tokenizer, num_labels: int) -> ClassifierConfig:
    """The config of the model that the options describe."""
    encoder = encoder_config(options, tokenizer.vocab_size, bidirectional=options.bidirectional)
    return ClassifierConfig(encoder, num_labels, options.pooling)

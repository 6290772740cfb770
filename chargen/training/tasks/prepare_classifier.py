"""From labelled texts and options to a classifier that the loop can train, or a probe that is fitted at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from chargen.errors import ChargenError
from chargen.models.classifier import Classifier
from chargen.models.config import ClassifierConfig, EncoderConfig
from chargen.models.dropout import NO_DROPOUT
from chargen.runs.folder import Run
from chargen.text.labelled import encode_example
from chargen.text.labelled_data import LabelledData, load_labelled
from chargen.text.ngrams import words_of
from chargen.text.records import DataRecord, LabelledRecord
from chargen.text.tokenizers.base import Ids, Tokenizer
from chargen.text.tokenizers.registry import load_tokenizer, train_tokenizer
from chargen.training.batches import Texts
from chargen.training.classifier_recipes import (
    CLASSIFIER_BATCH,
    MOST_PIECES,
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
from chargen.training.options import ChosenClassifierOptions, ChosenProbeOptions, ClassifierOptions
from chargen.training.planner import tokens_a_second
from chargen.training.recipes import DEFAULT_CELL
from chargen.training.setup import (
    Prepared,
    Setting,
    dropout_of,
    encoder_of,
    give_weights,
    optimisation_of,
    precision_of,
    require_same,
    unknown_note,
    why_unknown,
)
from chargen.training.task import Optimisation
from chargen.training.tasks.classifier import Classification
from chargen.training.tasks.language_first import learn_language
from chargen.training.tasks.probe import fit_probe, store_probe

MEASURED = 2000  # texts held out, whose rare words are counted
TIMED_CROP = 64  # tokens of a text, where the speed of steps is measured


def prepare_classifier(options: ClassifierOptions, setting: Setting) -> Prepared:
    """Read, split and encode the texts, make every choice, build the model.

    ChargenError for whatever data or options are refused.
    """
    world = setting.world
    if options.probe and world.size > 1:
        raise ChargenError(f"--probe needs one process, not {world.size}: start it without torchrun")
    if setting.resumed and options.ngrams is None:  # early versions recorded no choice, and had none
        options = replace(options, ngrams=False)
    encoded, notes = _load(options, setting)
    asked = replace(options, **encoder_of(setting.source, options)) if setting.source else options
    precision, told = precision_of(options.precision, asked.cell or DEFAULT_CELL, setting.device)
    notes += told
    asked = replace(asked, tokenizer=encoded.tokenizer.kind, precision=precision)
    if options.probe:
        return _prepare_probe(probe_recipe(asked), encoded, setting, notes)
    chosen = classifier_recipe(asked, len(encoded.train), setting.workers.size, world.size)
    ngrams, told = _fit_ngrams(chosen, encoded.data, world)
    notes += told
    learns_first = _learns_language_first(options, chosen, encoded, ngrams, setting)
    chosen = replace(chosen, adapt=learns_first or setting.is_learned)
    task = _build(chosen, encoded, setting, ngrams, batch_size=chosen.batch_size)
    task = replace(task, shards=chosen.shards, dropout=dropout_of(chosen))
    if chosen.crop is None and setting.resumed is None and not learns_first:
        crop, told = _crop(task, chosen)
        chosen = replace(chosen, crop=crop)
        notes += told
    task.train = replace(task.train, crop=chosen.crop)
    world.seed(chosen.seed)
    prepared = _prepared(task, chosen, optimisation_of(chosen), encoded, ngrams, notes)
    if learns_first:
        texts = encoded.data.train.texts
        return replace(prepared, first=partial(learn_language, texts=texts, asked=options, chosen=chosen))
    return prepared


@dataclass(frozen=True, eq=False)
class EncodedTexts:
    """Labelled texts as a network reads them."""

    data: LabelledData
    record: LabelledRecord
    tokenizer: Tokenizer
    train: list[Ids]
    validation: list[Ids]
    train_labels: np.ndarray  # indices (N,) of the labels
    validation_labels: np.ndarray


def _load(options: ClassifierOptions, setting: Setting) -> tuple[EncodedTexts, list[str]]:
    """The texts, the same in all processes, encoded, and sentences on them."""
    recorded = setting.resumed.data(LabelledRecord) if setting.resumed else None
    data = load_labelled(options.labelled, recorded, setting.examples)
    tokenizer, told = setting.tokenizer, list[str]()
    fingerprints = data.train.fingerprint(), data.validation.fingerprint()
    same = setting.world.agree(fingerprints) == fingerprints
    require_same(same, options.inputs, setting.world, setting.device)
    if tokenizer is None:
        tokenizer, told = _make_tokenizer(options, data, setting.world)
    framed = recorded.framed if recorded else _is_framed(setting.source)
    train, validation = (
        [encode_example(tokenizer, text, framed=framed, max_length=options.max_length) for text in part.texts]
        for part in (data.train, data.validation)
    )
    index = {label: number for number, label in enumerate(data.labels)}
    truth, held_out = (np.array([index[label] for label in part.labels]) for part in (data.train, data.validation))
    notes = [*data.notes, *told]
    characters = sum(map(len, data.train.texts))
    notes += unknown_note(tokenizer.unknown("".join(data.train.texts)), characters, why_unknown(options))
    if cut := sum(len(ids) == options.max_length for ids in train):
        notes.append(f"{cut:,} texts fill the {options.max_length:,} tokens that are read of each (--max-length)")
    record = data.record(framed=framed, max_length=options.max_length)
    return EncodedTexts(data, record, tokenizer, train, validation, truth, held_out), notes


def _is_framed(source: Run | None) -> bool:
    """Whether texts stand between BOS and EOS for an encoder: as they did for the run that it comes from."""
    return source is None or source.data(DataRecord).framed


def _make_tokenizer(options: ClassifierOptions, data: LabelledData, world: World) -> tuple[Tokenizer, list[str]]:
    """The tokenizer asked for, or else the one that suits the texts, and sentences on it."""
    kind, notes = options.tokenizer, []
    if kind is None:
        kind, why = classifier_tokenizer(rare_words(data.train.texts, data.validation.texts))
        notes.append(why)
    size = MOST_PIECES if options.vocab_size is None and kind in PIECES else options.vocab_size
    least = 1 if options.min_frequency is None else options.min_frequency

    def make() -> tuple[str, bytes]:
        tokenizer = train_tokenizer(kind, data.train.texts, vocab_size=size, min_frequency=least)
        return tokenizer.kind, tokenizer.to_bytes()

    return load_tokenizer(*world.agree(make)), notes


def _fit_ngrams(
    options: ChosenProbeOptions, data: LabelledData, world: World
) -> tuple[FittedNgrams | None, list[str]]:
    """The n-grams that the network is combined with, if it is, and a sentence on them."""
    if not options.ngrams:
        return None, []
    fitted: FittedNgrams = world.agree(lambda: fit_and_measure(data, balance=options.balance))
    return fitted, [fitted.note]


def _learns_language_first(
    options: ClassifierOptions,
    chosen: ChosenClassifierOptions,
    encoded: EncodedTexts,
    ngrams: FittedNgrams | None,
    setting: Setting,
) -> bool:
    """Whether the network learns the language of the texts before their labels; ChargenError where it cannot."""
    if setting.resumed or setting.is_learned or options.adapt is False:
        return False
    if setting.world.size > 1 or setting.source:
        if options.adapt:
            raise ChargenError("one process learns the language of the texts, and not with --from: leave --adapt out")
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
    setting: Setting,
    ngrams: FittedNgrams | None,
    *,
    batch_size: int,
) -> Classification:
    """The model, its weights drawn or taken from the run to start from, and its data as the loop sees them."""
    torch.manual_seed(options.seed)
    labels = encoded.data.labels
    model = Classifier(model_config(options, encoded.tokenizer, len(labels))).to(setting.device)
    if setting.source:
        give_weights(model, setting.source)
    weights = torch.from_numpy(_label_weights(encoded.train_labels, len(labels))).to(setting.device)
    return Classification(
        model,
        Texts(encoded.train, encoded.train_labels, batch_size, options.seed, options.crop),
        Texts(encoded.validation, encoded.validation_labels, batch_size),
        labels,
        setting.device,
        options.precision,
        setting.workers,
        1,
        NO_DROPOUT,
        setting.world,
        ngrams.held_out_logits if ngrams else None,
        weights if options.balance else None,
        options.metric,
    )


def _prepared(
    task: Classification,
    options: ChosenProbeOptions,
    optimisation: Optimisation,
    encoded: EncodedTexts,
    ngrams: FittedNgrams | None,
    notes: list[str],
) -> Prepared:
    return Prepared(
        task=task,
        options=options,
        optimisation=optimisation,
        model=task.model.config,
        data=encoded.record,
        tokenizer=encoded.tokenizer,
        notes=notes,
        labels=encoded.data.labels,
        ngrams=ngrams.classifier if ngrams else None,
    )


def _prepare_probe(
    options: ChosenProbeOptions, encoded: EncodedTexts, setting: Setting, notes: list[str]
) -> Prepared:
    """A model whose encoder stays as it is, and whose head is fitted at once."""
    ngrams, told = _fit_ngrams(options, encoded.data, setting.world)
    options = replace(options, adapt=False)
    task = _build(options, encoded, setting, ngrams, batch_size=CLASSIFIER_BATCH)

    def fit(create: Callable[[], Run]) -> Iterator[Event]:
        fits = fit_probe(task, balance=options.balance, seed=options.seed)
        yield from store_probe(task, fits, create())

    prepared = _prepared(task, options, Optimisation(0.0), encoded, ngrams, notes + told)
    return replace(prepared, fit=fit)


def _crop(task: Classification, options: ChosenClassifierOptions) -> tuple[int | None, list[str]]:
    """The tokens to read of each text, as a budget in minutes has time for, and a sentence on them; None: all."""
    if options.minutes is None:
        return None, []
    timed = replace(task, train=replace(task.train, crop=TIMED_CROP))
    speed = tokens_a_second(timed, options.optimizer, options.precision, task.world, task.workers)
    crop = task.world.agree(crop_for(task.train.lengths, task.train.batch_size, 60 * options.minutes * speed))
    if crop >= task.train.lengths.max():
        return None, []
    return crop, [
        f"a step reads {crop} tokens of a text, another stretch in each epoch, since {options.minutes:g} minutes are "
        f"too short for all {task.train.lengths.sum():,} tokens often enough (--crop)"
    ]


def _label_weights(truth: np.ndarray, labels: int) -> np.ndarray:
    """The weight of each label's texts under which all labels weigh the same, 1 on average over the texts."""
    counts = np.bincount(truth, minlength=labels)
    weights: np.ndarray = (len(truth) / (labels * counts)).astype(np.float32)
    return weights


def rare_words(train: Sequence[str], held_out: Sequence[str], most: int = MOST_PIECES) -> float:
    """The share of a text's words that are none of the `most` commonest in the texts to learn from.

    That is the mean over MEASURED texts held out.
    """
    counts = Counter(word for text in train for word in words_of(text))
    common = {word for word, _ in counts.most_common(most)}
    rare = [
        sum(word not in common for word in words) / len(words)
        for text in held_out[:: -(-len(held_out) // MEASURED)]
        if (words := words_of(text))
    ]
    return float(np.mean(rare)) if rare else 1.0


def model_config(options: ChosenProbeOptions, tokenizer: Tokenizer, num_labels: int) -> ClassifierConfig:
    """The model's shape."""
    shape = (options.num_layers, options.hidden_size, options.embedding_size, options.bidirectional)
    return ClassifierConfig(EncoderConfig(tokenizer.vocab_size, options.cell, *shape), num_labels, options.pooling)

"""Training a classifier: what the loop needs to know of labelled texts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from chargen.errors import ChargenError
from chargen.evaluation.calibration import (
    calibration_error,
    cross_fitted,
    error_by_chance,
    fit_scales,
    interval,
    nats,
    softmax,
)
from chargen.evaluation.labels import classification_report
from chargen.hardware import autocast, choose_device
from chargen.models.classifier import Classifier, label_logits
from chargen.models.config import ClassifierConfig, EncoderConfig
from chargen.models.encoder import NO_DROPOUT, Dropout, Masks
from chargen.models.ngrams import NgramClassifier
from chargen.runs.folder import CONFIDENCE, RIGHT, SCALES
from chargen.text.labelled import LabelledSet, encode_example, pad
from chargen.text.ngrams import words_of
from chargen.text.tokenizers.base import Tokenizer
from chargen.text.tokenizers.registry import load_tokenizer, train_tokenizer
from chargen.training.batches import Texts
from chargen.training.distributed import ALONE, World
from chargen.training.loop import weights_of
from chargen.training.ngrams import fit_again, fit_ngrams
from chargen.training.options import ClassifierOptions
from chargen.training.planner import tokens_a_second
from chargen.training.recipes import (
    CLASSIFIER_BATCH,
    DEFAULT_CELL,
    MOST_PIECES,
    PIECES,
    classifier_recipe,
    classifier_tokenizer,
    crop_for,
    should_learn_language,
)
from chargen.training.setup import (
    Prepared,
    Setting,
    dropout_of,
    encoder_of,
    give_weights,
    precision_of,
    require_same,
    unknown_note,
    why_unknown,
)
from chargen.training.splitting import read_split, shown, split_examples
from chargen.workers import ONE_WORKER, Workers

MEASURED = 2000  # texts held out, whose rare words are counted
TIMED_CROP = 64  # tokens of a text, where the speed of steps is measured
ENOUGH_TEXTS = 2500  # measured on the way: the standard error of an accuracy is 1 % at most
NETWORK_ALONE, BESIDE_NGRAMS = [1.0], [0.0, 1.0]  # scales where nothing is known of them


@dataclass
class Classification:
    """The loop's task: predict the label of each text."""

    model: Classifier
    train: Texts
    validation: Texts
    labels: list[str]
    device: torch.device
    precision: str
    workers: Workers = ONE_WORKER
    shards: int = 1
    dropout: Dropout = NO_DROPOUT
    world: World = ALONE
    ngram_logits: np.ndarray | None = None  # of the validation texts (texts, labels)
    label_weights: Tensor | None = None  # of each label's texts in the loss (labels,)
    metric: str = "loss"  # one of METRICS
    pooled: np.ndarray | None = None  # of the validation texts (texts, pooled size), where the encoder stays as it is

    def __post_init__(self) -> None:
        self.beside_weights: dict[str, np.ndarray] = {}  # what was fitted and found at the last evaluation

    @property
    def steps_per_epoch(self) -> int:
        """Batches that read every training text once."""
        return self.train.steps_per_epoch

    def losses(self, step: int) -> tuple[list[Callable[[], Tensor]], int]:
        """A function for each shard of this process's texts, and the tokens of all processes.

        Each gives its part of the mean cross-entropy (nats per text).
        """
        batch, texts = self.train.batch(step), self.train.read(step)
        # Neighbours in a batch are about as long, so parts of every n-th text cost about the same.
        shared = len(batch) >= self.world.size
        own = slice(self.world.rank, None, self.world.size) if shared else slice(None)
        labels, texts = self.train.labels[batch[own]], texts[own]
        masks = self.model.encoder.draw_masks(self.dropout, len(texts))
        parts = [slice(first, None, self.shards) for first in range(min(self.shards, len(texts)))]
        weight = self.world.size / len(batch) if shared else 1 / len(batch)
        shards: list[Callable[[], Tensor]] = [
            partial(self._loss, texts[part], labels[part], masks.of(part), weight) for part in parts
        ]
        return shards, int(self.train.lengths[batch].sum())

    def _loss(self, texts: list[np.ndarray], labels: np.ndarray, masks: Masks, weight: float) -> Tensor:
        ids, lengths, truth = (torch.from_numpy(a).to(self.device) for a in (*pad(texts), labels))
        with autocast(self.device, self.precision):
            logits = self.model(ids, lengths, masks)
        return cross_entropy(logits.float(), truth, self.label_weights, reduction="sum") * weight

    def bits(self, nats: float) -> None:
        """Labels have no characters."""

    def evaluate(self, most_tokens: int, *, last: bool = False) -> dict[str, Any]:
        """Loss, accuracy and macro-F1 of network and n-grams together, under scales that are fitted here.

        On enough of the validation texts, always the same, or in the end on all, then also of each alone, with the
        accuracy's 95 % interval and the calibration error.
        """
        order = np.random.default_rng(0).permutation(len(self.validation.texts))
        chosen = np.sort(order if last else order[:ENOUGH_TEXTS])
        truth = self.validation.labels[chosen]
        network = self._network_logits(chosen)
        sources, expected = [network], NETWORK_ALONE
        if self.ngram_logits is not None:
            sources, expected = [network, self.ngram_logits[chosen]], BESIDE_NGRAMS
        weights = None if self.label_weights is None else self.label_weights.cpu().numpy()[truth]
        scales = np.resize([*fit_scales(sources, truth, expected, weights), 0.0], 2)
        probs = cross_fitted(sources, truth, expected, weights)
        confidence, right = probs.max(-1), probs.argmax(-1) == truth
        self.beside_weights = {
            SCALES: scales,
            CONFIDENCE: confidence.astype(np.float32),
            RIGHT: right.astype(np.uint8),
        }
        figures = self._figures(probs, truth, weights)
        if not last:
            return figures
        figures["texts"] = len(truth)
        figures["accuracy_interval"] = list(interval(int(right.sum()), len(truth)))
        figures["network"] = self._figures(cross_fitted(sources[:1], truth, NETWORK_ALONE, weights), truth, weights)
        if self.ngram_logits is not None:
            figures["ngrams"] = self._figures(
                cross_fitted(sources[1:], truth, NETWORK_ALONE, weights), truth, weights
            )
        raw = softmax(network)
        figures["calibration_error"] = {
            "network_unscaled": calibration_error(raw.max(-1), raw.argmax(-1) == truth),
            "scaled": calibration_error(confidence, right),
            "by_chance": error_by_chance(confidence),
        }
        return figures

    def _network_logits(self, chosen: np.ndarray) -> np.ndarray:
        """The network's (N, labels) of the validation texts `chosen` (N,)."""
        if self.pooled is None:
            return label_logits(self.model, [self.validation.texts[i] for i in chosen], workers=self.workers)
        weight, bias = (own.detach().cpu().numpy() for own in (self.model.head.weight, self.model.head.bias))
        logits: np.ndarray = self.pooled[chosen] @ weight.T + bias
        return logits

    def _figures(self, probs: np.ndarray, truth: np.ndarray, weights: np.ndarray | None) -> dict[str, Any]:
        report = classification_report(truth.tolist(), probs.argmax(-1).tolist(), self.labels)
        return {
            "val_loss": nats(probs, truth, weights),
            "accuracy": report["accuracy"],
            "macro_f1": report["macro_f1"],
        }

    def weights(self) -> dict[str, np.ndarray]:
        """The network's, the scales, and how sure and right it was."""
        return weights_of(self.model) | self.beside_weights

    def merit(self, figures: Mapping[str, Any]) -> float:
        """What the metric says; a loss is better when it is lower."""
        return -float(figures["val_loss"]) if self.metric == "loss" else float(figures[self.metric.replace("-", "_")])

    def carried(self) -> dict[str, Tensor]:
        """Nothing: each text begins anew."""
        return {}

    def carry(self, tensors: Mapping[str, Tensor]) -> None:
        """Nothing to take up."""


def prepare_classifier(options: ClassifierOptions, setting: Setting) -> Prepared:
    """Texts read, split and encoded, every choice made, the model built.

    ChargenError for whatever data or options are refused.
    """
    world, workers, source = setting.world, setting.workers, setting.source
    recorded, tokenizer = setting.recorded, setting.tokenizer
    if recorded is not None and options.ngrams is None:  # runs of old recorded no choice, and have none
        options = replace(options, ngrams=False)
    sets = split_examples(options, setting.examples) if setting.examples else read_split(options, recorded)
    train, validation = sets
    device = choose_device(options.device)
    fingerprint = train.fingerprint(), validation.fingerprint()
    require_same(world.agree(fingerprint) == fingerprint, options.inputs, world, device)
    labels = train.names
    counts = Counter(train.labels)
    if strange := set(validation.labels) - set(labels):
        raise ChargenError(
            f"no text to train on is labelled {sorted(strange)[0]!r}, but one to validate on is: add one"
        )
    notes = []
    tokenizer = source.tokenizer() if source else tokenizer
    if tokenizer is None:
        tokenizer, told = _make_tokenizer(options, train, validation, world)
        notes += told
    origin = recorded or (source.config["data"] if source else {"documents": True})
    documents = bool(origin["documents"])
    texts, held_out = (
        [encode_example(tokenizer, text, documents=documents, max_length=options.max_length) for text in part.texts]
        for part in (train, validation)
    )
    found = [f"{len(texts):,} texts to learn from, {len(held_out):,} held out, {len(labels)} labels"]
    if options.val and (single := [label for label in labels if counts[label] == 1]):
        found.append(f"labels with a single example to learn from: {shown(single)}")
    if shared := len(set(train.texts) & set(validation.texts)):
        found.append(
            f"{shared:,} different texts are both learned from and held out, which flatters what is measured"
        )
    notes = [*dict.fromkeys(train.reading.notes + validation.reading.notes), *found, *notes]
    notes += unknown_note(tokenizer.unknown("".join(train.texts)), sum(map(len, train.texts)), why_unknown(options))
    if cut := sum(len(ids) == options.max_length for ids in texts):
        notes.append(f"{cut:,} texts fill the {options.max_length:,} tokens that are read of each (--max-length)")
    asked = replace(options, **encoder_of(source, options)) if source else options
    precision, told = precision_of(options.precision, asked.cell or DEFAULT_CELL, device)
    notes += told
    asked = replace(asked, tokenizer=tokenizer.kind, precision=precision)
    chosen = classifier_recipe(asked, len(texts), workers.size, world.size)
    index = {label: number for number, label in enumerate(labels)}
    truth, held_out_truth = (np.array([index[label] for label in part.labels]) for part in (train, validation))
    ngrams = ngram_logits = accuracy = None
    if chosen.ngrams:
        fitted = world.agree(lambda: _fit_ngrams(train, validation, labels, chosen))
        ngrams, ngram_logits, accuracy = fitted.classifier, fitted.held_out_logits, fitted.accuracy
        notes.append(fitted.note)
    adapt_to = None
    if options.adapt and recorded is None and (world.size > 1 or source):
        raise ChargenError("one process learns the language of the texts, and not with --from: leave --adapt out")
    if source is None and recorded is None and world.size == 1 and options.adapt is not False:
        free = chosen.minutes is not None and options.steps is options.bidirectional is options.layers is None
        commonest = max(counts.values()) / len(texts)
        told_little = accuracy is not None and should_learn_language(accuracy, commonest, sum(map(len, texts)))
        if options.adapt or (free and told_little):
            adapt_to = train.texts
    chosen = replace(chosen, adapt=adapt_to is not None)
    assert chosen.metric  # by the recipe
    batch = chosen.batch or CLASSIFIER_BATCH  # without a training, as of a probe, there is none
    torch.manual_seed(chosen.seed)
    config = model_config(chosen, tokenizer, len(labels))
    model = Classifier(config).to(device)
    if source:
        give_weights(model, source)
    task = Classification(
        model,
        Texts(texts, truth, batch, chosen.seed, chosen.crop),
        Texts(held_out, held_out_truth, batch),
        labels,
        device,
        precision,
        workers,
        chosen.shards or 1,
        dropout_of(chosen),
        world,
        ngram_logits,
        torch.from_numpy(_label_weights(truth, len(labels))).to(device) if chosen.balance else None,
        chosen.metric,
    )
    if chosen.crop is None and recorded is None and not (chosen.probe or chosen.adapt):
        crop, told = _crop(task, chosen)
        chosen = replace(chosen, crop=crop)
        task.train = replace(task.train, crop=crop)
        notes += told
    world.seed(chosen.seed)
    data = {
        "sources": list(options.inputs),
        "fingerprint": fingerprint[0],
        "validation": fingerprint[1],
        "examples": len(texts),
        "validation_examples": len(held_out),
        "encoding": chosen.encoding,
        "documents": documents,
        "max_length": options.max_length,
        "columns": train.reading.columns and train.reading.columns.to_record(),
        "whole_files": train.reading.whole_files,
        "label_type": train.label_type,
        "label_counts": {label: counts[label] for label in labels},
        "rows_dropped": train.reading.rows_dropped + validation.reading.rows_dropped,
    }
    return Prepared(task, chosen, asdict(config), data, tokenizer, labels, notes, ngrams, adapt_to)


def _make_tokenizer(
    options: ClassifierOptions, train: LabelledSet, validation: LabelledSet, world: World
) -> tuple[Tokenizer, list[str]]:
    """The tokenizer asked for, or else the one that suits the texts, and sentences on it."""
    kind, notes = options.tokenizer, []
    if kind is None:
        kind, why = classifier_tokenizer(rare_words(train.texts, validation.texts))
        notes.append(why)
    size = MOST_PIECES if options.vocab_size is None and kind in PIECES else options.vocab_size
    least = 1 if options.min_frequency is None else options.min_frequency

    def make() -> tuple[str, bytes]:
        tokenizer = train_tokenizer(kind, train.texts, vocab_size=size, min_frequency=least)
        return tokenizer.kind, tokenizer.to_bytes()

    return load_tokenizer(*world.agree(make)), notes


class FittedNgrams(NamedTuple):
    """What the n-grams contribute."""

    classifier: NgramClassifier
    held_out_logits: np.ndarray  # (texts, labels), of a classifier that has not seen the texts held out
    accuracy: float  # of that one
    note: str  # how good that one is


def _fit_ngrams(
    train: LabelledSet, validation: LabelledSet, labels: list[str], options: ClassifierOptions
) -> FittedNgrams:
    """N-grams of the training texts, measured on those held out, to which they are then fitted too.

    That takes seconds and adds a quarter to the texts of a small set. Texts named by --val stay unseen.
    """
    began = time.monotonic()
    classifier = fit_ngrams(train, validation, labels, balance=options.balance)
    logits = classifier.logits(validation.texts)
    right = np.array(labels)[logits.argmax(-1)] == np.array(validation.labels)
    low, high = interval(int(right.sum()), len(right))
    if not options.val:
        everything = LabelledSet(train.texts + validation.texts, train.labels + validation.labels)
        classifier = fit_again(classifier, everything, labels, balance=options.balance)
    note = f"n-grams alone: accuracy {right.mean():.4f} ({low:.3f} to {high:.3f}), {time.monotonic() - began:.0f} s"
    return FittedNgrams(classifier, logits, float(right.mean()), note)


def _crop(task: Classification, options: ClassifierOptions) -> tuple[int | None, list[str]]:
    """The tokens to read of each text, as a budget in minutes has time for, and a sentence on them; None: all."""
    if options.minutes is None:
        return None, []
    timed = replace(task, train=replace(task.train, crop=TIMED_CROP))
    assert options.optimizer
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


def model_config(options: ClassifierOptions, tokenizer: Tokenizer, num_labels: int) -> ClassifierConfig:
    """The model's shape, from options that leave no choice."""
    assert options.cell and options.layers and options.hidden and options.embedding and options.pooling
    shape = (options.layers, options.hidden, options.embedding, bool(options.bidirectional))
    return ClassifierConfig(EncoderConfig(tokenizer.vocab_size, options.cell, *shape), num_labels, options.pooling)

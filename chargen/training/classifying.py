"""Training a classifier: what the loop needs to know of labelled texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from chargen.checkpoint import CLASSIFIER, Run
from chargen.errors import ChargenError
from chargen.evaluation import classification_report
from chargen.hardware import autocast, choose_device
from chargen.models.classifier import Classifier, label_logits
from chargen.models.config import ClassifierConfig, EncoderConfig
from chargen.models.encoder import NO_DROPOUT, Dropout, Masks
from chargen.text.labelled import LabelledSet, encode_example, pad, read_labelled, stratified_split
from chargen.text.tokenizers import Tokenizer, train_tokenizer
from chargen.training.batches import Texts
from chargen.training.distributed import World
from chargen.training.options import ClassifierOptions
from chargen.training.recipes import DEFAULT_CELL, classifier_recipe
from chargen.training.setup import (
    Prepared,
    dropout_of,
    encoder_of,
    give_weights,
    precision_of,
    unknown_note,
    why_unknown,
)
from chargen.workers import ONE_WORKER, Workers

VAL_FRACTION = 0.2


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

    @property
    def steps_per_epoch(self) -> int:
        """Batches that read every training text once."""
        return self.train.steps_per_epoch

    def losses(self, step: int) -> tuple[list[Callable[[], Tensor]], int]:
        """A function for each shard of the batch that gives its part of the mean cross-entropy (nats a text)."""
        chosen = self.train.batch(step)
        masks = self.model.encoder.draw_masks(self.dropout, len(chosen))
        # Neighbours in a batch are about as long, so shards of every n-th text cost about the same.
        parts = [slice(first, None, self.shards) for first in range(min(self.shards, len(chosen)))]
        shards: list[Callable[[], Tensor]] = [
            partial(self._loss, chosen[part], masks.of(part), len(chosen)) for part in parts
        ]
        return shards, int(self.train.lengths[chosen].sum())

    def _loss(self, chosen: np.ndarray, masks: Masks, texts: int) -> Tensor:
        ids, lengths = (torch.from_numpy(a).to(self.device) for a in pad([self.train.texts[i] for i in chosen]))
        with autocast(self.device, self.precision):
            logits = self.model(ids, lengths, masks)
        labels = torch.from_numpy(self.train.labels[chosen]).to(self.device)
        return cross_entropy(logits.float(), labels) * (len(chosen) / texts)

    def bits(self, nats: float) -> None:
        """Labels have no characters."""

    def evaluate(self, most_tokens: int) -> dict[str, Any]:
        """Loss, accuracy and macro-F1 on the validation texts, or on as many of them, always the same."""
        order = np.random.default_rng(0).permutation(len(self.validation.texts))
        ends = np.cumsum(self.validation.lengths[order])
        chosen = order[: max(1, int(np.searchsorted(ends, most_tokens, side="right")))]
        logits = label_logits(self.model, [self.validation.texts[i] for i in chosen], workers=self.workers)
        truth = self.validation.labels[chosen]
        report = classification_report(truth.tolist(), logits.argmax(-1).tolist(), self.labels)
        loss = cross_entropy(torch.from_numpy(logits), torch.from_numpy(truth)).item()
        return {"val_loss": loss, "accuracy": report["accuracy"], "macro_f1": report["macro_f1"]}

    def merit(self, figures: Mapping[str, Any]) -> float:
        """Accuracy; the loss rises with mere confidence long before more labels are wrong."""
        return float(figures["accuracy"])

    def carried(self) -> dict[str, Tensor]:
        """Nothing: each text begins anew."""
        return {}

    def carry(self, tensors: Mapping[str, Tensor]) -> None:
        """Nothing to take up."""


def prepare_classifier(
    options: ClassifierOptions,
    world: World,
    workers: Workers,
    *,
    source: Run | None = None,
    tokenizer: Tokenizer | None = None,
    documents: bool | None = None,
) -> Prepared:
    """Texts read and encoded, every choice made, the model built.

    source: the run to start from, which brings its encoder and tokenizer; tokenizer: one to use as it is;
    documents: how texts begin and end, see `encode_example`, where that is known.
    ChargenError for whatever data or options are refused.
    """
    if world.size > 1:
        raise ChargenError("a classifier trains in one process: start chargen without torchrun")
    device = choose_device(options.device)
    train, validation = read_split(options)
    labels = train.names
    if strange := set(validation.labels) - set(labels):
        raise ChargenError(
            f"no text to train on is labelled {sorted(strange)[0]!r}, but one to validate on is: add one"
        )
    tokenizer = source.tokenizer() if source else tokenizer
    if tokenizer is None:
        least = 1 if options.min_frequency is None else options.min_frequency
        kind = options.tokenizer or "char"
        tokenizer = train_tokenizer(kind, train.texts, vocab_size=options.vocab_size, min_frequency=least)
    if documents is None:
        documents = bool(source.config["data"]["documents"]) if source else True
    texts, held_out = (
        [encode_example(tokenizer, text, documents=documents, max_length=options.max_length) for text in part.texts]
        for part in (train, validation)
    )
    notes = [f"{len(texts):,} texts to learn from, {len(held_out):,} held out, {len(labels)} labels"]
    notes += unknown_note(tokenizer.unknown("".join(train.texts)), sum(map(len, train.texts)), why_unknown(options))
    if cut := sum(len(ids) == options.max_length for ids in texts):
        notes.append(f"{cut:,} texts fill the {options.max_length:,} tokens that are read of each (--max-length)")
    asked = replace(options, **encoder_of(source, options)) if source else options
    precision, told = precision_of(options.precision, asked.cell or DEFAULT_CELL, device)
    notes += told
    chosen = replace(classifier_recipe(asked, workers.size), tokenizer=tokenizer.kind, precision=precision)
    assert chosen.batch is not None and chosen.shards is not None  # by the recipe
    torch.manual_seed(chosen.seed)
    config = model_config(chosen, tokenizer, len(labels))
    model = Classifier(config).to(device)
    if source:
        give_weights(model, source)
    index = {label: number for number, label in enumerate(labels)}
    task = Classification(
        model,
        Texts(texts, np.array([index[label] for label in train.labels]), chosen.batch, chosen.seed),
        Texts(held_out, np.array([index[label] for label in validation.labels]), chosen.batch),
        labels,
        device,
        precision,
        workers,
        chosen.shards,
        dropout_of(chosen),
    )
    data = {
        "sources": list(options.inputs),
        "fingerprint": train.fingerprint(),
        "validation": validation.fingerprint(),
        "examples": len(texts),
        "validation_examples": len(held_out),
        "encoding": chosen.encoding,
        "documents": documents,
        "max_length": options.max_length,
    }
    return Prepared(task, CLASSIFIER, chosen, asdict(config), data, tokenizer, labels, notes)


def read_split(options: ClassifierOptions) -> tuple[LabelledSet, LabelledSet]:
    """Examples to train on, and examples to validate on: a stratified part, or a set of their own."""
    columns: dict[str, Any] = {
        "text_column": options.text_column,
        "label_column": options.label_column,
        "encoding": options.encoding,
    }
    if options.val:
        if options.val_fraction is not None:
            raise ChargenError("a set to validate on and a fraction of the set contradict: leave out one of the two")
        return read_labelled(options.inputs, **columns), read_labelled(options.val, for_training=False, **columns)
    examples = read_labelled(options.inputs, **columns)
    fraction = VAL_FRACTION if options.val_fraction is None else options.val_fraction
    train, held_out = stratified_split(examples.labels, fraction, options.seed)
    return examples.select(train), examples.select(held_out)


def model_config(options: ClassifierOptions, tokenizer: Tokenizer, num_labels: int) -> ClassifierConfig:
    """The model's shape, from options that leave no choice."""
    assert options.cell and options.layers and options.hidden and options.embedding and options.pooling
    shape = (options.layers, options.hidden, options.embedding, bool(options.bidirectional))
    return ClassifierConfig(EncoderConfig(tokenizer.vocab_size, options.cell, *shape), num_labels, options.pooling)

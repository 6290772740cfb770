"""Training a language model: what the loop needs to know of text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from chargen.errors import ChargenError
from chargen.evaluation.losses import text_loss
from chargen.hardware import autocast, choose_device
from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.models.encoder import NO_DROPOUT, Dropout, Masks, StackState
from chargen.models.language_model import LanguageModel
from chargen.text.corpus import Corpus, CorpusSettings, encode_corpus
from chargen.text.tokenizers.base import Tokenizer
from chargen.training.batches import Streams
from chargen.training.distributed import ALONE, World
from chargen.training.loop import weights_of
from chargen.training.options import LanguageModelOptions
from chargen.training.planner import Planner
from chargen.training.recipes import DEFAULT_CELL, WINDOW, Speed, language_model_recipe, tokens_read
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
from chargen.workers import ONE_WORKER, Workers, divide

SHORTEST = 16  # tokens of a training text; with fewer there is nothing to learn


@dataclass
class LanguageModelling:
    """The loop's task: predict each next symbol in parallel streams of one text, by truncated BPTT."""

    model: LanguageModel
    streams: Streams
    validation: np.ndarray  # ids (N,)
    tokenizer: Tokenizer
    characters_per_token: float  # of the whole text
    device: torch.device
    precision: str
    world: World = ALONE
    workers: Workers = ONE_WORKER
    shards: int = 1  # of this process's streams
    dropout: Dropout = NO_DROPOUT
    activation_reg: float = 0.0
    temporal_reg: float = 0.0

    def __post_init__(self) -> None:
        self.share = self.world.share(self.streams.streams)
        self.parts = divide(self.share.stop - self.share.start, self.shards)
        self.states: list[StackState] = self._zero_states()  # a shard
        ids = self.streams.ids
        # A GPU holds the whole text, since fetching each batch from the other side would make it wait.
        narrow = np.uint8 if ids.dtype == np.uint8 else np.int32  # what torch can look up
        self.on_device = None if self.device.type == "cpu" else torch.from_numpy(ids.astype(narrow)).to(self.device)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that read the training text once."""
        return self.streams.steps_per_epoch

    def losses(self, step: int) -> tuple[list[Callable[[], Tensor]], int]:
        """A function for each shard of this process's streams, and the tokens of all processes.

        Each gives its part of the mean cross-entropy (nats per token), with what activation regularisation adds
        (Merity et al. 2017, arXiv:1708.01009), and keeps the shard's state for the next step.
        """
        if self.streams.is_fresh(step):
            self.states = self._zero_states()
        tokens = self._tokens(self.streams.places(step)[:, self.share])  # (T + 1, B)
        masks = self.model.encoder.draw_masks(self.dropout, tokens.shape[1])
        shards: list[Callable[[], Tensor]] = [
            partial(self._loss, number, tokens, masks) for number in range(self.shards)
        ]
        return shards, self.streams.window * self.streams.streams

    def _loss(self, shard: int, tokens: Tensor, masks: Masks) -> Tensor:
        part = self.parts[shard]
        share = (part.stop - part.start) / tokens.shape[1]
        tokens = tokens[:, part]
        with autocast(self.device, self.precision):
            outputs, state = self.model.encoder(tokens[:-1], self.states[shard], masks=masks.of(part))  # (T, B, H)
            logits = self.model.projection(outputs)  # (T, B, V)
        self.states[shard] = tuple(tuple(part.detach().float() for part in layer) for layer in state)
        loss = cross_entropy(logits.flatten(0, 1).float(), tokens[1:].flatten())
        if self.activation_reg:
            loss = loss + self.activation_reg * outputs.float().square().mean()
        if self.temporal_reg and len(outputs) > 1:
            loss = loss + self.temporal_reg * outputs.float().diff(dim=0).square().mean()
        result: Tensor = loss * share
        return result

    def bits(self, nats: float) -> float:
        """A loss in nats per token as bits per character."""
        return nats / math.log(2) / self.characters_per_token

    def evaluate(self, most_tokens: int, *, last: bool = False) -> dict[str, Any]:
        """Loss on the first `most_tokens` of the validation text, in single precision."""
        loss = text_loss(self.model, self.tokenizer, self.validation[: most_tokens + 1], self.workers)
        return {"val_loss": loss.nats_per_token, "val_bpc": loss.bits_per_character}

    def weights(self) -> dict[str, np.ndarray]:
        """All of the model's."""
        return weights_of(self.model)

    def merit(self, figures: Mapping[str, Any]) -> float:
        """A lower loss is better."""
        return -float(figures["val_loss"])

    def carried(self) -> dict[str, Tensor]:
        """The recurrent state of all streams, by layer and part, each (B, H)."""
        return {
            f"state.{layer}.{number}": self.world.gather(torch.cat(shards), dim=0)
            for layer, layers in enumerate(zip(*self.states, strict=True))
            for number, shards in enumerate(zip(*layers, strict=True))
        }

    def carry(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up the recurrent state that `carried` gave."""
        self.states = [
            tuple(
                tuple(
                    tensors[f"state.{layer}.{number}"][self.share][part].to(self.device) for number in range(len(old))
                )
                for layer, old in enumerate(state)
            )
            for part, state in zip(self.parts, self.states, strict=True)
        ]

    def _zero_states(self) -> list[StackState]:
        return [self.model.encoder.initial_state(part.stop - part.start) for part in self.parts]

    def _tokens(self, places: np.ndarray) -> Tensor:
        """Ids (T + 1, B) at places of the text, on the device."""
        if self.on_device is not None:
            return self.on_device[torch.from_numpy(places).to(self.device)].long()
        return torch.from_numpy(self.streams.ids[places].astype(np.int64))


def prepare_language_model(options: LanguageModelOptions, setting: Setting) -> Prepared:
    """Text encoded, every choice made, the model built.

    ChargenError for a text too short to train on, and for whatever text or options are refused.
    """
    world, workers, source, progress = setting.world, setting.workers, setting.source, setting.progress
    device = choose_device(options.device)
    given = source.tokenizer() if source else setting.tokenizer
    # One process encodes, then all open.
    first = world.agree(lambda: encode(options, given, progress).fingerprint) if world.size > 1 else None
    corpus = encode(options, given, progress)
    require_same(first in (None, corpus.fingerprint), corpus.sources, world, device)
    notes = [f"{len(corpus.ids):,} tokens, {corpus.characters:,} characters, {corpus.tokenizer.vocab_size:,} symbols"]
    notes += unknown_note(corpus.unknown, corpus.characters, why_unknown(options))
    train_ids, validation, other = split(corpus, options)
    if other:
        notes += unknown_note(other.unknown, other.characters, "of the validation text have no symbol")
    if len(train_ids) < SHORTEST or len(validation) < 2:
        raise ChargenError(
            f"the text in {', '.join(corpus.sources)} has {len(corpus.ids)} tokens, too few to train and measure on: "
            f"give at least {2 * SHORTEST}, or a text of its own to validate on with --val"
        )
    asked = replace(options, **encoder_of(source, options)) if source else options
    precision, told = world.agree(lambda: precision_of(options.precision, asked.cell or DEFAULT_CELL, device))
    notes += told
    timed = partial(
        _timed, tokenizer=corpus.tokenizer, device=device, precision=precision, world=world, workers=workers
    )
    planner = Planner(timed, device, precision, corpus.tokenizer.vocab_size, world, workers)
    sizes = len(train_ids), corpus.tokenizer.vocab_size
    chosen = language_model_recipe(asked, *sizes, planner.speed, world.size, workers.size)
    notes += _plan(asked, chosen, len(train_ids), planner.speed)
    chosen = replace(chosen, tokenizer=corpus.tokenizer.kind, precision=precision)
    assert chosen.batch and chosen.window and chosen.shards  # by the recipe
    if chosen.window < (asked.window or WINDOW) or (asked.batch and chosen.batch < asked.batch):
        notes.append(
            f"the text is short, so it is read in {chosen.batch} streams and windows of {chosen.window} tokens"
        )
    if asked.shards and chosen.shards < asked.shards:
        notes.append(f"{chosen.batch} streams make {chosen.shards} shards at most")
    torch.manual_seed(chosen.seed)
    config = model_config(chosen, corpus.tokenizer)
    model = LanguageModel(config).to(device)
    if source:
        give_weights(model, source)
    world.seed(chosen.seed)
    task = LanguageModelling(
        model,
        Streams(train_ids, chosen.batch, chosen.window, chosen.seed),
        validation,
        corpus.tokenizer,
        corpus.characters / len(corpus.ids),
        device,
        precision,
        world,
        workers,
        chosen.shards,
        dropout_of(chosen),
        chosen.activation_reg or 0.0,
        chosen.temporal_reg or 0.0,
    )
    data = {
        "sources": corpus.sources,
        "fingerprint": corpus.fingerprint,
        "validation": other.fingerprint if other else None,
        "tokens": len(corpus.ids),
        "characters": corpus.characters,
        "documents": chosen.documents,
        "text_column": chosen.text_column,
        "encoding": chosen.encoding,
    }
    correct = partial(planner.correct, chosen)
    return Prepared(task, chosen, asdict(config), data, corpus.tokenizer, None, notes, correct=correct)


def _timed(
    options: LanguageModelOptions,
    *,
    tokenizer: Tokenizer,
    device: torch.device,
    precision: str,
    world: World,
    workers: Workers,
) -> LanguageModelling:
    """A task of these options on random ids, to see how fast its steps are."""
    assert options.batch and options.window and options.shards
    model = LanguageModel(model_config(options, tokenizer)).to(device).train()
    ids = np.random.default_rng(0).integers(tokenizer.vocab_size, size=8 * options.batch * options.window)
    streams = Streams(ids, options.batch, options.window)
    return LanguageModelling(model, streams, ids, tokenizer, 1.0, device, precision, world, workers, options.shards)


def _plan(asked: LanguageModelOptions, chosen: LanguageModelOptions, tokens: int, speed: Speed) -> list[str]:
    """A sentence on what was found and chosen, where a budget in minutes leaves something to choose."""
    if chosen.minutes is None or (asked.epochs == chosen.epochs and asked.dropout == chosen.dropout):
        return []
    found = speed(chosen)
    read = tokens_read(chosen, tokens, speed) / tokens
    shape = f"{chosen.cell} {chosen.layers}x{chosen.hidden}"
    told = (
        f"{shape} reads about {found:,.0f} tokens a second here, so {read:.2g} epochs in {chosen.minutes:g} minutes"
    )
    if read == chosen.epochs:
        told = (
            f"{shape}; the text is read {read:g} times at most, since a short text is soon known by heart (--epochs)"
        )
    return [told]


def encode(
    options: LanguageModelOptions, tokenizer: Tokenizer | None, progress: Callable[[float], object] | None
) -> Corpus:
    """The corpus that the options name."""
    settings = CorpusSettings(
        inputs=options.inputs,
        tokenizer=options.tokenizer or "char",
        vocab_size=options.vocab_size,
        min_frequency=1 if options.min_frequency is None else options.min_frequency,
        encoding=options.encoding,
        documents=options.documents,
        text_column=options.text_column,
    )
    return encode_corpus(settings, tokenizer=tokenizer, progress=progress)


def split(corpus: Corpus, options: LanguageModelOptions) -> tuple[np.ndarray, np.ndarray, Corpus | None]:
    """Ids to train on, and ids to validate on: the end of the text, or a text of their own, which comes third."""
    if options.val:
        if options.val_fraction is not None:
            raise ChargenError(
                "a text to validate on and a fraction of the text contradict: leave out one of the two"
            )
        other = encode(replace(options, inputs=options.val), corpus.tokenizer, None)
        return corpus.ids, other.ids, other
    fraction = 0.1 if options.val_fraction is None else options.val_fraction
    if fraction == 0:
        raise ChargenError("without validation text the best weights cannot be told: name one with --val")
    return *corpus.split(fraction), None


def model_config(options: LanguageModelOptions, tokenizer: Tokenizer) -> LanguageModelConfig:
    """The model's shape, from options that leave no choice."""
    assert options.cell and options.layers and options.hidden and options.embedding
    encoder = EncoderConfig(tokenizer.vocab_size, options.cell, options.layers, options.hidden, options.embedding)
    return LanguageModelConfig(encoder, bool(options.tied))

"""Training a language model: what the loop needs to know of text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from chargen.errors import ChargenError
from chargen.evaluation.losses import text_loss
from chargen.hardware import autocast
from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.models.dropout import NO_DROPOUT, Dropout, Masks
from chargen.models.language_model import LanguageModel
from chargen.models.stack import StackState
from chargen.models.weights import weights_of
from chargen.text.text_data import TextData, load_text
from chargen.text.tokenizers.base import Tokenizer
from chargen.training.batches import Streams
from chargen.training.distributed import ALONE, World
from chargen.training.options import ChosenLanguageModelOptions, LanguageModelOptions
from chargen.training.planner import Planner
from chargen.training.recipes import DEFAULT_CELL, SEQUENCE_LENGTH, Speed, language_model_recipe, tokens_read
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
    """Encode the text, make every choice, build the model.

    ChargenError for a text too short to train on, and for whatever text or options are refused.
    """
    data, notes = _load(options, setting)
    asked = replace(options, **encoder_of(setting.source, options)) if setting.source else options
    world, device = setting.world, setting.device
    precision, told = world.agree(lambda: precision_of(options.precision, asked.cell or DEFAULT_CELL, device))
    asked = replace(asked, tokenizer=data.tokenizer.kind, precision=precision)
    timed = partial(_timed, tokenizer=data.tokenizer, setting=setting)
    planner = Planner(timed, device, precision, data.tokenizer.vocab_size, world, setting.workers)
    sizes = len(data.train), data.tokenizer.vocab_size
    chosen = language_model_recipe(asked, *sizes, planner.speed, world.size, setting.workers.size)
    notes += [*told, *_plan(asked, chosen, len(data.train), planner.speed), *_shortened(asked, chosen)]
    torch.manual_seed(chosen.seed)
    model = LanguageModel(model_config(chosen, data.tokenizer)).to(device)
    if setting.source:
        give_weights(model, setting.source)
    world.seed(chosen.seed)
    return Prepared(
        task=LanguageModelling(
            model,
            Streams(data.train, chosen.batch_size, chosen.sequence_length, chosen.seed),
            data.validation,
            data.tokenizer,
            data.characters_per_token,
            device,
            precision,
            world,
            setting.workers,
            chosen.shards,
            dropout_of(chosen),
            chosen.activation_reg,
            chosen.temporal_reg,
        ),
        options=chosen,
        optimisation=optimisation_of(chosen),
        model=model.config,
        data=data.record,
        tokenizer=data.tokenizer,
        notes=notes,
        correct=partial(planner.correct, chosen),
    )


def _load(options: LanguageModelOptions, setting: Setting) -> tuple[TextData, list[str]]:
    """The text, the same in all processes, and sentences on it."""
    world = setting.world

    def load() -> TextData:
        return load_text(
            options.corpus,
            val=options.val,
            val_fraction=options.val_fraction,
            tokenizer=setting.tokenizer,
            progress=setting.progress,
        )

    # One process encodes, then all open.
    first = world.agree(lambda: load().record.fingerprint) if world.size > 1 else None
    data = load()
    corpus, other = data.corpus, data.other
    require_same(first in (None, corpus.fingerprint), corpus.sources, world, setting.device)
    notes = [f"{len(corpus.ids):,} tokens, {corpus.characters:,} characters, {data.tokenizer.vocab_size:,} symbols"]
    notes += unknown_note(corpus.unknown, corpus.characters, why_unknown(options))
    if other:
        notes += unknown_note(other.unknown, other.characters, "of the validation text have no symbol")
    if len(data.train) < SHORTEST or len(data.validation) < 2:
        raise ChargenError(
            f"the text in {', '.join(corpus.sources)} has {len(corpus.ids)} tokens, too few to train and measure on: "
            f"give at least {2 * SHORTEST}, or a text of its own to validate on with --val"
        )
    return data, notes


def _timed(options: ChosenLanguageModelOptions, *, tokenizer: Tokenizer, setting: Setting) -> LanguageModelling:
    """A task of these options on random ids, to see how fast its steps are."""
    model = LanguageModel(model_config(options, tokenizer)).to(setting.device).train()
    size = 8 * options.batch_size * options.sequence_length
    ids = np.random.default_rng(0).integers(tokenizer.vocab_size, size=size)
    streams = Streams(ids, options.batch_size, options.sequence_length)
    where = (setting.device, options.precision, setting.world, setting.workers)
    return LanguageModelling(model, streams, ids, tokenizer, 1.0, *where, options.shards)


def _plan(asked: LanguageModelOptions, chosen: ChosenLanguageModelOptions, tokens: int, speed: Speed) -> list[str]:
    """A sentence on what was found and chosen, where a budget in minutes leaves something to choose."""
    if chosen.minutes is None or (asked.epochs == chosen.epochs and asked.dropout == chosen.dropout):
        return []
    found = speed(chosen)
    read = tokens_read(chosen, tokens, speed) / tokens
    shape = f"{chosen.cell} {chosen.num_layers}x{chosen.hidden_size}"
    told = (
        f"{shape} reads about {found:,.0f} tokens a second here, so {read:.2g} epochs in {chosen.minutes:g} minutes"
    )
    if read == chosen.epochs:
        told = (
            f"{shape}; the text is read {read:g} times at most, since a short text is soon known by heart (--epochs)"
        )
    return [told]


def _shortened(asked: LanguageModelOptions, chosen: ChosenLanguageModelOptions) -> list[str]:
    """Sentences on what a short text allows less of than was asked for."""
    notes, streams = [], chosen.batch_size
    shorter = chosen.sequence_length < (asked.sequence_length or SEQUENCE_LENGTH)
    if shorter or (asked.batch_size and streams < asked.batch_size):
        notes.append(
            f"the text is short, so it is read in {streams} streams of {chosen.sequence_length} tokens a step"
        )
    if asked.shards and chosen.shards < asked.shards:
        notes.append(f"{streams} streams make {chosen.shards} shards at most")
    return notes


def model_config(options: ChosenLanguageModelOptions, tokenizer: Tokenizer) -> LanguageModelConfig:
    """The model's shape."""
    shape = (options.cell, options.num_layers, options.hidden_size, options.embedding_size)
    return LanguageModelConfig(EncoderConfig(tokenizer.vocab_size, *shape), options.tied)

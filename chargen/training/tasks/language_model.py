"""The task of a language model, and how to prepare it from a text."""

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
from chargen.models.config import LanguageModelConfig
from chargen.models.dropout import NO_DROPOUT, Dropout, Masks
from chargen.models.language_model import LanguageModel
from chargen.models.stack import StackState
from chargen.models.weights import weights_of
from chargen.text.sources import left_out
from chargen.text.text_data import TextData, load_text
from chargen.text.tokenizers.base import Tokenizer
from chargen.training.batches import Streams
from chargen.training.chosen import ChosenLanguageModelOptions, encoder_config
from chargen.training.distributed import ALONE, World
from chargen.training.options import LanguageModelOptions
from chargen.training.planner import Planner
from chargen.training.recipes import DEFAULT_CELL, SEQUENCE_LENGTH, Speed, language_model_recipe, tokens_read
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
from chargen.workers import ONE_WORKER, Workers, divide

MIN_TOKENS = 16  # of a training text; with fewer there is nothing to learn


@dataclass
class LanguageModelling:
    """The task of predicting each next token in parallel streams of one text, by truncated BPTT.

    Shapes: B streams, T steps, V vocabulary, H hidden units. It carries the recurrent state of this process's streams
    from step to step.
    """

    model: LanguageModel
    streams: Streams
    validation: np.ndarray  # ids (N,)
    tokenizer: Tokenizer
    characters_per_token: float  # average over the whole text, to convert nats to bits per character
    device: torch.device
    precision: str
    world: World = ALONE
    workers: Workers = ONE_WORKER
    shards: int = 1  # parts of this process's streams, computed in parallel
    dropout: Dropout = NO_DROPOUT
    activation_reg: float = 0.0  # weight of the mean square of the outputs
    temporal_reg: float = 0.0  # weight of the mean square of their change per step

    def __post_init__(self) -> None:
        self.own = self.world.shard(self.streams.streams)  # this process's streams
        self.parts = divide(self.own.stop - self.own.start, self.shards)
        self.states: list[StackState] = self._zero_states()  # one per shard
        ids = self.streams.ids
        # A GPU holds the whole text, since it would have to wait for each batch copied from main memory.
        narrow = np.uint8 if ids.dtype == np.uint8 else np.int32  # types that torch can index
        self.on_device = None if self.device.type == "cpu" else torch.from_numpy(ids.astype(narrow)).to(self.device)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that read the training text once."""
        return self.streams.steps_per_epoch

    def losses(self, step: int) -> tuple[list[Callable[[], Tensor]], int]:
        """Loss functions of this process's shards, and the tokens of all processes; see `Task.losses`.

        Each function gives its part of the mean cross-entropy in nats per token, plus activation regularisation
        (Merity et al. 2017, arXiv:1708.01009), and keeps the shard's state for the next step.
        """
        if self.streams.is_fresh(step):
            self.states = self._zero_states()
        tokens = self._tokens(self.streams.indices(step)[:, self.own])  # (T + 1, B)
        masks = self.model.encoder.draw_masks(self.dropout, tokens.shape[1])
        shards: list[Callable[[], Tensor]] = [
            partial(self._loss, number, tokens, masks) for number in range(self.shards)
        ]
        return shards, self.streams.sequence_length * self.streams.streams

    def _loss(self, shard: int, tokens: Tensor, masks: Masks) -> Tensor:
        part = self.parts[shard]
        fraction = (part.stop - part.start) / tokens.shape[1]  # of this process's streams
        tokens = tokens[:, part]
        with autocast(self.device, self.precision):
            outputs, state = self.model.encoder(
                tokens[:-1], self.states[shard], masks=masks.select(part)
            )  # (T, B, H)
            logits = self.model.projection(outputs)  # (T, B, V)
        self.states[shard] = tuple(tuple(part.detach().float() for part in layer) for layer in state)
        loss = cross_entropy(logits.flatten(0, 1).float(), tokens[1:].flatten())
        if self.activation_reg:
            loss = loss + self.activation_reg * outputs.float().square().mean()
        if self.temporal_reg and len(outputs) > 1:
            loss = loss + self.temporal_reg * outputs.float().diff(dim=0).square().mean()
        result: Tensor = loss * fraction
        return result

    def bits(self, nats: float) -> float:
        """Convert a loss from nats per token to bits per character."""
        return nats / math.log(2) / self.characters_per_token

    def evaluate(self, most_tokens: int, *, last: bool = False) -> dict[str, Any]:
        """Cross-entropy of the first `most_tokens` of the validation text, in float32."""
        loss = text_loss(self.model, self.tokenizer, self.validation[: most_tokens + 1], self.workers)
        return {
            "val_loss": loss.nats_per_token,
            "val_bpc": loss.bits_per_character,
            "val_tokens": loss.tokens,
            "held_out_tokens": len(self.validation) - 1,
        }

    def weights(self) -> dict[str, np.ndarray]:
        """The model's weights."""
        return weights_of(self.model)

    def score(self, figures: Mapping[str, Any]) -> float:
        """The negative loss."""
        return -float(figures["val_loss"])

    def state_dict(self) -> dict[str, Tensor]:
        """The recurrent state of all streams, `state.LAYER.PART`, each (B, H); part 0 is h, part 1 an LSTM's c."""
        return {
            f"state.{layer}.{number}": self.world.gather(torch.cat(shards), dim=0)
            for layer, layers in enumerate(zip(*self.states, strict=True))
            for number, shards in enumerate(zip(*layers, strict=True))
        }

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the recurrent state that `state_dict` gave; each process takes its own streams."""
        self.states = [
            tuple(
                tuple(
                    tensors[f"state.{layer}.{number}"][self.own][part].to(self.device) for number in range(len(old))
                )
                for layer, old in enumerate(state)
            )
            for part, state in zip(self.parts, self.states, strict=True)
        ]

    def _zero_states(self) -> list[StackState]:
        return [self.model.encoder.initial_state(part.stop - part.start) for part in self.parts]

    def _tokens(self, indices: np.ndarray) -> Tensor:
        """Ids (T + 1, B) at these indices of the text, on the device."""
        if self.on_device is not None:
            return self.on_device[torch.from_numpy(indices).to(self.device)].long()
        return torch.from_numpy(self.streams.ids[indices].astype(np.int64))


def prepare_language_model(options: LanguageModelOptions, context: Context) -> Prepared:
    """Encode the text, choose every option that was left open, and build the model.

    Args:
        options: What is requested.
        context: Device, processes, and other runs involved.

    Raises:
        ChargenError: The text is too short to train on, or cannot be read, or options contradict each other.
    """
    data, notes = _load(options, context)
    asked = replace(options, **encoder_options(context.source, options)) if context.source else options
    world, device = context.world, context.device
    precision, warnings = world.broadcast(
        lambda: resolve_precision(options.precision, asked.cell or DEFAULT_CELL, device)
    )
    asked = replace(asked, tokenizer=data.tokenizer.kind, precision=precision)
    timed = partial(_timed, tokenizer=data.tokenizer, context=context)
    planner = Planner(timed, device, precision, data.tokenizer.vocab_size, world, context.workers)
    sizes = len(data.train), data.tokenizer.vocab_size
    chosen = language_model_recipe(asked, *sizes, planner.speed, world.size, context.workers.size)
    notes += [*warnings, *_plan(asked, chosen, len(data.train), planner.speed), *_shortened(asked, chosen)]
    torch.manual_seed(chosen.seed)
    config = model_config(chosen, data.tokenizer, data.tokenizer.bos_id if chosen.documents else None)
    if context.resumed:  # earlier versions reset no state
        config = context.resumed.model_config(LanguageModelConfig)
    elif not context.source:
        check_effects(config.encoder)
    model = LanguageModel(config).to(device)
    if context.source:
        copy_weights(model, context.source)
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
            context.workers,
            chosen.shards,
            dropout_settings(chosen),
            chosen.activation_reg,
            chosen.temporal_reg,
        ),
        options=chosen,
        optimizer_settings=optimizer_settings(chosen),
        model=model.config,
        data=data.record,
        tokenizer=data.tokenizer,
        notes=notes,
        record_speed=partial(planner.record, chosen),
    )


def _load(options: LanguageModelOptions, context: Context) -> tuple[TextData, list[str]]:
    """Load the encoded text, check that all processes have the same, and describe it in sentences."""
    world = context.world

    def load() -> TextData:
        return load_text(
            options.corpus,
            val=options.val,
            val_fraction=options.val_fraction,
            tokenizer=context.tokenizer,
            progress=context.progress,
        )

    # The first process encodes the text, the others then open what it wrote.
    first = world.broadcast(lambda: load().record.fingerprint) if world.size > 1 else None
    data = load()
    corpus, other = data.corpus, data.other
    check_same_text(first in (None, corpus.fingerprint), corpus.sources, world, context.device)
    notes = [
        f"{len(corpus.ids):,} tokens, {corpus.characters:,} characters, a vocabulary of {data.tokenizer.vocab_size:,}"
    ]
    notes += left_out((*options.inputs, *options.val))
    if options.val and {*corpus.sources} & {*(data.other.sources if data.other else ())}:
        notes.append("the validation text is trained on too, so its loss says how well it is known by heart")
    notes += unknown_note(corpus.unknown, corpus.characters, why_unknown(options))
    if other:
        notes += unknown_note(other.unknown, other.characters, "of the validation text are not in the vocabulary")
    if len(data.train) < MIN_TOKENS or len(data.validation) < 2:
        raise ChargenError(
            f"the text in {', '.join(corpus.sources)} has {len(corpus.ids)} tokens, too few to train and measure on: "
            f"give at least {2 * MIN_TOKENS}, or a separate text to validate on with --val"
        )
    return data, notes


def _timed(options: ChosenLanguageModelOptions, *, tokenizer: Tokenizer, context: Context) -> LanguageModelling:
    """A task with these options on random ids, whose steps the planner times."""
    model = LanguageModel(model_config(options, tokenizer)).to(context.device).train()
    size = 8 * options.batch_size * options.sequence_length
    ids = np.random.default_rng(0).integers(tokenizer.vocab_size, size=size)
    streams = Streams(ids, options.batch_size, options.sequence_length)
    rest = (context.device, options.precision, context.world, context.workers)
    return LanguageModelling(model, streams, ids, tokenizer, 1.0, *rest, options.shards)


def _plan(asked: LanguageModelOptions, chosen: ChosenLanguageModelOptions, tokens: int, speed: Speed) -> list[str]:
    """A sentence on speed and shape, where a budget in minutes decided something."""
    if chosen.minutes is None or (asked.epochs == chosen.epochs and asked.dropout == chosen.dropout):
        return []
    per_second = speed(chosen)
    read = tokens_read(chosen, tokens, speed) / tokens
    shape = f"{chosen.cell} {chosen.num_layers}x{chosen.hidden_size}"
    if read == chosen.epochs:
        why = f"the text is read {read:g} times at most, since a short text is soon known by heart (--epochs)"
        return [f"{shape}; {why}"]
    epochs = f"{read:.2g} epochs in {chosen.minutes:g} minutes"
    return [f"{shape} reads about {per_second:,.0f} tokens a second here, so {epochs}"]


def _shortened(asked: LanguageModelOptions, chosen: ChosenLanguageModelOptions) -> list[str]:
    """Sentences on streams, sequence length and shards that a short text reduced."""
    notes, streams = [], chosen.batch_size
    shorter = chosen.sequence_length < (asked.sequence_length or SEQUENCE_LENGTH)
    if shorter or (asked.batch_size and streams < asked.batch_size):
        notes.append(
            f"the text is short, so it is read in {streams} streams of {chosen.sequence_length} tokens a step"
        )
    if asked.shards and chosen.shards < asked.shards:
        notes.append(f"{streams} streams make {chosen.shards} shards at most")
    return notes


def model_config(
    options: ChosenLanguageModelOptions, tokenizer: Tokenizer, bos_id: int | None = None
) -> LanguageModelConfig:
    """The config of the model that the options describe; `bos_id` is the token that documents begin with, if any."""
    return LanguageModelConfig(encoder_config(options, tokenizer.vocab_size, bos_id=bos_id), options.tied)

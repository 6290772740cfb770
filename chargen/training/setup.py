"""What preparing any task has in common: its context and result, precision, and weights from another run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chargen.errors import ChargenError, ReportedError
from chargen.hardware import MIN_SPEEDUP, autocast, bf16_speedup, choose_precision
from chargen.kinds import kind_of
from chargen.models.cells.registry import CELLS
from chargen.models.config import EncoderConfig, ModelConfig
from chargen.models.dropout import Dropout
from chargen.models.ngrams import NgramClassifier
from chargen.models.specs import spec_of
from chargen.runs.folder import Run
from chargen.text.labelled import LabelledSet
from chargen.text.records import DataRecord
from chargen.text.tokenizers.base import Tokenizer
from chargen.training.chosen import ENCODER_OPTIONS, ChosenClassifierOptions, ChosenLanguageModelOptions
from chargen.training.distributed import World
from chargen.training.events import Event
from chargen.training.options import Options
from chargen.training.task import OptimizerSettings, Task
from chargen.workers import Workers


@dataclass(frozen=True)
class Hooks:
    """Callbacks of whoever watches a training."""

    stop: Callable[[], bool] = lambda: False  # called after each step; True saves and ends the training
    encoding: Callable[[float], object] | None = None  # called with the fraction of the text encoded so far


@dataclass(frozen=True)
class Context:
    """What a training is prepared with, in addition to its options."""

    world: World
    workers: Workers
    device: torch.device
    source: Run | None = None  # to start from: gives its encoder and tokenizer
    is_adapted: bool = False  # whether the source is a language model of the classifier's own texts, trained for it
    resumed: Run | None = None  # the run that is resumed, with its own tokenizer and columns
    examples: LabelledSet | None = None  # labelled texts given directly, not in files
    progress: Callable[[float], object] | None = None  # called with the fraction of the text encoded so far

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer of the run to start from or to resume; None without one."""
        run = self.source or self.resumed
        return run.tokenizer() if run else None


@dataclass(frozen=True)
class Prepared:
    """A task ready for the loop, and what to write into its run's folder."""

    task: Task
    options: Options  # with every choice made
    optimizer_settings: OptimizerSettings
    model: ModelConfig
    data: DataRecord
    tokenizer: Tokenizer
    notes: list[str]  # sentences that a person should read
    labels: list[str] | None = None  # of a classifier
    ngrams: NgramClassifier | None = None  # to combine a classifier with
    # Trains another run first, given the folder that this run will have. Yields that training's events, then returns
    # the options to prepare again with and the run to start from, or None if it was interrupted.
    pretrain: Callable[[Path, Hooks], Generator[Event, None, tuple[Options, Run] | None]] | None = None
    # Replaces the loop for a model that is fitted at once; calls the function to create its run when it is fitted.
    fit: Callable[[Callable[[], Run]], Iterator[Event]] | None = None
    record_speed: Callable[[float, float], None] | None = None  # called with the training's seconds and tokens/s


def optimizer_settings(options: ChosenLanguageModelOptions | ChosenClassifierOptions) -> OptimizerSettings:
    """Take the settings of the optimizer out of the options."""
    return OptimizerSettings(
        options.learning_rate,
        options.optimizer,
        options.weight_decay,
        options.clip,
        options.precision,
        options.patience,
    )


def dropout_settings(options: ChosenLanguageModelOptions | ChosenClassifierOptions) -> Dropout:
    """Take the dropout probabilities out of the options; ChargenError for weight drop without a recurrent weight."""
    if options.weight_drop and not spec_of(options.cell).recurrent:
        raise ChargenError(f"the cell {options.cell} has no recurrent weight: leave out --weight-drop")
    return Dropout(
        embedding=options.dropout_embedding,
        input=options.dropout_input,
        between=options.dropout,
        output=options.dropout,
        recurrent=options.weight_drop,
    )


def check_effects(encoder: EncoderConfig) -> None:
    """Refuse settings that change nothing in an encoder of this shape.

    Raises:
        ChargenError: There is no layer for a path around it, none to share weights with, or no matrix for the rank.
    """
    if encoder.num_layers == 1 and encoder.tied_layers:
        raise ChargenError("a single layer has none to share weights with: set --num-layers 2, or --untied-layers")
    if encoder.connections != "none" and encoder.output_size not in encoder.input_sizes:
        raise ChargenError(
            f"--connections {encoder.connections} leads around layers that read as many numbers as they put out, but "
            f"the only layer reads {encoder.embedding_size} and puts out {encoder.output_size}: "
            "set --num-layers 2, or --connections none"
        )
    if encoder.rank and not encoder.rounds:
        raise ChargenError(
            f"with --rounds 0 there is no matrix of --rank {encoder.rank}: set more rounds, or --rank 0"
        )
    if encoder.rank > (full := min(max(encoder.input_sizes), encoder.hidden_size)):
        raise ChargenError(
            f"the matrices have a full rank of {full} at most: set --rank to less, or to 0 for full ones"
        )


def resolve_precision(name: str, cell: str, device: torch.device) -> tuple[str, list[str]]:
    """Decide between `fp32` and `bf16`, trying out whether this device can train the cell in bfloat16.

    Args:
        name: One of options.PRECISIONS.
        cell: One of models.cells.registry.CELLS.
        device: Where to train.

    Returns:
        `fp32` or `bf16`, and sentences that a person should read.

    Raises:
        ChargenError: There is no such cell, or bf16 was asked for and the cell has no such kernel here, as oneDNN's
            LSTM on older processors.
    """
    spec_of(cell)  # raises where there is none
    precision = choose_precision(name, device)
    if precision == "fp32":
        return precision, []
    layer = CELLS[cell](8, 8).to(device)
    try:
        with autocast(device, precision):
            outputs, _ = layer(torch.zeros(2, 2, 8, device=device), layer.initial_state(2))
            outputs.sum().backward()
    except RuntimeError as error:
        if name == "auto":
            return "fp32", []
        raise ChargenError(
            f"the cell {cell} cannot be trained in bfloat16 on this device: leave --precision out, or set it to fp32"
        ) from error
    if (gain := bf16_speedup(device)) < 1 / MIN_SPEEDUP:
        return precision, [f"this device multiplies {1 / gain:.2g} times faster in float32: try --precision fp32"]
    return precision, []


def encoder_options(source: Run, asked: Options) -> dict[str, Any]:
    """Options that a run to start from decides.

    Args:
        source: The run to start from.
        asked: What is requested.

    Returns:
        Values by field name.

    Raises:
        ChargenError: The request contradicts one of them, or only the encoder is bidirectional.
    """
    source.weights()  # compared with the config before a model is made of it
    encoder = source.model_config(ModelConfig).encoder
    decided: dict[str, Any] = {
        **{name: getattr(encoder, name) for name in ENCODER_OPTIONS},
        **({"rounds": 0, "rank": 0} | encoder.cell_settings),  # those of other cells mean nothing
        "tokenizer": source.tokenizer().kind,
        "size": "auto",
        "vocab_size": None,
        "min_frequency": None,
    }
    config, own = source.model_config(ModelConfig), {field.name for field in fields(asked)}
    if "tied" in own and hasattr(config, "tied"):
        decided["tied"] = config.tied
    if "bidirectional" in own:
        decided["bidirectional"] = encoder.bidirectional
    elif encoder.bidirectional:
        raise ChargenError(
            f"{source.name} reads from both ends, which a {kind_of(asked.kind).title} cannot: start from another run"
        )
    for name, value in decided.items():
        wanted = getattr(asked, name)
        if wanted not in (None, value):
            raise ChargenError(
                f"--{name.replace('_', '-')} {wanted} contradicts --from {source.argument}, which brings its own: "
                "leave it out"
            )
    return decided


@torch.no_grad()
def copy_weights(model: nn.Module, source: Run) -> None:
    """Copy a run's encoder into the model, and every other weight that has the same name and shape in both.

    Args:
        model: The model to change.
        source: The run to copy from.

    Raises:
        ChargenError: A weight of the encoder is missing on either side, or has another shape.
    """
    weights = source.weights()
    own = dict(model.named_parameters())
    for name in own.keys() | weights.keys():
        shapes = [tuple(side[name].shape) if name in side else None for side in (own, weights)]
        if shapes[0] == shapes[1]:
            own[name].copy_(torch.from_numpy(weights[name]))
        elif name.startswith("encoder."):
            raise ChargenError(
                f"{name} does not fit: here {shapes[0]}, in {source.name} {shapes[1]}; start from another run"
            )


def check_same_text(same: bool, inputs: Sequence[str], world: World, device: torch.device) -> None:
    """Stop all processes unless every one has the same text as the first.

    Args:
        same: Whether this process has the first one's text.
        inputs: Names of the text, for the message.
        world: The processes that train together.
        device: Where their exchange of messages takes place.

    Raises:
        ChargenError: Some process has another text; a ReportedError in the processes that have the right one.
    """
    if not world.gather(torch.tensor([same], device=device), dim=0).all():
        kind = ReportedError if same else ChargenError
        raise kind(
            f"the text in {', '.join(inputs)} differs from the first process's: give all processes the same text"
        )


def unknown_note(unknown: Mapping[str, int], characters: int, why: str) -> list[str]:
    """Report characters that the vocabulary lacks.

    Args:
        unknown: How often each occurs.
        characters: Length of the text.
        why: Completes the sentence "3 characters …".

    Returns:
        One sentence, or none if every character is known.

    >>> unknown_note({"ß": 10}, 1000, "are new to book")
    ["1 characters ('ß') are new to book and become the unknown token: 10 places, 1.00% of the text"]
    """
    if not unknown:
        return []
    shown = ", ".join(repr(character) for character in list(unknown)[:5]) + (", …" if len(unknown) > 5 else "")
    count = sum(unknown.values())
    return [
        f"{len(unknown):,} characters ({shown}) {why} and become the unknown token: {count:,} places, "
        f"{count / characters:.2%} of the text"
    ]


def why_unknown(options: Options) -> str:
    """Why characters of the training text may be missing from the vocabulary, for `unknown_note`."""
    if options.start_from:
        return f"are new to {options.start_from}"
    return "are rarer than the vocabulary allows"

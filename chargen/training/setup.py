"""What both tasks share before their first step: the prepared task, and what one takes over from another run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chargen.errors import ChargenError, ReportedError
from chargen.hardware import FASTER, autocast, bf16_gain, choose_precision
from chargen.kinds import kind_of
from chargen.models.cells.registry import CELLS
from chargen.models.config import ModelConfig
from chargen.models.dropout import Dropout
from chargen.models.ngrams import NgramClassifier
from chargen.runs.folder import Run
from chargen.text.labelled import LabelledSet
from chargen.text.records import DataRecord
from chargen.text.tokenizers.base import Tokenizer
from chargen.training.distributed import World
from chargen.training.events import Event
from chargen.training.options import ChosenClassifierOptions, ChosenLanguageModelOptions, Options
from chargen.training.task import Optimisation, Task
from chargen.workers import Workers


@dataclass(frozen=True)
class Hooks:
    """How whoever watches a training may take part in it."""

    stop: Callable[[], bool] = lambda: False  # asked after each step; True saves and ends
    encoding: Callable[[float], object] | None = None  # told the share, 0 to 1, of the text that is encoded


@dataclass(frozen=True)
class Setting:
    """What a training is prepared with, beside its options."""

    world: World
    workers: Workers
    device: torch.device
    source: Run | None = None  # to start from, which brings its encoder and tokenizer
    is_learned: bool = False  # whether the source is the language of the very texts, learned first
    resumed: Run | None = None  # goes on, with its own tokenizer and columns
    examples: LabelledSet | None = None  # labelled texts that are in no files
    progress: Callable[[float], object] | None = None  # told the share, 0 to 1, of the text that is encoded

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The one that is given by another run, if there is one."""
        giver = self.source or self.resumed
        return giver.tokenizer() if giver else None


@dataclass(frozen=True)
class Prepared:
    """A task ready for the loop, and what its run's folder says of it."""

    task: Task
    options: Options  # every choice made
    optimisation: Optimisation
    model: ModelConfig
    data: DataRecord
    tokenizer: Tokenizer
    notes: list[str]  # what a person should know, in sentences
    labels: list[str] | None = None  # a classifier's
    ngrams: NgramClassifier | None = None  # what a classifier is combined with
    # Something to learn before: its events, then the options to prepare once more and the run to start from, or None
    # when it was interrupted. Told the folder that the run is to have.
    first: Callable[[Path, Hooks], Generator[Event, None, tuple[Options, Run] | None]] | None = None
    fit: Callable[[Callable[[], Run]], Iterator[Event]] | None = (
        None  # instead of the loop; makes its run when it can
    )
    correct: Callable[[float, float], None] | None = None  # told the seconds and tokens a second of the training


def optimisation_of(options: ChosenLanguageModelOptions | ChosenClassifierOptions) -> Optimisation:
    """How the weights move."""
    return Optimisation(
        options.learning_rate,
        options.optimizer,
        options.weight_decay,
        options.clip,
        options.precision,
        options.patience,
    )


def dropout_of(options: ChosenLanguageModelOptions | ChosenClassifierOptions) -> Dropout:
    """The shares left out while training."""
    return Dropout(
        embedding=options.dropout_embedding,
        input=options.dropout_input,
        between=options.dropout,
        output=options.dropout,
        recurrent=options.weight_drop,
    )


def precision_of(name: str, cell: str, device: torch.device) -> tuple[str, list[str]]:
    """`bf16` or `fp32` for a precision by name, and what a person should know of it.

    ChargenError when the cell has no kernel of that precision here, as oneDNN's LSTM on older processors.
    """
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
    if (gain := bf16_gain(device)) < 1 / FASTER:
        return precision, [f"this device multiplies {1 / gain:.2g} times faster in float32: try --precision fp32"]
    return precision, []


def encoder_of(source: Run, asked: Options) -> dict[str, Any]:
    """The choices that a run to start from has made; ChargenError when other ones are asked for."""
    encoder = source.model_config(ModelConfig).encoder
    made: dict[str, Any] = {
        "cell": encoder.cell,
        "num_layers": encoder.num_layers,
        "hidden_size": encoder.hidden_size,
        "embedding_size": encoder.embedding_size,
        "tokenizer": source.tokenizer().kind,
        "size": "auto",
        "vocab_size": None,
        "min_frequency": None,
    }
    config, own = source.model_config(ModelConfig), {field.name for field in fields(asked)}
    if "tied" in own and hasattr(config, "tied"):
        made["tied"] = config.tied
    if "bidirectional" in own:
        made["bidirectional"] = encoder.bidirectional
    elif encoder.bidirectional:
        raise ChargenError(
            f"{source.name} reads from both ends, which a {kind_of(asked.kind).title} cannot: start from another run"
        )
    for name, value in made.items():
        wanted = getattr(asked, name)
        if wanted not in (None, value):
            raise ChargenError(
                f"--{name.replace('_', '-')} {wanted} contradicts --from {source.name}, which brings its own: "
                "leave it out"
            )
    return made


@torch.no_grad()
def give_weights(model: nn.Module, source: Run) -> None:
    """Copy a run's encoder into the model, and its projection where the model has the same.

    ChargenError when a weight of the encoder is missing on either side, or has another shape.
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


def require_same(same: bool, inputs: Sequence[str], world: World, device: torch.device) -> None:
    """End all processes with a ChargenError unless each has the `same` text as the first one."""
    if not world.gather(torch.tensor([same], device=device), dim=0).all():
        kind = ReportedError if same else ChargenError
        raise kind(f"the text in {', '.join(inputs)} is not the first process's: bring the same one")


def unknown_note(unknown: Mapping[str, int], characters: int, why: str) -> list[str]:
    """A sentence on the characters of a text that have no symbol, if there are any."""
    if not unknown:
        return []
    shown = ", ".join(repr(character) for character in list(unknown)[:5]) + (", …" if len(unknown) > 5 else "")
    count = sum(unknown.values())
    return [
        f"{len(unknown):,} characters ({shown}) {why} and become the unknown symbol: {count:,} places, "
        f"{count / characters:.2%} of the text"
    ]


def why_unknown(options: Options) -> str:
    """Why characters of the training text may have no symbol."""
    if options.start_from:
        return f"are new to {options.start_from}"
    return "are rarer than the vocabulary allows"

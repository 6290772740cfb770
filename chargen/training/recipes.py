"""Defaults for a language model: shape, batch and optimizer, chosen from the text's size, the budget and the speed.

Pure functions, except for the speed, which they ask for. The measurements behind the constants are in
`benchmarks/notes.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from chargen.errors import ChargenError
from chargen.models.config import LanguageModelConfig, weight_shapes
from chargen.models.specs import spec_of
from chargen.training.batches import fit_streams
from chargen.training.chosen import ChosenLanguageModelOptions, choose, encoder_config, with_defaults
from chargen.training.options import LanguageModelOptions, Options

DEFAULT_MINUTES = 3.0  # budget where no limit is set: as long as one waits for a first result
DEFAULT_CELL = "gru"  # an LSTM learned less in more time
DEFAULT_ROUNDS = 5  # of a Mogrifier, as in its paper
MAX_STREAMS = 128  # with sequences of 32, better on large texts than 64 streams of 64, and as good as 256 of 16
MIN_STREAMS = 4  # even the shortest text is read in parallel
SEQUENCE_LENGTH = 32  # tokens per stream and step; see MAX_STREAMS
MIN_SHARD = 16  # streams or texts per shard; matrix products with fewer rows are slow
MAX_DROPOUT = 0.2  # more was worse at every length of text
MAX_WEIGHTS_PER_TOKEN = 20  # weights per token of the text, so that short texts get small models
STEPS_PER_EPOCH = 200  # aim for a short text, which is read in fewer streams, so that the weights still move often
SPEED_RANGE = 0.6, 1.6  # multiply-adds per second of one shape, relative to those of the next smaller shape measured
RATES = {
    "muon": (0.012, 0.1),
    "adamw": (0.006, 0.01),
}  # learning rate, weight decay; Muon's are the best of those tried
FINE_TUNING = 1 / 6  # factor on the learning rate for weights that were trained before: best of four tried


@dataclass(frozen=True)
class Shape:
    """The shape of a stack, and how much reading makes it worth its time."""

    num_layers: int
    hidden_size: int  # units per layer
    embedding_size: int  # numbers per token that enter the first layer
    min_tokens: float  # tokens read in training, in steps of 4,096, from which on it beats the shapes before it


LADDER = (  # shapes that `auto` chooses from; thresholds from runs of 0.3 to 30 minutes, the last one extrapolated
    Shape(1, 128, 64, 0),
    Shape(1, 256, 96, 1e6),
    Shape(2, 192, 96, 2e6),
    Shape(2, 256, 128, 4.5e6),
    Shape(2, 384, 128, 1.2e7),
    Shape(2, 512, 256, 1.4e7),
    Shape(3, 1024, 512, 2e8),
)
SHAPES = {"tiny": LADDER[0], "small": LADDER[3], "medium": LADDER[5], "large": LADDER[6]}

Speed = Callable[[ChosenLanguageModelOptions], float]  # tokens per second of a training with these options


def language_model_recipe(
    options: LanguageModelOptions,
    tokens: int,
    vocab_size: int,
    speed: Speed,
    processes: int = 1,
    cores: int = 1,
) -> ChosenLanguageModelOptions:
    """Choose every option that was left open.

    Args:
        options: What is requested.
        tokens: Length of the training text.
        vocab_size: V.
        speed: Gives tokens per second; slow, so called as seldom as possible, and only for a budget in minutes.
        processes: Processes that share the streams evenly.
        cores: Cores that each process has.

    Raises:
        ChargenError: The streams cannot be shared evenly.

    >>> asked = LanguageModelOptions(inputs=("book.txt",), steps=1000)
    >>> chosen = language_model_recipe(asked, tokens=1_000_000, vocab_size=60, speed=lambda options: 40_000.0)
    >>> chosen.cell, chosen.num_layers, chosen.hidden_size, chosen.batch_size, chosen.sequence_length
    ('gru', 2, 192, 128, 32)
    """
    if not options.has_limit:
        options = replace(options, minutes=DEFAULT_MINUTES)
    optimizer = options.optimizer or "muon"
    learning_rate, weight_decay = RATES[optimizer]
    if options.start_from:
        learning_rate *= FINE_TUNING
    batch_size, sequence_length, shards = _batch_shape(options, tokens, processes, cores)
    options = with_defaults(
        replace(options, batch_size=batch_size, sequence_length=sequence_length, shards=shards),
        epochs=_max_epochs(tokens) if options.epochs is options.steps is None else None,
        **cell_defaults(options),
        tied=False,
        optimizer=optimizer,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        clip=1.0,
        dropout_input=0.0,
        dropout_embedding=0.0,
        weight_drop=0.0,
        activation_reg=0.0,
        temporal_reg=0.0,
    )
    chosen = _with_best_shape(options, tokens, vocab_size, speed)
    if options.dropout is not None:
        return chosen
    epochs = tokens_read(chosen, tokens, speed) / tokens
    return replace(chosen, dropout=_dropout(epochs * _weights_per_token(chosen, vocab_size) / tokens))


def cell_defaults(options: Options) -> dict[str, Any]:
    """Defaults of the cell, of its settings, and of what lies between layers.

    Raises:
        ChargenError: A setting is requested that the cell does not have.

    >>> cell_defaults(LanguageModelOptions(inputs=("book.txt",), cell="mogrifier"))["rounds"]
    5
    """
    cell = options.cell or DEFAULT_CELL
    spec = spec_of(cell)
    for name in ("rounds", "rank"):
        if getattr(options, name) and name not in spec.settings:
            raise ChargenError(f"the cell {cell} has no {name}: leave out --{name}, or choose another --cell")
    if options.tied_layers and not spec.tieable:
        raise ChargenError(
            f"layers of the cell {cell} cannot share weights: leave out --tied-layers, or choose --cell grid-lstm"
        )
    rounds = DEFAULT_ROUNDS if "rounds" in spec.settings else 0
    between = {"layer_norm": False, "connections": "none", "tied_layers": False}
    return {"cell": cell, "rounds": rounds, "rank": 0} | between


def needs_two_layers(options: Options) -> bool:
    """Whether something was asked for that has no meaning with a single layer."""
    return bool(options.tied_layers or options.connections not in (None, "none"))


def tokens_read(options: ChosenLanguageModelOptions, tokens: int, speed: Speed) -> float:
    """Estimate how many tokens a training reads.

    Args:
        options: The training's, with at least one limit.
        tokens: Length of the training text.
        speed: Gives tokens per second; called for a budget in minutes only.
    """
    limits = []
    if options.minutes is not None:
        limits.append(60 * options.minutes * speed(options))
    if options.steps is not None:
        limits.append(float(options.steps * options.batch_size * options.sequence_length))
    if options.epochs is not None:
        limits.append(options.epochs * tokens)
    return min(limits)


def _with_best_shape(
    options: LanguageModelOptions, tokens: int, vocab_size: int, speed: Speed
) -> ChosenLanguageModelOptions:
    """Choose the shape of the size requested, or else the largest in LADDER that the text and the budget suffice for.

    Measures a shape's speed only where the speed of a smaller shape leaves the answer open.
    """
    if options.size not in (None, "auto"):
        return _with_shape(options, SHAPES[options.size])
    least = 2 if needs_two_layers(options) else 1
    smallest, *larger = (shape for shape in LADDER if shape.num_layers >= least)
    fitting = _with_shape(options, smallest)
    if options.num_layers and options.hidden_size and options.embedding_size:
        return fitting
    # A token teaches more in smaller steps; the power is fitted to texts of 50,000 and 250,000 tokens.
    worth = (4096 / (fitting.batch_size * fitting.sequence_length)) ** (2 / 3)
    products: float | None = None  # weights times tokens per second, of the last shape measured
    for shape in larger:
        shaped = _with_shape(options, shape)
        weights = _weights_per_token(shaped, vocab_size)

        def enough(
            tokens_per_second: float, shape: Shape = shape, shaped: ChosenLanguageModelOptions = shaped
        ) -> bool:
            return bool(worth * tokens_read(shaped, tokens, lambda _: tokens_per_second) >= shape.min_tokens)

        if weights > MAX_WEIGHTS_PER_TOKEN * tokens or not enough(math.inf):
            break
        if options.minutes is not None:
            at_least, at_most = (0.0, math.inf) if products is None else (x * products / weights for x in SPEED_RANGE)
            if not enough(at_most):
                break
            if not enough(at_least):
                found = speed(shaped)
                if not enough(found):
                    break
                products = weights * found
        fitting = shaped
    return fitting


def _with_shape(options: LanguageModelOptions, shape: Shape) -> ChosenLanguageModelOptions:
    """Fill in a shape; the embedding is as wide as the outputs if tied, and never wider than the layers otherwise."""
    outputs = spec_of(options.cell or DEFAULT_CELL).outputs
    tied = options.embedding_size // outputs if options.tied and options.embedding_size else None
    hidden = options.hidden_size or tied or shape.hidden_size
    return choose(
        ChosenLanguageModelOptions,
        options,
        size="auto",
        num_layers=shape.num_layers,
        hidden_size=hidden,
        embedding_size=outputs * hidden if options.tied else min(shape.embedding_size, hidden),
        dropout=0.0,
    )


def _weights_per_token(options: ChosenLanguageModelOptions, vocab_size: int) -> int:
    """Weights that each token is multiplied by: all but an untied embedding, whose rows are looked up."""
    shapes = weight_shapes(LanguageModelConfig(encoder_config(options, vocab_size), options.tied))
    looked_up = 0 if options.tied else vocab_size * options.embedding_size
    return sum(map(math.prod, shapes.values())) - looked_up


def _batch_shape(options: LanguageModelOptions, tokens: int, processes: int, cores: int) -> tuple[int, int, int]:
    """Streams, sequence length and shards, shrunk where the text is too short for those requested."""
    wanted_length = options.sequence_length or SEQUENCE_LENGTH
    wanted = options.batch_size or _choose_streams(tokens, wanted_length, processes)
    batch_size, sequence_length = fit_streams(tokens, wanted, wanted_length)
    if batch_size % processes:
        raise ChargenError(
            f"{batch_size} streams cannot be shared evenly by {processes} processes: set --batch-size or a smaller "
            "--sequence-length"
        )
    shards = min(options.shards or shards_for(batch_size, processes, cores), batch_size // processes)
    return batch_size, sequence_length, shards


def _choose_streams(tokens: int, sequence_length: int, processes: int) -> int:
    """Streams for a text: a power of two from MIN_STREAMS to MAX_STREAMS, rounded up for the processes to share."""
    power = 1 << round(math.log2(max(1, tokens / (STEPS_PER_EPOCH * sequence_length))))
    return math.ceil(max(MIN_STREAMS, min(MAX_STREAMS, power)) / processes) * processes


def shards_for(batch_size: int, processes: int, cores: int) -> int:
    """Shards of a process's part of the batch: one per core, but none smaller than MIN_SHARD.

    Args:
        batch_size: Streams or texts, of all processes together.
        processes: Processes that share them.
        cores: Cores that each process has.

    >>> shards_for(128, processes=2, cores=8), shards_for(128, processes=1, cores=2)
    (4, 2)
    """
    return max(1, min(cores, batch_size // processes // MIN_SHARD))


def _max_epochs(tokens: int) -> float:
    """Epochs after which a model overfits a text of this length: best of those tried at 50,000 and 250,000 tokens."""
    return max(4.0, round(7 * math.sqrt(tokens / 50_000)))


def _dropout(readings: float) -> float:
    """Dropout against overfitting, which grows with the weights and with how often each reads a token.

    Args:
        readings: Epochs times weights per token of the text.
    """
    return round(min(MAX_DROPOUT, max(0.0, 0.1 * math.log2(readings / 6))), 2)

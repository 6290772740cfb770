"""What to choose for a language model: shape and optimisation from the text's size, the budget and the speed.

Pure functions, but for the speed that they ask for; where the numbers come from is written in `benchmarks/README.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from chargen.errors import ChargenError
from chargen.models.config import EncoderConfig, LanguageModelConfig, weight_shapes
from chargen.training.batches import fit_streams
from chargen.training.options import (
    ChosenLanguageModelOptions,
    LanguageModelOptions,
    choose,
    with_defaults,
)

DEFAULT_MINUTES = 3.0
DEFAULT_CELL = "gru"
MOST_STREAMS, FEWEST_STREAMS = 128, 4
SEQUENCE_LENGTH = 32  # tokens of a stream a step
SHARD = 16  # streams or texts at least: products with fewer rows are slow
MOST_DROPOUT = 0.2
MOST_WEIGHTS = 20  # for each token of the text
STEPS_AN_EPOCH = 200  # about, on a short text: it is read in fewer streams, so that the weights move as often
SPREAD = 0.6, 1.6  # of the products a second that one shape reaches, what another may reach: small steps are slower
RATES = {"muon": (0.012, 0.1), "adamw": (0.006, 0.01)}  # learning rate and weight decay that suit a language model
FINE_TUNING = 1 / 6  # of that rate, for weights that another text has taught already


@dataclass(frozen=True)
class Shape:
    """A stack's size, and from how many tokens on, read in steps of 4,096, it is the best of these."""

    num_layers: int
    hidden_size: int
    embedding_size: int
    from_tokens: float


LADDER = (  # what `auto` climbs
    Shape(1, 128, 64, 0),
    Shape(1, 256, 96, 1e6),
    Shape(2, 192, 96, 2e6),
    Shape(2, 256, 128, 4.5e6),
    Shape(2, 384, 128, 1.2e7),
    Shape(2, 512, 256, 1.4e7),
    Shape(3, 1024, 512, 2e8),
)
SHAPES = {"tiny": LADDER[0], "small": LADDER[3], "medium": LADDER[5], "large": LADDER[6]}

Speed = Callable[[ChosenLanguageModelOptions], float]  # tokens a second of a training of these options


def language_model_recipe(
    options: LanguageModelOptions,
    tokens: int,
    vocab_size: int,
    speed: Speed,
    processes: int = 1,
    cores: int = 1,
) -> ChosenLanguageModelOptions:
    """The options with every choice made.

    Args:
        options: What is asked for.
        tokens: Of the training text.
        vocab_size: V.
        speed: Asked, as seldom as possible, for what a budget in minutes can read; never without one.
        processes: How many share the streams evenly.
        cores: That each process has.

    Raises:
        ChargenError: The streams cannot be shared evenly.
    """
    if not options.has_limit:
        options = replace(options, minutes=DEFAULT_MINUTES)
    optimizer = options.optimizer or "muon"
    learning_rate, weight_decay = RATES[optimizer]
    if options.start_from:
        learning_rate *= FINE_TUNING
    batch_size, sequence_length, shards = _divided(options, tokens, processes, cores)
    options = with_defaults(
        replace(options, batch_size=batch_size, sequence_length=sequence_length, shards=shards),
        epochs=_most_epochs(tokens) if options.epochs is options.steps is None else None,
        cell=DEFAULT_CELL,
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
    chosen = _shaped(options, tokens, vocab_size, speed)
    if options.dropout is not None:
        return chosen
    epochs = tokens_read(chosen, tokens, speed) / tokens
    return replace(chosen, dropout=_dropout(epochs * _weights(chosen, vocab_size) / tokens))


def tokens_read(options: ChosenLanguageModelOptions, tokens: int, speed: Speed) -> float:
    """About how many tokens a training of these options reads of a text of `tokens`."""
    limits = []
    if options.minutes is not None:
        limits.append(60 * options.minutes * speed(options))
    if options.steps is not None:
        limits.append(float(options.steps * options.batch_size * options.sequence_length))
    if options.epochs is not None:
        limits.append(options.epochs * tokens)
    return min(limits)


def _shaped(options: LanguageModelOptions, tokens: int, vocab_size: int, speed: Speed) -> ChosenLanguageModelOptions:
    """With the shape that was asked for, or the largest that suits the text and reads enough of it to be worth it.

    A speed is asked for only where what is known of smaller shapes leaves room for doubt.
    """
    if options.size not in (None, "auto"):
        return _of_shape(options, SHAPES[options.size])
    fitting = _of_shape(options, LADDER[0])
    if options.num_layers and options.hidden_size and options.embedding_size:
        return fitting
    worth = (4096 / (fitting.batch_size * fitting.sequence_length)) ** (2 / 3)  # of a token: more in smaller steps
    products: float | None = None  # weights times tokens a second, of the last shape whose speed is known
    for shape in LADDER[1:]:
        shaped = _of_shape(options, shape)
        weights = _weights(shaped, vocab_size)

        def enough(tokens_a_second: float, shape: Shape = shape, shaped: ChosenLanguageModelOptions = shaped) -> bool:
            return bool(worth * tokens_read(shaped, tokens, lambda _: tokens_a_second) >= shape.from_tokens)

        if weights > MOST_WEIGHTS * tokens or not enough(math.inf):
            break
        if options.minutes is not None:
            at_least, at_most = (0.0, math.inf) if products is None else (x * products / weights for x in SPREAD)
            if not enough(at_most):
                break
            if not enough(at_least):
                found = speed(shaped)
                if not enough(found):
                    break
                products = weights * found
        fitting = shaped
    return fitting


def _of_shape(options: LanguageModelOptions, shape: Shape) -> ChosenLanguageModelOptions:
    """With a shape where they leave a choice; an embedding is as wide as the layers when tied, never wider else."""
    hidden = options.hidden_size or (options.embedding_size if options.tied else None) or shape.hidden_size
    return choose(
        ChosenLanguageModelOptions,
        options,
        size="auto",
        num_layers=shape.num_layers,
        hidden_size=hidden,
        embedding_size=hidden if options.tied else min(shape.embedding_size, hidden),
        dropout=0.0,
    )


def _weights(options: ChosenLanguageModelOptions, vocab_size: int) -> int:
    """Weights that multiply each token: all but the embedding's rows."""
    encoder = EncoderConfig(vocab_size, options.cell, options.num_layers, options.hidden_size, options.embedding_size)
    shapes = weight_shapes(LanguageModelConfig(encoder, options.tied))
    looked_up = 0 if options.tied else vocab_size * options.embedding_size
    return sum(map(math.prod, shapes.values())) - looked_up


def _divided(options: LanguageModelOptions, tokens: int, processes: int, cores: int) -> tuple[int, int, int]:
    """Streams, their sequence length, and shards that the text is long enough for."""
    wanted_length = options.sequence_length or SEQUENCE_LENGTH
    wanted = options.batch_size or _streams(tokens, wanted_length, processes)
    batch_size, sequence_length = fit_streams(tokens, wanted, wanted_length)
    if batch_size % processes:
        raise ChargenError(
            f"{batch_size} streams cannot be shared evenly by {processes} processes: set --batch-size or a smaller "
            "--sequence-length"
        )
    shards = min(options.shards or shards_for(batch_size, processes, cores), batch_size // processes)
    return batch_size, sequence_length, shards


def _streams(tokens: int, sequence_length: int, processes: int) -> int:
    """Parallel streams: as many as are fast, fewer for a short text; a power of two, or more to share."""
    fitting = 1 << round(math.log2(max(1, tokens / (STEPS_AN_EPOCH * sequence_length))))
    return math.ceil(max(FEWEST_STREAMS, min(MOST_STREAMS, fitting)) / processes) * processes


def shards_for(batch_size: int, processes: int, cores: int) -> int:
    """A shard of a batch for each core of a process."""
    return max(1, min(cores, batch_size // processes // SHARD))


def _most_epochs(tokens: int) -> float:
    """Passes over a text after which a model learns it by heart and nothing else."""
    return max(4.0, round(7 * math.sqrt(tokens / 50_000)))


def _dropout(readings: float) -> float:
    """The share to leave out: the more weights read a token the more often, the more is learned by heart.

    readings: epochs times the weights for each token of the text.
    """
    return round(min(MOST_DROPOUT, max(0.0, 0.1 * math.log2(readings / 6))), 2)

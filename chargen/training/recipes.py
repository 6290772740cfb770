"""What to choose when a person does not: shapes and optimisation from the text's size, the budget and the speed.

Pure functions, but for the speed that they ask for; where the numbers come from is written in `benchmarks/README.md`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chargen.errors import ChargenError
from chargen.models.config import EncoderConfig, LanguageModelConfig, weight_shapes
from chargen.training.batches import fit_streams
from chargen.training.options import (
    ChosenClassifierOptions,
    ChosenLanguageModelOptions,
    ChosenProbeOptions,
    ClassifierOptions,
    LanguageModelOptions,
    choose,
    with_defaults,
)

DEFAULT_MINUTES = 3.0
DEFAULT_CELL = "gru"
MOST_STREAMS, FEWEST_STREAMS = 128, 4
SEQUENCE_LENGTH = 32  # tokens of a stream a step
CLASSIFIER_BATCH = 64  # texts
CLASSIFIER_EPOCHS = 10.0  # after which a network learns short sets by heart
FEWEST_STEPS = 200  # for a small set: fewer teach a network little
MOST_PASSES = 60.0  # over a tiny one for that, which would be learned by heart
FAMILIAR = 0.25  # share of rare words, up to which words are worth learning
SHORTEST_CROP = 16  # tokens of a text
TRAINING_SHARE = 0.8  # of a classifier's minutes; the rest measures
PIECES = ("bpe", "unigram")  # tokenizers of pieces of words
MOST_PIECES = 8000
SHARD = 16  # streams or texts at least: products with fewer rows are slow
MOST_DROPOUT = 0.2
MOST_WEIGHTS = 20  # for each token of the text
STEPS_AN_EPOCH = 200  # about, on a short text: it is read in fewer streams, so that the weights move as often
SPREAD = 0.6, 1.6  # of the products a second that one shape reaches, what another may reach: small steps are slower
RATES = {"muon": (0.012, 0.1), "adamw": (0.006, 0.01)}  # learning rate and weight decay that suit a language model
FINE_TUNING = 1 / 6  # of that rate, for weights that another text has taught already
LANGUAGE_SHARE = 0.4  # of a classifier's minutes, for learning the language of its texts first
ENOUGH_LANGUAGE = 300_000  # tokens
LANGUAGE_PIECES = 4000  # fewer than MOST_PIECES, since a language model's cost grows with them
FROM_NOTHING = 0.3, 0.2, 0.5  # dropout of outputs, of inputs, of whole pieces
FROM_LANGUAGE = 0.1, 0.0, 0.0
PROBE_POOLING = "mean"  # of a language model's outputs: better than max, and a third of the units of concat
CLASSIFIER_TUNING = 1 / 3  # of the rate, for an encoder that has learned something already
BROUGHT = ("tokenizer", "vocab_size", "min_frequency", "size", "cell", "num_layers", "hidden_size", "embedding_size")
CLASSIFIER_RATES = {"muon": (0.006, 0.1), "adamw": (0.003, 0.01)}


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


def classifier_tokenizer(rare: float) -> tuple[str, str]:
    """The tokenizer that suits labelled texts, and why, in a sentence.

    rare: the share of the words in texts held out that are none of the MOST_PIECES commonest to learn from, 0 to 1.
    """
    share = f"{rare:.0%} of the words in texts held out are new or rare"
    if rare < FAMILIAR:
        return "unigram", f"reading in pieces of words, since only {share}"
    return "char", f"reading by characters, since {share}"


def probe_recipe(options: ClassifierOptions) -> ChosenProbeOptions:
    """A probe's options with every choice made that its encoder, which brings tokenizer and shape, leaves."""
    return choose(ChosenProbeOptions, options, bidirectional=False, pooling=PROBE_POOLING, ngrams=True, metric="loss")


def classifier_recipe(
    options: ClassifierOptions, texts: int, cores: int = 1, processes: int = 1
) -> ChosenClassifierOptions:
    """The options with every choice made but the crop's, for so many texts to learn from; the tokenizer is chosen."""
    if not options.has_limit:
        options = replace(options, minutes=DEFAULT_MINUTES)
    batch_size = options.batch_size or CLASSIFIER_BATCH
    shape = SHAPES["small" if options.size in (None, "auto") else options.size]
    optimizer = options.optimizer or "muon"
    learning_rate, weight_decay = CLASSIFIER_RATES[optimizer]
    dropout, dropout_input, dropout_embedding = FROM_NOTHING
    if options.start_from:
        learning_rate *= CLASSIFIER_TUNING
        dropout, dropout_input, dropout_embedding = FROM_LANGUAGE
    passes = max(CLASSIFIER_EPOCHS, _passes(texts, batch_size))
    return choose(
        ChosenClassifierOptions,
        options,
        epochs=passes if options.epochs is options.steps is None else None,
        size="auto",
        cell=DEFAULT_CELL,
        num_layers=1,
        hidden_size=shape.hidden_size,
        embedding_size=shape.embedding_size,
        pooling="max",
        bidirectional=True,
        batch_size=batch_size,
        shards=_shards(batch_size, processes, cores),
        optimizer=optimizer,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        clip=1.0,
        dropout=dropout,
        dropout_input=dropout_input,
        dropout_embedding=dropout_embedding if options.tokenizer in PIECES else 0.0,
        weight_drop=0.0,
        ngrams=True,
        metric="loss",
    )


def crop_for(lengths: np.ndarray, batch: int, tokens: float) -> int:
    """The most tokens of each text for which there is time to read all texts once and to make FEWEST_STEPS.

    lengths: tokens of each text (texts,); batch: texts a step; tokens: that the whole budget reads. At least
    SHORTEST_CROP. A network that saw a stretch of every text, and moved often enough, is better than one that saw a
    few texts whole (see `benchmarks/README.md`).
    """
    longest, passes = int(lengths.max()), max(1.0, _passes(len(lengths), batch))

    def read(crop: int) -> float:
        return passes * float(np.minimum(lengths, crop).sum())

    return max(SHORTEST_CROP, bisect_right(range(1, longest + 1), TRAINING_SHARE * tokens, key=read))


def _passes(texts: int, batch: int) -> float:
    """Epochs that make FEWEST_STEPS, or MOST_PASSES."""
    return min(MOST_PASSES, FEWEST_STEPS / math.ceil(texts / batch))


def should_learn_language(accuracy: float, commonest: float, tokens: int) -> bool:
    """Whether a classifier had better learn the language of its texts before their labels.

    accuracy: of n-grams on the texts held out; commonest: the share of the commonest label in them; tokens: of all
    texts to learn from. It had where n-grams go less than half of the way from guessing to knowing, so that the order
    of words or characters must tell, and there is text enough to learn from.
    """
    return tokens >= ENOUGH_LANGUAGE and accuracy - commonest < (1 - commonest) / 2


def language_options(options: ChosenClassifierOptions, texts: str) -> LanguageModelOptions:
    """A language model on a file of texts, as JSON lines, for the classifier of these options."""
    pieces = LANGUAGE_PIECES if options.tokenizer in PIECES else None
    return LanguageModelOptions(
        inputs=(texts,),
        documents="jsonl",
        tokenizer=options.tokenizer,
        vocab_size=options.vocab_size or pieces,
        min_frequency=options.min_frequency,
        minutes=None if options.minutes is None else LANGUAGE_SHARE * options.minutes,
        epochs=options.epochs if options.minutes is options.steps is None else None,
        steps=options.steps,
        cell=options.cell,
        num_layers=options.num_layers,
        hidden_size=options.hidden_size,
        embedding_size=options.embedding_size,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
    )


def after_language(options: ClassifierOptions, run: str) -> ClassifierOptions:
    """The options that were asked for, for a classifier that begins with a language model's run of its own texts."""
    if not options.has_limit:
        options = replace(options, minutes=DEFAULT_MINUTES)
    minutes = None if options.minutes is None else (1 - LANGUAGE_SHARE) * options.minutes
    brought: dict[str, Any] = dict.fromkeys(BROUGHT)
    return replace(options, **brought, minutes=minutes, start_from=run, adapt=True)


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
    shards = min(options.shards or _shards(batch_size, processes, cores), batch_size // processes)
    return batch_size, sequence_length, shards


def _streams(tokens: int, sequence_length: int, processes: int) -> int:
    """Parallel streams: as many as are fast, fewer for a short text; a power of two, or more to share."""
    fitting = 1 << round(math.log2(max(1, tokens / (STEPS_AN_EPOCH * sequence_length))))
    return math.ceil(max(FEWEST_STREAMS, min(MOST_STREAMS, fitting)) / processes) * processes


def _shards(batch_size: int, processes: int, cores: int) -> int:
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

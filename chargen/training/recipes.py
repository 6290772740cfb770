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
from chargen.training.options import ClassifierOptions, LanguageModelOptions, filled

DEFAULT_MINUTES = 3.0
DEFAULT_CELL = "gru"
MOST_STREAMS, FEWEST_STREAMS = 128, 4
WINDOW = 32  # tokens of a stream a step
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
CLASSIFIER_RATES = {"muon": (0.006, 0.1), "adamw": (0.003, 0.01)}


@dataclass(frozen=True)
class Shape:
    """A stack's size, and from how many tokens on, read in steps of 4,096, it is the best of these."""

    layers: int
    hidden: int
    embedding: int
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

Speed = Callable[[LanguageModelOptions], float]  # options whose shape is chosen -> tokens a second


def language_model_recipe(
    options: LanguageModelOptions,
    tokens: int,
    vocab_size: int,
    speed: Speed,
    processes: int = 1,
    cores: int = 1,
) -> LanguageModelOptions:
    """The options with every choice made, for a training text of so many tokens.

    speed: asked, as seldom as possible, for what a budget in minutes can read; never without one.
    processes: how many share the streams evenly, else ChargenError; cores: that each of them has.
    """
    if options.minutes is options.epochs is options.steps is None:
        options = filled(options, minutes=DEFAULT_MINUTES)
    options = filled(options, cell=DEFAULT_CELL, tied=False, optimizer="muon", window=WINDOW)
    options = _divided(options, tokens, processes, cores)
    if options.epochs is options.steps is None:
        options = filled(options, epochs=_most_epochs(tokens))
    options = _shaped(options, tokens, vocab_size, speed)
    if options.dropout is None:
        epochs = tokens_read(options, tokens, speed) / tokens
        options = replace(options, dropout=_dropout(epochs * _weights(options, vocab_size) / tokens))
    learning_rate, weight_decay = RATES[str(options.optimizer)]
    if options.start_from:
        learning_rate *= FINE_TUNING
    return filled(
        options,
        size="auto",
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        clip=1.0,
        dropout_input=0.0,
        dropout_embedding=0.0,
        weight_drop=0.0,
        activation_reg=0.0,
        temporal_reg=0.0,
    )


def classifier_tokenizer(rare: float) -> tuple[str, str]:
    """The tokenizer that suits labelled texts, and why, in a sentence.

    rare: the share of the words in texts held out that are none of the MOST_PIECES commonest to learn from, 0 to 1.
    """
    share = f"{rare:.0%} of the words in texts held out are new or rare"
    if rare < FAMILIAR:
        return "unigram", f"reading in pieces of words, since only {share}"
    return "char", f"reading by characters, since {share}"


def classifier_recipe(
    options: ClassifierOptions, texts: int, cores: int = 1, processes: int = 1
) -> ClassifierOptions:
    """The options with every choice made but the tokenizer's and the crop, for so many texts to learn from.

    A probe's encoder brings its shape, and nothing is chosen of a training that does not take place.
    """
    if options.probe:
        return filled(options, pooling=PROBE_POOLING, ngrams=True, metric="loss")
    if options.minutes is options.epochs is options.steps is None:
        options = filled(options, minutes=DEFAULT_MINUTES)
    batch = options.batch or CLASSIFIER_BATCH
    if options.epochs is options.steps is None:
        options = filled(options, epochs=max(CLASSIFIER_EPOCHS, _passes(texts, batch)))
    shape = SHAPES["small" if options.size in (None, "auto") else options.size]
    optimizer = options.optimizer or "muon"
    learning_rate, weight_decay = CLASSIFIER_RATES[optimizer]
    dropout, dropout_input, dropout_embedding = FROM_NOTHING
    if options.start_from:
        learning_rate *= CLASSIFIER_TUNING
        dropout, dropout_input, dropout_embedding = FROM_LANGUAGE
    return filled(
        options,
        size="auto",
        cell=DEFAULT_CELL,
        layers=1,
        hidden=shape.hidden,
        embedding=shape.embedding,
        pooling="max",
        bidirectional=True,
        batch=batch,
        shards=_shards(batch, processes, cores),
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


def language_options(options: ClassifierOptions, texts: str) -> LanguageModelOptions:
    """A language model on a file of texts, as JSON lines, for the classifier of these options, all of them chosen."""
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
        layers=options.layers,
        hidden=options.hidden,
        embedding=options.embedding,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
    )


def after_language(options: ClassifierOptions, run: str) -> ClassifierOptions:
    """The options that were asked for, for a classifier that begins with a language model's run of its own texts."""
    if options.minutes is options.epochs is options.steps is None:
        options = replace(options, minutes=DEFAULT_MINUTES)
    minutes = None if options.minutes is None else (1 - LANGUAGE_SHARE) * options.minutes
    brought = ("tokenizer", "vocab_size", "min_frequency", "size", "cell", "layers", "hidden", "embedding")
    others: dict[str, Any] = dict.fromkeys(brought)  # which the run brings
    return replace(options, **others, minutes=minutes, start_from=run, adapt=False)


def asked_again(record: dict[str, Any]) -> dict[str, Any]:
    """A run's options, as JSON has them, for another like it: a language that was learned first is learned anew.

    See `after_language`; that language model may be gone.
    """
    if not (record.get("adapt") and record.get("start_from")):
        return record
    minutes = record.get("minutes")
    return record | {"start_from": None, "minutes": minutes and minutes / (1 - LANGUAGE_SHARE)}


def tokens_read(options: LanguageModelOptions, tokens: int, speed: Speed) -> float:
    """About how many tokens a training of these options, shape and streams chosen, reads of a text of `tokens`."""
    assert options.batch and options.window
    limits = []
    if options.minutes is not None:
        limits.append(60 * options.minutes * speed(options))
    if options.steps is not None:
        limits.append(float(options.steps * options.batch * options.window))
    if options.epochs is not None:
        limits.append(options.epochs * tokens)
    return min(limits)


def _shaped(options: LanguageModelOptions, tokens: int, vocab_size: int, speed: Speed) -> LanguageModelOptions:
    """With the shape that was asked for, or the largest that suits the text and reads enough of it to be worth it.

    A speed is asked for only where what is known of smaller shapes leaves room for doubt.
    """
    assert options.batch and options.window
    if options.layers and options.hidden and options.embedding:
        return options
    if options.size not in (None, "auto"):
        return _of_shape(options, SHAPES[options.size])
    worth = (4096 / (options.batch * options.window)) ** (2 / 3)  # of a token: more is learned in smaller steps
    fitting = _of_shape(options, LADDER[0])
    products: float | None = None  # weights times tokens a second, of the last shape whose speed is known
    for shape in LADDER[1:]:
        shaped = _of_shape(options, shape)
        weights = _weights(shaped, vocab_size)

        def enough(tokens_a_second: float, shape: Shape = shape) -> bool:
            return bool(worth * tokens_read(options, tokens, lambda _: tokens_a_second) >= shape.from_tokens)

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


def _of_shape(options: LanguageModelOptions, shape: Shape) -> LanguageModelOptions:
    """With a shape where they leave a choice; an embedding is as wide as the layers when tied, never wider else."""
    hidden = options.embedding if options.tied and options.embedding else shape.hidden
    options = filled(options, layers=shape.layers, hidden=hidden)
    assert options.hidden
    return filled(options, embedding=options.hidden if options.tied else min(shape.embedding, options.hidden))


def _weights(options: LanguageModelOptions, vocab_size: int) -> int:
    """Weights that multiply each token, the shape chosen: all but the embedding's rows."""
    assert options.cell and options.layers and options.hidden and options.embedding
    encoder = EncoderConfig(vocab_size, options.cell, options.layers, options.hidden, options.embedding)
    shapes = weight_shapes(LanguageModelConfig(encoder, bool(options.tied)))
    looked_up = 0 if options.tied else vocab_size * options.embedding
    return sum(map(math.prod, shapes.values())) - looked_up


def _divided(options: LanguageModelOptions, tokens: int, processes: int, cores: int) -> LanguageModelOptions:
    """With streams, window and shards that the text is long enough for."""
    assert options.window
    wanted = options.batch or _streams(tokens, options.window, processes)
    batch, window = fit_streams(tokens, wanted, options.window)
    if batch % processes:
        raise ChargenError(
            f"{batch} streams cannot be shared evenly by {processes} processes: set --batch or a smaller --window"
        )
    shards = min(options.shards or _shards(batch, processes, cores), batch // processes)
    return replace(options, batch=batch, window=window, shards=shards)


def _streams(tokens: int, window: int, processes: int) -> int:
    """Parallel streams: as many as are fast, fewer for a short text; a power of two, or more to share."""
    fitting = 1 << round(math.log2(max(1, tokens / (STEPS_AN_EPOCH * window))))
    return math.ceil(max(FEWEST_STREAMS, min(MOST_STREAMS, fitting)) / processes) * processes


def _shards(batch: int, processes: int, cores: int) -> int:
    """A shard of a batch for each core of a process."""
    return max(1, min(cores, batch // processes // SHARD))


def _most_epochs(tokens: int) -> float:
    """Passes over a text after which a model learns it by heart and nothing else."""
    return max(4.0, round(7 * math.sqrt(tokens / 50_000)))


def _dropout(readings: float) -> float:
    """The share to leave out: the more weights read a token the more often, the more is learned by heart.

    readings: epochs times the weights for each token of the text.
    """
    return round(min(MOST_DROPOUT, max(0.0, 0.1 * math.log2(readings / 6))), 2)

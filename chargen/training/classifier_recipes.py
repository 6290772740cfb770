"""What to choose for a classifier: tokenizer, pooling, crop and optimisation, and whether to learn a language first.

Pure functions; where the numbers come from is written in `benchmarks/`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace
from typing import Any

import numpy as np

from chargen.training.options import (
    ChosenClassifierOptions,
    ChosenProbeOptions,
    ClassifierOptions,
    LanguageModelOptions,
    choose,
)
from chargen.training.recipes import DEFAULT_CELL, DEFAULT_MINUTES, SHAPES, shards_for

CLASSIFIER_BATCH = 64  # texts
CLASSIFIER_EPOCHS = 10.0  # after which a network learns short sets by heart
FEWEST_STEPS = 200  # for a small set: fewer teach a network little
MOST_PASSES = 60.0  # over a tiny one for that, which would be learned by heart
FAMILIAR = 0.25  # share of rare words, up to which words are worth learning
SHORTEST_CROP = 16  # tokens of a text
TRAINING_SHARE = 0.8  # of a classifier's minutes; the rest measures
PIECES = ("bpe", "unigram")  # tokenizers of pieces of words
MOST_PIECES = 8000
LANGUAGE_SHARE = 0.4  # of a classifier's minutes, for learning the language of its texts first
ENOUGH_LANGUAGE = 300_000  # tokens
LANGUAGE_PIECES = 4000  # fewer than MOST_PIECES, since a language model's cost grows with them
FROM_NOTHING = 0.3, 0.2, 0.5  # dropout of outputs, of inputs, of whole pieces
FROM_LANGUAGE = 0.1, 0.0, 0.0
PROBE_POOLING = "mean"  # of a language model's outputs: better than max, and a third of the units of concat
CLASSIFIER_TUNING = 1 / 3  # of the rate, for an encoder that has learned something already
BROUGHT = ("tokenizer", "vocab_size", "min_frequency", "size", "cell", "num_layers", "hidden_size", "embedding_size")
CLASSIFIER_RATES = {"muon": (0.006, 0.1), "adamw": (0.003, 0.01)}


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
        shards=shards_for(batch_size, processes, cores),
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

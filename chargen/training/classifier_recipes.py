"""Defaults for a classifier: tokenizer, pooling, crop and optimizer, and whether to learn the language first.

Pure functions. The measurements behind the constants are in `benchmarks/notes.md`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace
from typing import Any

import numpy as np

from chargen.training.chosen import ENCODER_OPTIONS, ChosenClassifierOptions, ChosenProbeOptions, choose
from chargen.training.options import ClassifierOptions, LanguageModelOptions
from chargen.training.recipes import DEFAULT_MINUTES, SHAPES, cell_defaults, needs_two_layers, shards_for

CLASSIFIER_BATCH = 64  # texts per step
CLASSIFIER_EPOCHS = 10.0  # after which a network overfits a small set
MIN_STEPS = 200  # for a small set, read more often for it: fewer steps teach a network little
MAX_EPOCHS = 60.0  # for that, since a tiny set read 200 times is learned by heart
MAX_RARE_WORDS = 0.25  # fraction of rare words in held-out texts, up to which pieces of words are worth learning
MIN_CROP = 16  # tokens of a text
TRAINING_FRACTION = 0.8  # of a classifier's minutes; the rest is for evaluations
PIECES = ("bpe", "unigram")  # the tokenizers of pieces of words
MAX_PIECES = 8000  # vocabulary of pieces: enough for most words of one language; better than 4,000 on SST-2
LANGUAGE_FRACTION = 0.4  # of a classifier's minutes, to learn the language of its texts first
MIN_LANGUAGE_TOKENS = 300_000  # in the training texts, from which on that is tried
LANGUAGE_PIECES = 4000  # fewer than MAX_PIECES, since a language model's projection costs more with each piece
DROPOUT_FROM_SCRATCH = 0.3, 0.2, 0.5  # of outputs, of inputs, of whole pieces: best of those tried on SST-2
DROPOUT_FROM_LANGUAGE = 0.1, 0.0, 0.0  # the same, for an encoder that has learned a language and overfits less
PROBE_POOLING = "mean"  # better than max for language models, and as good as concat with a third of its units
CLASSIFIER_FINE_TUNING = (
    1 / 3
)  # factor on the learning rate for an encoder that was trained before and is not to forget
SOURCE_OPTIONS = (  # options that a run to start from decides
    *("tokenizer", "vocab_size", "min_frequency", "size"),
    *ENCODER_OPTIONS,
)
# Learning rate, half of a language model's, and weight decay.
CLASSIFIER_RATES = {"muon": (0.006, 0.1), "adamw": (0.003, 0.01)}


def classifier_tokenizer(rare: float) -> tuple[str, str]:
    """Choose a tokenizer for labelled texts.

    Args:
        rare: Fraction of the words in held-out texts that are not among the MAX_PIECES most common training words.

    Returns:
        The tokenizer, and a sentence that says why.

    >>> classifier_tokenizer(0.1)[0], classifier_tokenizer(0.4)[0]
    ('unigram', 'char')
    """
    why = f"{rare:.0%} of the words in texts held out are new or rare"
    if rare < MAX_RARE_WORDS:
        return "unigram", f"reading in pieces of words, since only {why}"
    return "char", f"reading by characters, since {why}"


def probe_recipe(options: ClassifierOptions) -> ChosenProbeOptions:
    """Choose every option of a probe that was left open; its encoder has decided tokenizer and shape."""
    return choose(ChosenProbeOptions, options, bidirectional=False, pooling=PROBE_POOLING, ngrams=True, metric="loss")


def classifier_recipe(
    options: ClassifierOptions, texts: int, cores: int = 1, processes: int = 1
) -> ChosenClassifierOptions:
    """Choose every option of a classifier that was left open, except the crop, which `crop_for` chooses.

    Args:
        options: What is requested, with a tokenizer.
        texts: Number of training texts.
        cores: Cores that each process has.
        processes: Processes that share a batch.
    """
    if not options.has_limit:
        options = replace(options, minutes=DEFAULT_MINUTES)
    batch_size = options.batch_size or CLASSIFIER_BATCH
    shape = SHAPES["small" if options.size in (None, "auto") else options.size]
    optimizer = options.optimizer or "muon"
    learning_rate, weight_decay = CLASSIFIER_RATES[optimizer]
    dropout, dropout_input, dropout_embedding = DROPOUT_FROM_SCRATCH
    if options.start_from:
        learning_rate *= CLASSIFIER_FINE_TUNING
        dropout, dropout_input, dropout_embedding = DROPOUT_FROM_LANGUAGE
    epochs = max(CLASSIFIER_EPOCHS, _epochs(texts, batch_size))
    return choose(
        ChosenClassifierOptions,
        options,
        epochs=epochs if options.epochs is options.steps is None else None,
        size="auto",
        **cell_defaults(options),
        num_layers=2 if needs_two_layers(options) else 1,
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
    """The longest crop that leaves time to read every text once and to make MIN_STEPS, but at least MIN_CROP.

    A network that saw a stretch of every text, in many steps, is better than one that saw a few whole texts.

    Args:
        lengths: Tokens of each text (texts,).
        batch: Texts per step.
        tokens: Tokens that the whole budget reads.

    >>> crop_for(np.array([100, 300]), batch=2, tokens=1e6), crop_for(np.array([100, 300]), batch=2, tokens=15_000)
    (300, 100)
    """
    longest, epochs = int(lengths.max()), max(1.0, _epochs(len(lengths), batch))

    def read(crop: int) -> float:
        return epochs * float(np.minimum(lengths, crop).sum())

    return max(MIN_CROP, bisect_right(range(1, longest + 1), TRAINING_FRACTION * tokens, key=read))


def _epochs(texts: int, batch: int) -> float:
    """Epochs that make MIN_STEPS, but at most MAX_EPOCHS."""
    return min(MAX_EPOCHS, MIN_STEPS / math.ceil(texts / batch))


def should_learn_language(accuracy: float, commonest: float, tokens: int) -> bool:
    """Whether a classifier should learn the language of its texts before their labels.

    It should if the text is long enough and n-grams close less than half of the gap between guessing and perfect
    accuracy, since then the order of words or characters must matter.

    Args:
        accuracy: Accuracy of n-grams on the held-out texts, 0 to 1.
        commonest: Fraction of texts with the most common label, the accuracy of guessing.
        tokens: Tokens in all training texts.

    >>> should_learn_language(0.6, 0.5, 10**6), should_learn_language(0.8, 0.5, 10**6)
    (True, False)
    """
    return tokens >= MIN_LANGUAGE_TOKENS and accuracy - commonest < (1 - commonest) / 2


def language_options(options: ChosenClassifierOptions, texts: str) -> LanguageModelOptions:
    """Options of a language model that learns the language of a classifier's texts.

    Args:
        options: The classifier's.
        texts: Path of a JSON lines file that holds the training texts.
    """
    pieces = LANGUAGE_PIECES if options.tokenizer in PIECES else None
    return LanguageModelOptions(
        inputs=(texts,),
        documents="jsonl",
        tokenizer=options.tokenizer,
        vocab_size=options.vocab_size or pieces,
        min_frequency=options.min_frequency,
        minutes=None if options.minutes is None else LANGUAGE_FRACTION * options.minutes,
        epochs=options.epochs if options.minutes is options.steps is None else None,
        steps=options.steps,
        **{name: getattr(options, name) for name in ENCODER_OPTIONS},
        seed=options.seed,
        device=options.device,
        precision=options.precision,
    )


def options_after_language(options: ClassifierOptions, run: str) -> ClassifierOptions:
    """Options of a classifier that starts from a language model of its own texts.

    Args:
        options: What was requested for the classifier.
        run: Path of the language model's run, which decides SOURCE_OPTIONS.
    """
    if not options.has_limit:
        options = replace(options, minutes=DEFAULT_MINUTES)
    minutes = None if options.minutes is None else (1 - LANGUAGE_FRACTION) * options.minutes
    decided: dict[str, Any] = dict.fromkeys(SOURCE_OPTIONS)
    return replace(options, **decided, minutes=minutes, start_from=run, adapt=True)

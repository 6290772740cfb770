"""What to choose when a person does not: shapes and optimisation from the text's size, the budget and the device.

Pure functions; where the numbers come from is written in `benchmarks/README.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

from chargen.training.options import ClassifierOptions, LanguageModelOptions, filled

DEFAULT_MINUTES = 3.0


@dataclass(frozen=True)
class Shape:
    """A stack's size."""

    layers: int
    hidden: int
    embedding: int


SHAPES = {
    "tiny": Shape(1, 128, 64),
    "small": Shape(2, 256, 128),
    "medium": Shape(2, 512, 256),
    "large": Shape(3, 1024, 512),
}


def language_model_recipe(options: LanguageModelOptions, tokens: int, *, on_gpu: bool) -> LanguageModelOptions:
    """The options with every choice made, for a training text of so many tokens."""
    if options.minutes is options.epochs is options.steps is None:
        options = filled(options, minutes=DEFAULT_MINUTES)
    shape = SHAPES["small" if options.size in (None, "auto") else options.size]
    return filled(
        options,
        size="auto",
        cell="gru",
        layers=shape.layers,
        hidden=shape.hidden,
        embedding=shape.embedding,
        tied=False,
        batch=64,
        window=64,
        optimizer="muon",
        learning_rate=0.012,
        weight_decay=0.1,
        clip=1.0,
        dropout=0.0,
        dropout_input=0.0,
        dropout_embedding=0.0,
        weight_drop=0.0,
        activation_reg=0.0,
        temporal_reg=0.0,
    )


def classifier_recipe(options: ClassifierOptions, texts: int, tokens: int) -> ClassifierOptions:
    """The options with every choice made, for so many texts to train on, of so many tokens together."""
    if options.minutes is options.epochs is options.steps is None:
        options = filled(options, minutes=DEFAULT_MINUTES, epochs=12.0)
    shape = SHAPES["small" if options.size in (None, "auto") else options.size]
    return filled(
        options,
        size="auto",
        cell="gru",
        layers=1,
        hidden=shape.hidden,
        embedding=shape.embedding,
        pooling="final",
        bidirectional=options.start_from is None,
        batch=64,
        optimizer="adamw",
        learning_rate=3e-3,
        weight_decay=0.01,
        clip=1.0,
        dropout=0.3,
        dropout_input=0.2,
        dropout_embedding=0.0,
        weight_drop=0.0,
        patience=8,
    )

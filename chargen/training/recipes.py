"""What to choose when a person does not: shapes and optimisation from the text's size, the budget and the device.

Pure functions; where the numbers come from is written in `benchmarks/README.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

from chargen.training.options import ClassifierOptions, LanguageModelOptions, filled

DEFAULT_MINUTES = 3.0
FLOPS_PER_WEIGHT = 6  # multiplications and additions a token, forwards and back
EFFICIENCY = 0.25  # of training, beside large products: recurrent steps are small ones
LATENCY = 4e-5  # seconds that a step of a layer takes at least, forwards and back: a guess for GPUs, not measured


@dataclass(frozen=True)
class Shape:
    """A stack's size, and the tokens read in training from which on it is the best of these."""

    layers: int
    hidden: int
    embedding: int
    from_tokens: float

    @property
    def weights(self) -> int:
        """About how many a GRU of this shape has."""
        first = 3 * self.hidden * (self.embedding + self.hidden)
        return first + (self.layers - 1) * 6 * self.hidden * self.hidden


LADDER = (  # what `auto` climbs
    Shape(1, 128, 64, 0),
    Shape(2, 256, 128, 5e5),
    Shape(2, 384, 128, 5e6),
    Shape(2, 512, 256, 1e7),
    Shape(3, 1024, 512, 2e8),
)
SHAPES = {"tiny": LADDER[0], "small": LADDER[1], "medium": LADDER[3], "large": LADDER[4]}


def language_model_recipe(options: LanguageModelOptions, tokens: int, flops: float) -> LanguageModelOptions:
    """The options with every choice made, for a training text of so many tokens.

    flops: what the device does a second in large products; it decides what a budget in minutes can read.
    """
    if options.minutes is options.epochs is options.steps is None:
        options = filled(options, minutes=DEFAULT_MINUTES)
    options = filled(options, batch=128, window=32)
    shape = _shape(options, tokens, flops)
    epochs = tokens_read(options, shape, tokens, flops) / tokens
    return filled(
        options,
        size="auto",
        cell="gru",
        layers=shape.layers,
        hidden=shape.hidden,
        embedding=shape.embedding,
        tied=False,
        optimizer="muon",
        learning_rate=0.012,
        weight_decay=0.1,
        clip=1.0,
        dropout=_dropout(epochs * shape.weights / tokens),
        dropout_input=0.0,
        dropout_embedding=0.0,
        weight_drop=0.0,
        activation_reg=0.0,
        temporal_reg=0.0,
    )


def classifier_recipe(options: ClassifierOptions) -> ClassifierOptions:
    """The options with every choice made."""
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
        bidirectional=True,
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


def tokens_read(options: LanguageModelOptions, shape: Shape, tokens: int, flops: float) -> float:
    """About how many tokens a training of this shape reads within its budget, over a text of `tokens`."""
    assert options.batch is not None and options.window is not None  # filled in before
    limits = []
    if options.minutes is not None:
        products = FLOPS_PER_WEIGHT * shape.weights / (EFFICIENCY * flops)  # seconds a token
        waiting = LATENCY * shape.layers / options.batch
        limits.append(60 * options.minutes / max(products, waiting))
    if options.steps is not None:
        limits.append(float(options.steps * options.batch * options.window))
    if options.epochs is not None:
        limits.append(options.epochs * tokens)
    return min(limits)


def _shape(options: LanguageModelOptions, tokens: int, flops: float) -> Shape:
    """The shape that was asked for, or the largest that reads enough tokens within the budget to be worth it."""
    if options.size not in (None, "auto"):
        return SHAPES[options.size]
    fitting = [shape for shape in LADDER if tokens_read(options, shape, tokens, flops) >= shape.from_tokens]
    return fitting[-1]


def _dropout(readings: float) -> float:
    """The share to leave out: the more weights read a token the more often, the more is learned by heart.

    readings: epochs times the weights for each token of the text.
    """
    return 0.0 if readings < 8 else 0.1 if readings < 60 else 0.2

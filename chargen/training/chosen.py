"""Options with every choice made: types without None, which the recipes fill and `config.json` keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from chargen.models.config import EncoderConfig
from chargen.training.options import AnyOptions, ClassifierOptions, LanguageModelOptions, Options

# Options that an encoder's config has under the same names.
ENCODER_OPTIONS = (
    *("cell", "num_layers", "hidden_size", "embedding_size"),
    *("layer_norm", "connections", "tied_layers", "rounds", "rank"),
)


@dataclass(frozen=True, kw_only=True)
class _ChosenEncoder:
    """ENCODER_OPTIONS."""

    cell: str
    num_layers: int
    hidden_size: int
    embedding_size: int
    layer_norm: bool
    connections: str
    tied_layers: bool
    rounds: int
    rank: int


@dataclass(frozen=True, kw_only=True)
class _ChosenTraining:
    """What every training needs, whatever is trained."""

    size: str
    batch_size: int
    shards: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    clip: float
    dropout: float
    dropout_input: float
    dropout_embedding: float
    weight_drop: float


@dataclass(frozen=True, kw_only=True)
class ChosenLanguageModelOptions(_ChosenEncoder, _ChosenTraining, LanguageModelOptions):
    """The options of a language model, with every choice made."""

    tied: bool
    sequence_length: int
    activation_reg: float
    temporal_reg: float


@dataclass(frozen=True, kw_only=True)
class ChosenProbeOptions(_ChosenEncoder, ClassifierOptions):
    """The options of a probe, with every choice made except those about training, since a probe does not train."""

    tokenizer: str
    bidirectional: bool
    pooling: str
    ngrams: bool
    metric: str


@dataclass(frozen=True, kw_only=True)
class ChosenClassifierOptions(_ChosenTraining, ChosenProbeOptions):
    """The options of a classifier, with every choice made; here a crop of None means whole texts."""


def with_defaults(options: AnyOptions, **defaults: Any) -> AnyOptions:
    """Replace options that are None by `defaults`."""
    return replace(options, **{name: value for name, value in defaults.items() if getattr(options, name) is None})


def choose(kind: type[AnyOptions], options: Options, **choices: Any) -> AnyOptions:
    """Make a record of another type from options, with `choices` where they are None.

    Args:
        kind: The type to make, such as ChosenLanguageModelOptions.
        options: What is requested.
        choices: Values by field name.
    """
    return kind(**vars(with_defaults(options, **choices)))


def encoder_config(options: Options, vocab_size: int, **rest: Any) -> EncoderConfig:
    """The config of the encoder that chosen options describe.

    Args:
        options: With every choice made.
        vocab_size: V.
        rest: Fields that are no options.
    """
    return EncoderConfig(vocab_size, **{name: getattr(options, name) for name in ENCODER_OPTIONS}, **rest)

"""The shapes of models, as plain records that need no torch to be read."""

from __future__ import annotations

from dataclasses import dataclass

from chargen.errors import ChargenError
from chargen.models.specs import Shapes, spec_of

MOST = {"vocab_size": 1 << 22, "num_layers": 256, "hidden_size": 1 << 16, "embedding_size": 1 << 16}
POOLINGS = ("final", "mean", "max", "concat")


@dataclass(frozen=True)
class EncoderConfig:
    """The embedding and the stack of recurrent layers that every model shares."""

    vocab_size: int  # V, symbols the embedding knows
    cell: str = "gru"  # one of specs.SPECS
    num_layers: int = 2  # L
    hidden_size: int = 256  # H, units per layer and direction
    embedding_size: int = 128  # E
    bidirectional: bool = False  # a second stack reads from the end; for classifiers only

    def __post_init__(self) -> None:
        spec_of(self.cell)  # raises where there is none
        for field, most in MOST.items():
            if not 1 <= getattr(self, field) <= most:
                raise ChargenError(f"{field} is {getattr(self, field)}, but must be from 1 to {most:,}")

    @property
    def output_size(self) -> int:
        """Numbers the encoder gives a step: H, or 2 H when bidirectional."""
        return self.hidden_size * (2 if self.bidirectional else 1)


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model: an encoder's, and what reads its outputs."""

    encoder: EncoderConfig

    def output_shapes(self) -> Shapes:
        """Name and shape of each weight above the encoder, in order."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")


@dataclass(frozen=True)
class LanguageModelConfig(ModelConfig):
    """An encoder and the projection of its outputs to the vocabulary."""

    tied: bool = False  # projection and embedding are one matrix (Press & Wolf 2017, arXiv:1608.05859)

    def __post_init__(self) -> None:
        if self.encoder.bidirectional:
            raise ChargenError("a language model reads forwards only: bidirectional is for classifiers")
        if self.tied and self.encoder.embedding_size != self.encoder.hidden_size:
            raise ChargenError(
                f"tied weights need embedding size = hidden size, not {self.encoder.embedding_size} and "
                f"{self.encoder.hidden_size}: make them equal or untie"
            )

    def output_shapes(self) -> Shapes:
        """Name and shape of each weight above the encoder, in order."""
        vocab_size, hidden_size = self.encoder.vocab_size, self.encoder.hidden_size
        own: Shapes = {} if self.tied else {"projection.weight": (vocab_size, hidden_size)}
        return own | {"projection.bias": (vocab_size,)}


@dataclass(frozen=True)
class ClassifierConfig(ModelConfig):
    """An encoder, the pooling of its outputs over time, and a linear head."""

    num_labels: int
    pooling: str = "final"  # one of POOLINGS

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ChargenError(f"unknown pooling {self.pooling!r}: choose one of {', '.join(POOLINGS)}")
        if self.num_labels < 2:
            raise ChargenError(f"a classifier needs at least two labels, not {self.num_labels}")

    @property
    def pooled_size(self) -> int:
        """Numbers the head reads a text: all three poolings side by side for `concat`."""
        return self.encoder.output_size * (3 if self.pooling == "concat" else 1)

    def output_shapes(self) -> Shapes:
        """Name and shape of each weight above the encoder, in order."""
        return {"head.weight": (self.num_labels, self.pooled_size), "head.bias": (self.num_labels,)}


def weight_shapes(config: ModelConfig) -> Shapes:
    """Name and shape of every weight that a model of this config stores, in order."""
    encoder = config.encoder
    of_layer = spec_of(encoder.cell).weight_shapes
    shapes: Shapes = {"encoder.embedding.weight": (encoder.vocab_size, encoder.embedding_size)}
    stacks = ("layers", "backward_layers") if encoder.bidirectional else ("layers",)
    for stack in stacks:
        for layer in range(encoder.num_layers):
            inputs = encoder.output_size if layer else encoder.embedding_size
            for name, shape in of_layer(inputs, encoder.hidden_size).items():
                shapes[f"encoder.{stack}.{layer}.{name}"] = shape
    return shapes | config.output_shapes()

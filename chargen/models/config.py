"""The sizes and parts of each model, and the shapes of its weights that follow from them. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chargen.errors import ChargenError
from chargen.models.specs import Shapes, spec_of

MOST = {"vocab_size": 1 << 22, "num_layers": 256, "hidden_size": 1 << 16, "embedding_size": 1 << 16}
MOST_ROUNDS = 64
CONNECTIONS = ("none", "residual", "highway")
POOLINGS = ("final", "mean", "max", "concat")  # the last one is all others side by side


@dataclass(frozen=True)
class EncoderConfig:
    """The embedding and the recurrent layers, which language models and classifiers share.

    Raises:
        ChargenError: The cell is unknown, or a size is out of range.

    >>> EncoderConfig(vocab_size=100, hidden_size=64, bidirectional=True).output_size
    128
    """

    vocab_size: int  # V, number of tokens
    cell: str = "gru"  # one of specs.SPECS
    num_layers: int = 2  # L
    hidden_size: int = 256  # H, units per layer and direction
    embedding_size: int = 128  # E
    bidirectional: bool = False  # adds layers that read from the end; for classifiers only
    layer_norm: bool = False  # whether what each layer reads, and the last outputs, are normalised
    connections: str = "none"  # around each layer, one of CONNECTIONS
    tied_layers: bool = False  # whether all layers of a stack share the weights that the cell's spec calls tieable
    rounds: int = 5  # of a Mogrifier, in which input and state scale each other in turns
    rank: int = 0  # of a Mogrifier's scaling matrices; 0: full
    bos_id: int | None = None  # a token before which the state is reset: each document starts from the zero state

    def __post_init__(self) -> None:
        spec_of(self.cell)  # raises where there is none
        for field, most in MOST.items():
            if not 1 <= getattr(self, field) <= most:
                raise ChargenError(f"{field} is {getattr(self, field)}, but must be from 1 to {most:,}")
        if not 0 <= self.rounds <= MOST_ROUNDS:
            raise ChargenError(f"rounds is {self.rounds}, but must be from 0 to {MOST_ROUNDS}")
        if not 0 <= self.rank <= MOST["hidden_size"]:
            raise ChargenError(f"rank is {self.rank}, but must be from 0 to {MOST['hidden_size']:,}")
        if self.connections not in CONNECTIONS:
            raise ChargenError(f"unknown connections {self.connections!r}: choose one of {', '.join(CONNECTIONS)}")
        if self.bos_id is not None and not 0 <= self.bos_id < self.vocab_size:
            raise ChargenError(f"bos_id is {self.bos_id}, but must be below the vocabulary size {self.vocab_size:,}")
        if self.bos_id is not None and self.bidirectional:
            raise ChargenError("an encoder that reads in both directions reads single texts: leave out bos_id")

    @property
    def cell_settings(self) -> dict[str, Any]:
        """The fields that the cell depends on, by name."""
        return {name: getattr(self, name) for name in spec_of(self.cell).settings}

    @property
    def stacks(self) -> tuple[str, ...]:
        """Names of the stacks of layers."""
        return ("layers", "backward_layers") if self.bidirectional else ("layers",)

    @property
    def shared(self) -> tuple[str, ...]:
        """Names of the weights that all layers of a stack share; they are stored with the first."""
        return spec_of(self.cell).tieable if self.tied_layers else ()

    @property
    def input_sizes(self) -> list[int]:
        """Size of each layer's inputs."""
        return [self.embedding_size] + [self.output_size] * (self.num_layers - 1)

    @property
    def layer_output_size(self) -> int:
        """Size of a layer's output in one direction: H for most cells."""
        return self.hidden_size * spec_of(self.cell).outputs

    @property
    def output_size(self) -> int:
        """Size of each step's output, of both directions if bidirectional."""
        return self.layer_output_size * (2 if self.bidirectional else 1)


@dataclass(frozen=True)
class ModelConfig:
    """An encoder, and the layer above it that subclasses add."""

    encoder: EncoderConfig

    def output_shapes(self) -> Shapes:
        """Name and shape of each weight above the encoder, in order."""
        raise NotImplementedError(f"{type(self).__name__} is abstract")


@dataclass(frozen=True)
class LanguageModelConfig(ModelConfig):
    """An encoder, and the projection of its outputs to logits.

    Raises:
        ChargenError: The encoder is bidirectional, or `tied` with embedding and hidden sizes that differ.
    """

    tied: bool = False  # projection and embedding are one matrix (Press & Wolf 2017, arXiv:1608.05859)

    def __post_init__(self) -> None:
        if self.encoder.bidirectional:
            raise ChargenError("a language model reads forwards only: bidirectional is for classifiers")
        if self.tied and self.encoder.embedding_size != self.encoder.output_size:
            raise ChargenError(
                f"tied weights need an embedding as wide as the output, not {self.encoder.embedding_size} beside "
                f"{self.encoder.output_size}: make them equal (embedding size = hidden size for most cells) or untie"
            )

    def output_shapes(self) -> Shapes:
        """Name and shape of each weight above the encoder, in order."""
        vocab_size, output_size = self.encoder.vocab_size, self.encoder.output_size
        own: Shapes = {} if self.tied else {"projection.weight": (vocab_size, output_size)}
        return own | {"projection.bias": (vocab_size,)}


@dataclass(frozen=True)
class ClassifierConfig(ModelConfig):
    """An encoder, the pooling of its outputs over time, and a linear head.

    Raises:
        ChargenError: The pooling is unknown, or there are fewer than two labels.
    """

    num_labels: int
    pooling: str = "final"  # one of POOLINGS

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ChargenError(f"unknown pooling {self.pooling!r}: choose one of {', '.join(POOLINGS)}")
        if self.num_labels < 2:
            raise ChargenError(f"a classifier needs at least two labels, not {self.num_labels}")

    @property
    def poolings(self) -> tuple[str, ...]:
        """The poolings that lie side by side."""
        return POOLINGS[:-1] if self.pooling == "concat" else (self.pooling,)

    @property
    def pooled_size(self) -> int:
        """Size of a text's pooled outputs."""
        return self.encoder.output_size * len(self.poolings)

    def output_shapes(self) -> Shapes:
        """Name and shape of each weight above the encoder, in order."""
        return {"head.weight": (self.num_labels, self.pooled_size), "head.bias": (self.num_labels,)}


def weight_shapes(config: ModelConfig) -> Shapes:
    """Name and shape of every weight that a model stores, in order.

    >>> shapes = weight_shapes(LanguageModelConfig(EncoderConfig(100, "gru", 1, hidden_size=8, embedding_size=4)))
    >>> shapes["encoder.layers.0.weight_ih_l0"], shapes["projection.weight"]
    ((24, 4), (100, 8))
    """
    encoder = config.encoder
    layer_shapes = spec_of(encoder.cell).weight_shapes
    shapes: Shapes = {"encoder.embedding.weight": (encoder.vocab_size, encoder.embedding_size)}
    for stack in encoder.stacks:
        for layer, inputs in enumerate(encoder.input_sizes):
            for name, shape in layer_shapes(inputs, encoder.hidden_size, **encoder.cell_settings).items():
                if layer == 0 or name not in encoder.shared:
                    shapes[f"encoder.{stack}.{layer}.{name}"] = shape
    return shapes | _connection_shapes(encoder) | config.output_shapes()


def _connection_shapes(encoder: EncoderConfig) -> Shapes:
    """Name and shape of the weights between layers; see `connections.Connections`."""
    shapes: Shapes = {}
    if encoder.layer_norm:
        for number, size in enumerate([*encoder.input_sizes, encoder.output_size]):
            names = (f"encoder.connections.norms.{number}.{name}" for name in ("weight", "bias"))
            shapes |= dict.fromkeys(names, (size,))
    if encoder.connections == "highway":
        size = encoder.output_size
        for number, inputs in enumerate(encoder.input_sizes):
            if inputs == size:
                name = f"encoder.connections.highways.{number}"
                shapes |= {f"{name}.weight": (size, size), f"{name}.bias": (size,)}
    return shapes

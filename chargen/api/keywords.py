"""The keyword arguments of functions that take many, for type checkers; a test compares them with the records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from chargen.models.units import Clamps

Names = str | Path | Sequence[str | Path]


class Keywords(TypedDict, total=False):
    """Options of every training: `training.options.Options`."""

    encoding: str
    val: Names
    val_fraction: float | None
    tokenizer: str | None
    vocab_size: int | None
    min_frequency: int | None
    minutes: float | None
    epochs: float | None
    steps: int | None
    size: str | None
    cell: str | None
    num_layers: int | None
    hidden_size: int | None
    embedding_size: int | None
    layer_norm: bool | None
    connections: str | None
    tied_layers: bool | None
    rounds: int | None
    rank: int | None
    batch_size: int | None
    shards: int | None
    optimizer: str | None
    learning_rate: float | None
    weight_decay: float | None
    clip: float | None
    dropout: float | None
    dropout_input: float | None
    dropout_embedding: float | None
    weight_drop: float | None
    patience: int | None
    start_from: str | None
    seed: int
    device: str
    precision: str


class LanguageModelKeywords(Keywords, total=False):
    """Options of a language model: `training.options.LanguageModelOptions`."""

    documents: str | None
    text_column: str | None
    sequence_length: int | None
    tied: bool | None
    activation_reg: float | None
    temporal_reg: float | None


class ClassifierKeywords(Keywords, total=False):
    """Options of a classifier: `training.options.ClassifierOptions`."""

    text_column: Names
    label_column: str | None
    skip_unlabelled: bool
    pooling: str | None
    bidirectional: bool | None
    max_length: int
    crop: int | None
    probe: bool
    adapt: bool | None
    ngrams: bool | None
    balance: bool
    metric: str | None


class SamplingKeywords(TypedDict, total=False):
    """Settings of a sampler: `generation.samplers.Sampling`."""

    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None
    typical: float | None
    repetition_penalty: float
    repetition_window: int


class WritingKeywords(SamplingKeywords, total=False):
    """Keyword arguments of `TextWriter.stream` and `TextWriter.generate`."""

    length: int
    seed: int | None
    stop: str | Sequence[str]
    allow: str | None
    forbid: str
    clamp: Clamps | None

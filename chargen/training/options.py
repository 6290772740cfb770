"""What a person may ask of a training, as one record a task; None leaves the choice to `recipes`.

The record is what `config.json` keeps, so a run replays with `--config` and goes on with `--resume`. Each field is
an option of `chargen train`, with its underscores as hyphens.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, ClassVar, TypeVar

import numpy as np

from chargen.errors import ChargenError
from chargen.kinds import CLASSIFIER, LANGUAGE_MODEL, kind_of
from chargen.text.columns import names_of
from chargen.training.optimizers import OPTIMIZERS
from chargen.training.schedule import Budget

SIZES = ("auto", "tiny", "small", "medium", "large")
PRECISIONS = ("auto", "fp32", "bf16")
METRICS = ("loss", "accuracy", "macro-f1")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What all kinds of run share."""

    kind: ClassVar[str]  # of run, as `kinds.KINDS` calls it

    inputs: tuple[str, ...]  # files, folders, patterns, `-`, named corpora
    encoding: str = "utf-8"
    val: tuple[str, ...] = ()  # inputs to validate on; none: part of the text itself
    val_fraction: float | None = None  # that part
    tokenizer: str | None = None  # one of text.tokenizers.KINDS
    vocab_size: int | None = None
    min_frequency: int | None = None  # characters that occur less often are unknown

    minutes: float | None = None
    epochs: float | None = None
    steps: int | None = None

    size: str | None = None  # one of SIZES
    cell: str | None = None  # one of models.specs.SPECS
    layers: int | None = None
    hidden: int | None = None  # units per layer
    embedding: int | None = None  # embedding size

    batch: int | None = None  # streams, or texts
    shards: int | None = None  # parts of a batch that are computed side by side; they decide how sums are rounded
    optimizer: str | None = None  # one of optimizers.OPTIMIZERS
    learning_rate: float | None = None  # peak
    weight_decay: float | None = None
    clip: float | None = None  # largest joint norm of the gradients
    dropout: float | None = None  # between layers and after the last
    dropout_input: float | None = None  # before the first
    dropout_embedding: float | None = None  # whole symbols
    weight_drop: float | None = None  # recurrent weights
    patience: int | None = None  # evaluations without a better one before stopping early

    start_from: str | None = None  # a run whose encoder and tokenizer to begin with
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"  # one of PRECISIONS

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _as_declared(field.name, str(field.type), getattr(self, field.name)))
        for name, known in (("size", SIZES), ("precision", PRECISIONS), ("optimizer", OPTIMIZERS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise ChargenError(f"unknown {name} {value!r}: choose one of {', '.join(known)}")
        for names, fits, wanted in (
            (
                ("layers", "hidden", "embedding", "batch", "shards", "window", "patience", "max_length", "crop"),
                _at_least_one,
                "at least 1",
            ),
            (("minutes", "epochs", "steps", "learning_rate", "clip"), _positive, "a number more than 0"),
            (("weight_decay", "seed", "activation_reg", "temporal_reg"), _not_negative, "0 or above"),
            (("dropout", "dropout_input", "dropout_embedding", "weight_drop"), _a_share, "a share from 0 to below 1"),
            (("val_fraction",), _a_share, "a share from 0 to below 1"),
        ):
            for name in names:
                value = getattr(self, name, None)
                if value is not None and not fits(value):
                    raise ChargenError(f"{name.replace('_', ' ')} is {value}, but must be {wanted}")

    @property
    def budget(self) -> Budget:
        """The limits that are set."""
        return Budget(self.minutes, self.epochs, self.steps)


@dataclass(frozen=True, kw_only=True)
class LanguageModelOptions(Options):
    """A language model on text."""

    kind = LANGUAGE_MODEL

    documents: str | None = None  # one of text.documents.DOCUMENT_MODES; None: one stream of text
    text_column: str = "text"  # of JSONL documents
    window: int | None = None  # truncated BPTT length
    tied: bool | None = None  # projection and embedding are one matrix
    activation_reg: float | None = None  # weight of the outputs' mean square in the loss
    temporal_reg: float | None = None  # weight of the mean square of their change from step to step

    def __post_init__(self) -> None:
        names = names_of(self.text_column)
        if len(names) != 1:
            raise ChargenError(f"a language model reads one text column, not {len(names)}: name one")
        object.__setattr__(self, "text_column", names[0])
        super().__post_init__()
        if self.text_column != "text" and self.documents != "jsonl":
            raise ChargenError(
                f"the text column {self.text_column!r} is for documents in JSON lines: set them to jsonl"
            )


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions(Options):
    """A classifier on labelled texts."""

    kind = CLASSIFIER

    text_column: tuple[str, ...] = ()  # joined by a line break; one name will do, none leaves it to be found
    label_column: str | None = None
    pooling: str | None = None  # one of models.config.POOLINGS
    bidirectional: bool | None = None
    max_length: int = 1000  # tokens of a text that are read
    crop: int | None = None  # tokens of a text that a step of training reads, a random stretch
    probe: bool = False  # whether `start_from`'s encoder stays as it is, and only a head is fitted to its outputs
    adapt: bool | None = None  # whether the network learns the language of the texts before their labels
    ngrams: bool | None = None  # whether the network is combined with an n-gram classifier
    balance: bool = False  # whether every label counts as much as the others, however many texts it has
    metric: str | None = None  # one of METRICS: the weights of which it is best are kept

    def __post_init__(self) -> None:
        object.__setattr__(self, "text_column", names_of(self.text_column))
        super().__post_init__()
        if self.metric not in (None, *METRICS):
            raise ChargenError(f"unknown metric {self.metric!r}: choose one of {', '.join(METRICS)}")


def _as_declared(name: str, declared: str, value: Any) -> Any:
    """A field's value in the type that its annotation declares; ChargenError where it has another.

    One text will do for several, a path for its name, and NumPy's numbers for Python's.
    """
    kinds = declared.split(" | ")
    if value is None and "None" in kinds:
        return None
    if kinds[0].startswith("tuple"):
        several = (value,) if isinstance(value, str | os.PathLike) else value
        if isinstance(several, Iterable):
            return tuple(str(part) if isinstance(part, os.PathLike) else part for part in several)
    if kinds[0] == "str" and isinstance(value, str | os.PathLike):
        return str(value)
    if kinds[0] == "bool" and isinstance(value, bool | np.bool_):
        return bool(value)
    if not isinstance(value, bool):
        if kinds[0] == "int" and isinstance(value, Integral):
            return int(value)
        if kinds[0] == "float" and isinstance(value, Real):
            return int(value) if isinstance(value, Integral) else float(value)
    wanted = {"bool": "True or False", "int": "a whole number", "float": "a number", "str": "a text"}
    raise ChargenError(
        f"{name.replace('_', ' ')} is {value!r}, but must be {wanted.get(kinds[0], 'a sequence of texts')}"
    )


def _at_least_one(value: float) -> bool:
    return value >= 1


def _positive(value: float) -> bool:
    return 0 < value < math.inf  # rejects NaN too


def _not_negative(value: float) -> bool:
    return value >= 0


def _a_share(value: float) -> bool:
    return 0 <= value < 1


AnyOptions = TypeVar("AnyOptions", bound=Options)


def filled(options: AnyOptions, **choices: Any) -> AnyOptions:
    """The options with `choices` where they leave a choice."""
    return replace(options, **{name: value for name, value in choices.items() if getattr(options, name) is None})


def options_type(kind: str) -> type[Options]:
    """What may be asked of the training of a kind of run."""
    made: type[Options] = kind_of(kind).get("options")
    return made


def to_record(options: Options) -> dict[str, Any]:
    """The options as JSON holds them."""
    return asdict(options)


def from_record(kind: type[AnyOptions], record: dict[str, Any]) -> AnyOptions:
    """The options of a record; ChargenError for one that holds what this version does not know."""
    known = {field.name for field in fields(kind)}
    if unknown := sorted(record.keys() - known):
        raise ChargenError(f"the config has options this chargen does not know ({', '.join(unknown)}): remove them")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
    }
    try:
        return kind(**values)
    except TypeError as error:
        raise ChargenError(f"the config is no record of a training's options: {error}") from error

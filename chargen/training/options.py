"""What a person may ask of a training, one record for each kind of run, and the same with every choice made.

In the records that are asked for, None leaves a choice to `recipes`. `config.json` keeps the chosen ones, so that a
run replays with `--config` and goes on with `--resume`. Each field is an option of `chargen train`, with hyphens for
its underscores.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar

from chargen.errors import ChargenError
from chargen.kinds import CLASSIFIER, LANGUAGE_MODEL, kind_of
from chargen.runs.folder import Run
from chargen.runs.formats import RENAMED_OPTIONS, rename_options
from chargen.text.columns import names_of
from chargen.text.corpus import CorpusSettings
from chargen.text.labelled_data import LabelledSettings
from chargen.training.ranges import (
    AT_LEAST_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    as_declared,
    check_range,
    one_of,
    option,
)
from chargen.training.schedule import Budget

SIZES = ("auto", "tiny", "small", "medium", "large")
OPTIMIZERS = ("muon", "adamw")
PRECISIONS = ("auto", "fp32", "bf16")
METRICS = ("loss", "accuracy", "macro-f1")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What all kinds of run share."""

    kind: ClassVar[str]  # of run, as `kinds.KINDS` calls it

    inputs: tuple[str, ...]  # files, folders, patterns, `-`, named corpora
    encoding: str = "utf-8"
    val: tuple[str, ...] = ()  # inputs to validate on; none: part of the text itself
    val_fraction: float | None = option(SHARE)  # that part
    tokenizer: str | None = None  # one of text.tokenizers.registry.KINDS
    vocab_size: int | None = None
    min_frequency: int | None = None  # characters that occur less often are unknown

    minutes: float | None = option(POSITIVE)
    epochs: float | None = option(POSITIVE)
    steps: int | None = option(POSITIVE)

    size: str | None = option(one_of(*SIZES))
    cell: str | None = None  # one of models.specs.SPECS
    num_layers: int | None = option(AT_LEAST_ONE)
    hidden_size: int | None = option(AT_LEAST_ONE)
    embedding_size: int | None = option(AT_LEAST_ONE)

    batch_size: int | None = option(AT_LEAST_ONE)  # streams, or texts
    shards: int | None = option(AT_LEAST_ONE)  # of a batch, computed side by side; they decide how sums are rounded
    optimizer: str | None = option(one_of(*OPTIMIZERS))
    learning_rate: float | None = option(POSITIVE)  # peak
    weight_decay: float | None = option(NOT_NEGATIVE)
    clip: float | None = option(POSITIVE)  # largest joint norm of the gradients
    dropout: float | None = option(SHARE)  # between layers and after the last
    dropout_input: float | None = option(SHARE)  # before the first
    dropout_embedding: float | None = option(SHARE)  # whole tokens
    weight_drop: float | None = option(SHARE)  # recurrent weights
    patience: int | None = option(AT_LEAST_ONE)  # evaluations without a better one before stopping early

    start_from: str | None = None  # a run whose encoder and tokenizer to begin with
    seed: int = option(NOT_NEGATIVE, 0)
    device: str = "auto"
    precision: str = option(one_of(*PRECISIONS), "auto")

    def __post_init__(self) -> None:
        for declared in fields(self):
            value = as_declared(declared, getattr(self, declared.name))
            object.__setattr__(self, declared.name, value)
            check_range(declared, value)

    @property
    def budget(self) -> Budget:
        """The limits that are set."""
        return Budget(self.minutes, self.epochs, self.steps)

    @property
    def has_limit(self) -> bool:
        """Whether any limit is set."""
        return self.budget != Budget()


@dataclass(frozen=True, kw_only=True)
class LanguageModelOptions(Options):
    """A language model on text."""

    kind = LANGUAGE_MODEL

    documents: str | None = None  # one of text.documents.DOCUMENT_MODES; None: one stream of text
    text_column: str = "text"  # of JSONL documents
    sequence_length: int | None = option(AT_LEAST_ONE)  # of truncated BPTT
    tied: bool | None = None  # projection and embedding are one matrix
    activation_reg: float | None = option(NOT_NEGATIVE)  # weight of the outputs' mean square in the loss
    temporal_reg: float | None = option(NOT_NEGATIVE)  # weight of the mean square of their change from step to step

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

    @property
    def corpus(self) -> CorpusSettings:
        """What to encode, and how."""
        return CorpusSettings(
            inputs=self.inputs,
            tokenizer=self.tokenizer or "char",
            vocab_size=self.vocab_size,
            min_frequency=1 if self.min_frequency is None else self.min_frequency,
            encoding=self.encoding,
            documents=self.documents,
            text_column=self.text_column,
        )


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions(Options):
    """A classifier on labelled texts."""

    kind = CLASSIFIER

    text_column: tuple[str, ...] = ()  # joined by a line break; one name will do, none leaves it to be found
    label_column: str | None = None
    pooling: str | None = None  # one of models.config.POOLINGS
    bidirectional: bool | None = None
    max_length: int = option(AT_LEAST_ONE, 1000)  # tokens of a text that are read
    crop: int | None = option(AT_LEAST_ONE)  # tokens of a text that a step of training reads, a random stretch
    probe: bool = False  # whether `start_from`'s encoder stays as it is, and only a head is fitted to its outputs
    adapt: bool | None = None  # whether the network learns the language of the texts before their labels
    ngrams: bool | None = None  # whether the network is combined with an n-gram classifier
    balance: bool = False  # whether every label counts as much as the others, however many texts it has
    metric: str | None = option(one_of(*METRICS))  # the weights of which it is best are kept

    def __post_init__(self) -> None:
        object.__setattr__(self, "text_column", names_of(self.text_column))
        super().__post_init__()
        if self.probe:
            _check_probe(self)

    @property
    def labelled(self) -> LabelledSettings:
        """What to read, and how to split it."""
        return LabelledSettings(
            inputs=self.inputs,
            text_column=self.text_column,
            label_column=self.label_column,
            encoding=self.encoding,
            val=self.val,
            val_fraction=self.val_fraction,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class ChosenLanguageModelOptions(LanguageModelOptions):
    """A language model's options, every choice made."""

    size: str
    cell: str
    num_layers: int
    hidden_size: int
    embedding_size: int
    tied: bool
    batch_size: int
    sequence_length: int
    shards: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    clip: float
    dropout: float
    dropout_input: float
    dropout_embedding: float
    weight_drop: float
    activation_reg: float
    temporal_reg: float


@dataclass(frozen=True, kw_only=True)
class ChosenProbeOptions(ClassifierOptions):
    """A probe's options, every choice made: nothing is chosen of a training that does not take place."""

    tokenizer: str
    cell: str
    num_layers: int
    hidden_size: int
    embedding_size: int
    bidirectional: bool
    pooling: str
    ngrams: bool
    metric: str


@dataclass(frozen=True, kw_only=True)
class ChosenClassifierOptions(ChosenProbeOptions):
    """A classifier's options, every choice made; a crop of None reads whole texts."""

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


NOT_OF_PROBES = (  # options of a training, which a probe has no use for
    *("adapt", "minutes", "epochs", "steps", "patience"),
    *("batch_size", "crop", "shards", "optimizer", "learning_rate", "weight_decay", "clip"),
    *("dropout", "dropout_input", "dropout_embedding", "weight_drop"),
)

AnyOptions = TypeVar("AnyOptions", bound=Options)


def with_defaults(options: AnyOptions, **defaults: Any) -> AnyOptions:
    """The options with `defaults` where they leave a choice."""
    return replace(options, **{name: value for name, value in defaults.items() if getattr(options, name) is None})


def choose(kind: type[AnyOptions], options: Options, **choices: Any) -> AnyOptions:
    """The options as a record of another type, with `choices` where they leave one."""
    return kind(**vars(with_defaults(options, **choices)))


def make_options(kind: type[AnyOptions], **given: Any) -> AnyOptions:
    """A record of options; ChargenError for one that there is none of, naming the nearest."""
    known = [declared.name for declared in fields(kind)]
    for name in given.keys() - known:
        nearest = RENAMED_OPTIONS.get(name) or next(iter(get_close_matches(name, known, 1)), None)
        hint = f": is {nearest} meant?" if nearest in known else f": there are {', '.join(known)}"
        raise ChargenError(f"there is no option {name}{hint}")
    return kind(**given)


def options_type(kind: str) -> type[Options]:
    """What may be asked of the training of a kind of run."""
    made: type[Options] = kind_of(kind).get("options")
    return made


def options_of(run: Run, kind: type[AnyOptions]) -> AnyOptions:
    """The options that a run was trained with; ChargenError when they are not of this type. `Options` are all."""
    own = options_type(run.kind)
    if not issubclass(own, kind):
        raise ChargenError(kind_of(run.kind).wrong_kind.format(run.name))
    return from_record(own, run.options)


def to_record(options: Options) -> dict[str, Any]:
    """The options as JSON holds them."""
    return asdict(options)


def from_record(kind: type[AnyOptions], record: dict[str, Any]) -> AnyOptions:
    """The options of a record; ChargenError for one that holds what this version does not know."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in rename_options(record).items()
    }
    known = {declared.name for declared in fields(kind)}
    if unknown := sorted(values.keys() - known):
        raise ChargenError(f"the config has options this chargen does not know ({', '.join(unknown)}): remove them")
    try:
        return kind(**values)
    except TypeError as error:
        raise ChargenError(f"the config is no record of a training's options: {error}") from error


def _check_probe(options: ClassifierOptions) -> None:
    """ChargenError for what does not go together with `--probe`."""
    if not options.start_from:
        raise ChargenError("--probe reads what a trained encoder makes of the texts: name its run with --from")
    for name in NOT_OF_PROBES:
        if getattr(options, name) not in (None, False):
            raise ChargenError(
                f"--{name.replace('_', '-')} has no use with --probe, which does not train: leave it out"
            )

"""The options of a training: a record for each kind of run, as requested and with every choice made.

In a request, None leaves a choice to `recipes`. In a `Chosen…` record every choice is made; `config.json` keeps it,
for `--config` and `--resume`. Each field is an option of `chargen train`, with hyphens in place of underscores.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

from chargen.declared import as_declared, check_names
from chargen.errors import ChargenError
from chargen.kinds import CLASSIFIER, LANGUAGE_MODEL, kind_of
from chargen.models.config import CONNECTIONS
from chargen.runs.folder import Run
from chargen.runs.formats import RENAMED_OPTIONS, rename_options
from chargen.text.columns import names_of
from chargen.text.corpus import CorpusSettings
from chargen.text.labelled_data import LabelledSettings
from chargen.training.ranges import (
    AMOUNT,
    AT_LEAST_ONE,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
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
    """The options that all kinds of run share; ChargenError for a value of the wrong type or outside its range."""

    kind: ClassVar[str]  # of run, a key of kinds.KINDS

    inputs: tuple[str, ...]  # files, folders, patterns, named corpora, or `-` for standard input
    encoding: str = "utf-8"
    val: tuple[str, ...] = ()  # inputs to validate on; if empty, part of the training inputs
    val_fraction: float | None = option(FRACTION)  # the part to validate on, as a fraction
    tokenizer: str | None = None  # one of text.tokenizers.registry.KINDS
    vocab_size: int | None = option(AT_LEAST_ONE)  # pieces, for a tokenizer of pieces of words
    min_frequency: int | None = option(AT_LEAST_ONE)  # rarer characters become the unknown token

    minutes: float | None = option(POSITIVE)  # of wall-clock time
    epochs: float | None = option(POSITIVE)  # passes over the training set
    steps: int | None = option(AT_LEAST_ONE)  # updates of the weights

    size: str | None = option(one_of(*SIZES))  # a shape of recipes.SHAPES, for what the next options leave open
    cell: str | None = None  # one of models.specs.SPECS
    num_layers: int | None = option(AT_LEAST_ONE)
    hidden_size: int | None = option(AT_LEAST_ONE)  # units per layer
    embedding_size: int | None = option(AT_LEAST_ONE)  # numbers per token that enter the first layer
    layer_norm: bool | None = None  # whether what each layer reads, and the last outputs, are normalised
    connections: str | None = option(one_of(*CONNECTIONS))  # around each layer
    tied_layers: bool | None = None  # whether the layers of a Grid LSTM share their weights
    rounds: int | None = option(NOT_NEGATIVE)  # of a Mogrifier
    rank: int | None = option(NOT_NEGATIVE)  # of a Mogrifier's scaling matrices; 0: full

    batch_size: int | None = option(AT_LEAST_ONE)  # streams, or texts
    shards: int | None = option(AT_LEAST_ONE)  # parts of a batch, computed in parallel; their number affects rounding
    optimizer: str | None = option(one_of(*OPTIMIZERS))
    learning_rate: float | None = option(POSITIVE)  # at its peak
    weight_decay: float | None = option(AMOUNT)  # fraction of matrices per step, times the learning rate
    clip: float | None = option(POSITIVE)  # largest joint norm of all gradients
    dropout: float | None = option(FRACTION)  # of outputs, between layers and after the last
    dropout_input: float | None = option(FRACTION)  # of embeddings, before the first layer
    dropout_embedding: float | None = option(FRACTION)  # of whole tokens of the vocabulary
    weight_drop: float | None = option(FRACTION)  # of recurrent weights
    patience: int | None = option(AT_LEAST_ONE)  # evaluations without improvement before stopping early

    start_from: str | None = None  # a run to take encoder and tokenizer from
    seed: int = option(NOT_NEGATIVE, 0)
    device: str = "auto"
    precision: str = option(one_of(*PRECISIONS), "auto")

    def __post_init__(self) -> None:
        for declared in fields(self):
            value = as_declared(declared.name, str(declared.type), getattr(self, declared.name))
            object.__setattr__(self, declared.name, value)
            check_range(declared, value)

    @property
    def budget(self) -> Budget:
        """The limits that are set, as the loop takes them."""
        return Budget(self.minutes, self.epochs, self.steps)

    @property
    def has_limit(self) -> bool:
        """Whether any limit is set."""
        return self.budget != Budget()


@dataclass(frozen=True, kw_only=True)
class LanguageModelOptions(Options):
    """The options of a language model."""

    kind = LANGUAGE_MODEL

    documents: str | None = None  # one of text.documents.DOCUMENT_MODES; None: one stream of text
    text_column: str | None = None  # of documents in JSON lines; None: "text"
    sequence_length: int | None = option(AT_LEAST_ONE)  # tokens per stream and step, for truncated BPTT
    tied: bool | None = None  # whether projection and embedding are one matrix
    activation_reg: float | None = option(AMOUNT)  # weight of the mean square of the outputs in the loss
    temporal_reg: float | None = option(AMOUNT)  # weight of the mean square of their change per step

    def __post_init__(self) -> None:
        names = names_of(self.text_column)
        if len(names) > 1:
            raise ChargenError(f"a language model reads one text column, not {len(names)}: name one")
        object.__setattr__(self, "text_column", next(iter(names), None))
        super().__post_init__()
        if names and self.documents != "jsonl":
            raise ChargenError(
                f"the text column {names[0]!r} is for documents in JSON lines: add --documents jsonl, or name "
                "a file of plain text"
            )

    @property
    def corpus(self) -> CorpusSettings:
        """What to read and how to encode it."""
        return CorpusSettings(
            inputs=self.inputs,
            tokenizer=self.tokenizer or "char",
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            encoding=self.encoding,
            documents=self.documents,
            text_column=self.text_column or "text",
        )


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions(Options):
    """The options of a classifier."""

    kind = CLASSIFIER

    text_column: tuple[str, ...] = ()  # joined by a line break; if empty, found by looking
    label_column: str | None = None
    skip_unlabelled: bool = False  # leave out texts without label; else they are refused
    pooling: str | None = None  # one of models.config.POOLINGS
    bidirectional: bool | None = None
    max_length: int = option(AT_LEAST_ONE, 1000)  # tokens read of a text
    crop: int | None = option(AT_LEAST_ONE)  # longest random stretch, in tokens, that a training step reads of a text
    probe: bool = False  # keep the encoder of `start_from` as it is, and fit a head only
    adapt: bool | None = None  # whether to learn the language of the texts before their labels
    ngrams: bool | None = None  # whether to combine the network with an n-gram classifier
    balance: bool = False  # whether all labels weigh the same, however many texts each has
    metric: str | None = option(one_of(*METRICS))  # chooses the weights to keep

    def __post_init__(self) -> None:
        object.__setattr__(self, "text_column", names_of(self.text_column))
        super().__post_init__()
        if self.probe:
            _check_probe(self)

    @property
    def labelled(self) -> LabelledSettings:
        """What to read and how to split it."""
        return LabelledSettings(
            inputs=self.inputs,
            text_column=self.text_column,
            label_column=self.label_column,
            encoding=self.encoding,
            val=self.val,
            val_fraction=self.val_fraction,
            seed=self.seed,
            skip_unlabelled=self.skip_unlabelled,
        )


UNUSED_BY_PROBES = (  # options about training, since a probe does not train
    *("adapt", "minutes", "epochs", "steps", "patience"),
    *("batch_size", "crop", "shards", "optimizer", "learning_rate", "weight_decay", "clip"),
    *("dropout", "dropout_input", "dropout_embedding", "weight_drop"),
)

AnyOptions = TypeVar("AnyOptions", bound=Options)


def make_options(kind: type[AnyOptions], **given: Any) -> AnyOptions:
    """Make a record of options from values by name.

    Raises:
        ChargenError: There is no option of that name (the message suggests a similar one), or the value does not fit.

    >>> make_options(ClassifierOptions, inputs="mail.csv", hiden_size=64)
    Traceback (most recent call last):
    chargen.errors.ChargenError: there is no option hiden_size: is hidden_size meant?
    """
    check_names(given, [declared.name for declared in fields(kind)], renamed=RENAMED_OPTIONS)
    return kind(**given)


def options_type(kind: str) -> type[Options]:
    """The type of options that a kind of run takes."""
    made: type[Options] = kind_of(kind).get("options")
    return made


def options_of(run: Run, kind: type[AnyOptions]) -> AnyOptions:
    """The options that a run was trained with.

    Args:
        run: A run of any kind.
        kind: The type of options wanted; `Options` accepts every kind of run.

    Raises:
        ChargenError: The run is of another kind, or its config is damaged or of a newer version.
    """
    own = options_type(run.kind)
    if not issubclass(own, kind):
        raise ChargenError(kind_of(run.kind).wrong_kind.format(run.argument))
    return from_record(own, run.options)


def to_record(options: Options) -> dict[str, Any]:
    """The options as `config.json` holds them."""
    return asdict(options)


def from_record(kind: type[AnyOptions], record: dict[str, Any]) -> AnyOptions:
    """Read options from the record that `config.json` holds, of this version or an earlier one.

    Raises:
        ChargenError: The record has unknown options, lacks required ones, or has values that do not fit.
    """
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in rename_options(record).items()
    }
    known = {declared.name for declared in fields(kind)}
    if unknown := sorted(values.keys() - known):
        raise ChargenError(f"the config has options this chargen does not know ({', '.join(unknown)}): remove them")
    try:
        return kind(**values)
    except TypeError as error:
        raise ChargenError(f"the config does not hold the options of a training: {error}") from error


def _check_probe(options: ClassifierOptions) -> None:
    """Raise ChargenError for options that contradict `--probe`."""
    if not options.start_from:
        raise ChargenError("--probe needs a trained encoder: name its run with --from")
    for name in UNUSED_BY_PROBES:
        if getattr(options, name) is not None and getattr(options, name) is not False:
            raise ChargenError(
                f"--{name.replace('_', '-')} has no use with --probe, which does not train: leave it out"
            )

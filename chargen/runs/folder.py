"""The run folder: what its files hold, and how to read and replace them.

    checkpoints/<name>/
        config.json          format version, kind, shape, tokenizer, data, every option, versions
        model.safetensors    the best weights by validation
        tokenizer.*          the tokenizer; each kind has its own suffix
        labels.json          a classifier's labels, in the order of its logits
        ngrams.safetensors   the n-gram classifier that a classifier is combined with
        metrics.jsonl        one record per evaluation
        summary.json         how the training ended
        training/            what is needed to resume the training, and where its texts are

Every file is replaced atomically (see `files`). Nothing is pickled, and nothing here imports torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from chargen.errors import ChargenError, shell_word
from chargen.kinds import is_kind, kind_of
from chargen.models.config import ClassifierConfig, ModelConfig, weight_shapes
from chargen.models.ngrams import NgramClassifier
from chargen.runs.files import (
    MOST_BYTES,
    Weights,
    digest,
    load_tensors,
    parse_json,
    read_file,
    read_record,
    save_tensors,
    to_json,
    write_atomically,
)
from chargen.runs.formats import Evaluation, TokenizerRecord, rename_options
from chargen.text.records import DataRecord, LabelledRecord
from chargen.text.tokenizers.base import Tokenizer
from chargen.text.tokenizers.registry import load_tokenizer, tokenizer_file

FORMAT_VERSION = 1
MOST_CONFIG = 1 << 24  # bytes of config.json and of each other file that holds no tensors
CHECKPOINTS = Path("checkpoints")
NGRAMS = "ngrams.safetensors"
SCALES, CONFIDENCE, RIGHT = "scales", "held_out.confidence", "held_out.right"
STATE = "training/state.safetensors"
ORIGIN = "training/origin.json"  # not shared with a model: it has paths of the machine
FILES = ("model.safetensors", "labels.json", NGRAMS, "metrics.jsonl", "summary.json")  # beside config and tokenizer
BESIDE_WEIGHTS = (SCALES, CONFIDENCE, RIGHT)  # arrays in a classifier's model.safetensors that are not weights

Config = TypeVar("Config", bound=ModelConfig)
Data = TypeVar("Data", bound=DataRecord)
Part = TypeVar("Part")


@dataclass(frozen=True)
class Run:
    """A run's folder and its config, which is read once."""

    path: Path
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """The run's name for `-m`: its name under `checkpoints/`, or its path."""
        if self.path.parent.resolve() == CHECKPOINTS.resolve():
            return self.path.name
        return str(self.path) if is_path(str(self.path)) else f"./{self.path}"

    @property
    def argument(self) -> str:
        """The name as it is typed in a shell, after `-m` or `--from`."""
        return shell_word(self.name)

    @property
    def kind(self) -> str:
        """One of `kinds.KINDS`."""
        return str(self.config["kind"])

    def model_config(self, kind: type[Config]) -> Config:
        """The config of the model.

        Args:
            kind: Required type; `ModelConfig` accepts any.

        Raises:
            ChargenError: The run is of another kind, or its record describes no model of this version.
        """
        return self._part("model", self.config.get("model"), kind)

    def data(self, kind: type[Data]) -> Data:
        """The record of the data; arguments and errors as for `model_config`."""
        record = self.config.get("data")
        member: type[DataRecord] = kind_of(self.kind).get("data")
        return self._part("data", member.upgraded(record) if isinstance(record, dict) else record, kind)

    @property
    def options(self) -> dict[str, Any]:
        """The recorded options under their current names; `training.options.options_of` converts them."""
        options = self.config.get("options", {})
        if not isinstance(options, dict):
            raise ChargenError(f"{self.path / 'config.json'} has no record of its options: the run is damaged")
        return rename_options(options)

    def _part(self, name: str, record: Any, wanted: type[Part]) -> Part:
        """Convert a part of the config to its kind's class, which must be of the wanted type."""
        kind = kind_of(self.kind)
        own: type[Any] = kind.get(name)
        if not issubclass(own, wanted):
            raise ChargenError(kind.wrong_kind.format(self.argument))
        return read_record(own, record, f"{self.path / 'config.json'} has no {name} that chargen knows")

    def tokenizer(self) -> Tokenizer:
        """The tokenizer the model was trained with; ChargenError if it does not fit the model."""
        config = self.path / "config.json"
        record = read_record(TokenizerRecord, self.config.get("tokenizer"), f"{config} names no tokenizer")
        file = tokenizer_file(record.kind)
        if record.file != file:
            raise ChargenError(f"{config} calls the tokenizer's file {record.file!r}, not {file!r}")
        tokenizer = load_tokenizer(record.kind, self.content(file))
        if tokenizer.vocab_size != (size := self.model_config(ModelConfig).encoder.vocab_size):
            raise ChargenError(
                f"{self.path / file} has {tokenizer.vocab_size:,} tokens, but the model {size:,}: the run is damaged"
            )
        return tokenizer

    def labels(self) -> list[str]:
        """A classifier's labels in the order of its logits; ChargenError if they do not fit its config."""
        path = self.path / "labels.json"
        labels = read_record(list[str], self._read_json("labels.json"), f"{path} is no list of labels")
        config, counts = self.model_config(ClassifierConfig), self.data(LabelledRecord).label_counts
        if len({*labels}) != len(labels) or len(labels) != config.num_labels:
            raise ChargenError(f"{path} has no list of {config.num_labels} different labels: the run is damaged")
        if counts is not None and labels != list(counts):
            raise ChargenError(f"{path} differs from the labels in config.json: the run is damaged")
        return labels

    def ngrams(self) -> NgramClassifier | None:
        """The n-gram classifier that a classifier is combined with, if any; ChargenError if its file is missing."""
        if not self.has(NGRAMS):
            if self.options.get("ngrams"):
                raise ChargenError(f"{self.path} lacks {NGRAMS}: it is no whole run of chargen; train it again")
            return None
        arrays, _ = self._tensors(NGRAMS)
        return NgramClassifier.of(arrays, len(self.labels()))

    def scales(self) -> np.ndarray:
        """Factors (2,) for the logits of a classifier's network and for those of its n-grams."""
        defaults = {} if "ngrams" in self.options else {SCALES: np.array([1.0, 0.0])}
        scales = {**defaults, **self._all_weights()}.get(SCALES)
        if scales is None or scales.shape != (2,) or not (np.isfinite(scales) & (scales >= 0)).all():
            raise ChargenError(f"{self.path / 'model.safetensors'} has no two {SCALES}: the run is damaged")
        return scales

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """For N held-out texts, the probability (N,) of the chosen label, and whether (N,) it was correct."""
        weights = self._all_weights()
        confidence, right = weights.get(CONFIDENCE, np.empty(0)), weights.get(RIGHT, np.empty(0)).astype(bool)
        if confidence.ndim != 1 or right.shape != confidence.shape or not (abs(confidence - 0.5) <= 0.5).all():
            raise ChargenError(f"{self.path / 'model.safetensors'} has no probabilities of texts: the run is damaged")
        return confidence, right

    def summary(self) -> dict[str, Any]:
        """How the training ended; empty until then."""
        if not self.has("summary.json"):
            return {}
        path = self.path / "summary.json"
        return read_record(dict[str, Any], self._read_json("summary.json"), f"{path} is no summary of a training")

    def metrics(self) -> list[dict[str, Any]]:
        """The evaluations so far, oldest first; ChargenError for a line that is none."""
        if not self.has("metrics.jsonl"):
            return []
        found: list[dict[str, Any]] = []
        for number, line in enumerate(self.content("metrics.jsonl").splitlines(), start=1):
            try:
                record = read_record(dict[str, Any], parse_json(line, "it"), "it is no object")
                read_record(Evaluation, record, "it is no evaluation")
            except ChargenError as error:
                raise ChargenError(
                    f"line {number} of {self.path / 'metrics.jsonl'} is no evaluation ({error}): delete the file, "
                    "which only keeps the history, and go on"
                ) from error
            found.append(record)
        return found

    def weights(self) -> Weights:
        """The best weights by name; ChargenError if any is missing, unknown or of the wrong shape."""
        weights = self._all_weights()
        for name in BESIDE_WEIGHTS:
            weights.pop(name, None)
        expected = weight_shapes(self.model_config(ModelConfig))
        for name in expected.keys() ^ weights.keys():
            problem = "lacks" if name in expected else "holds an unknown weight,"
            raise ChargenError(f"{self.path / 'model.safetensors'} {problem} {name}: it does not fit its config.json")
        for name, shape in expected.items():
            if weights[name].dtype != np.float32 or not np.isfinite(weights[name]).all():
                raise ChargenError(
                    f"{self.path / 'model.safetensors'}: {name} holds something else than finite numbers of 32 bits: "
                    "train the run again, or restore the file"
                )
            if weights[name].shape != shape:
                raise ChargenError(
                    f"{self.path / 'model.safetensors'}: {name} has shape {weights[name].shape}, "
                    f"but config.json says {shape}"
                )
        return weights

    @property
    def can_resume(self) -> bool:
        """Whether there is a training state to resume from."""
        return self.has(STATE)

    @property
    def has_weights(self) -> bool:
        """Whether the training has reached an evaluation, which saves the first weights."""
        return self.has("model.safetensors")

    def training_state(self) -> tuple[Weights, dict[str, Any]] | None:
        """Tensors and metadata last written by `save_training_state`, if any."""
        return self._tensors(STATE) if self.can_resume else None

    def save_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Replace the best weights and the arrays in BESIDE_WEIGHTS, which `scales` and `held_out` read."""
        save_tensors(self._there("model.safetensors"), weights, {})

    def save_training_state(self, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
        """Replace what `--resume` continues from: a single file, so that its parts always fit together."""
        save_tensors(self._there(STATE), tensors, metadata)

    def save_metrics(self, records: list[dict[str, Any]]) -> None:
        """Replace the evaluations so far; resuming from an earlier step drops later ones this way."""
        lines = "".join(json.dumps(record) + "\n" for record in records)
        write_atomically(self._there("metrics.jsonl"), lines.encode())

    def save_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace the record of how the training ended."""
        write_atomically(self._there("summary.json"), to_json(summary))

    def save_config(self, config: Mapping[str, Any]) -> Run:
        """Replace the config of a run that continues with a larger budget; return the run with it."""
        write_atomically(self._there("config.json"), to_json(config))
        return Run(self.path, dict(config))

    def _there(self, name: str) -> Path:
        """The path of a file to write; ChargenError if the folder is no longer there."""
        if not is_run(self.path):
            raise ChargenError(
                f"{self.path} was moved or deleted while it was trained, so nothing more is saved: if it is now "
                "elsewhere, go on there with --resume --out"
            )
        return self.path / name

    def _all_weights(self) -> Weights:
        """What `save_weights` wrote."""
        if not self.has_weights and self.has("summary.json"):
            raise ChargenError(
                f"{self.path / 'model.safetensors'} is missing: restore it from a copy, or go on training with "
                "--resume and a larger budget"
            )
        if not self.has_weights:
            raise ChargenError(f"{self.path} holds no weights yet: its training has not reached an evaluation")
        weights, _ = self._tensors("model.safetensors")
        return weights

    def has(self, name: str) -> bool:
        """Whether the run has a file of this name."""
        return (self.path / name).exists()

    def _tensors(self, name: str) -> tuple[Weights, dict[str, Any]]:
        return load_tensors(self.path / name)

    def content(self, name: str) -> bytes:
        """The bytes of a file; ChargenError if it is missing or is not what was written."""
        most = MOST_BYTES if name.endswith(".safetensors") else MOST_CONFIG
        return self._checked(name, read_file(self.path / name, most))

    def _checked(self, name: str, content: bytes) -> bytes:
        """The content of a file that is written once, if it is what was written."""
        digests = self.config.get("files")
        if isinstance(digests, dict) and digests.get(name, "") not in ("", digest(content)):
            raise ChargenError(f"{self.path / name} is damaged (its checksum is another one): restore the file")
        return content

    def _read_json(self, name: str) -> Any:
        return parse_json(self.content(name), str(self.path / name))


def is_run(path: Path) -> bool:
    """Whether a folder holds a run (or at least a config.json)."""
    try:
        return (path / "config.json").is_file()
    except OSError:  # a folder that may not be entered, a name that cannot be
        return False


def load_run(path: Path) -> Run:
    """Read the run in a folder.

    Raises:
        ChargenError: The folder holds no run, a damaged one, or one of another format version.
    """
    if not is_run(path):
        raise ChargenError(f"{path} is not a run of chargen: it has no config.json")
    config = parse_json(read_file(path / "config.json", MOST_CONFIG), str(path / "config.json"))
    if not isinstance(config, dict) or not is_kind(config.get("kind")):
        raise ChargenError(f"{path / 'config.json'} does not describe a run of chargen")
    if missing := [name for name in ("model", "tokenizer") if name not in config]:
        raise ChargenError(f"{path / 'config.json'} lacks {missing[0]}: the run is damaged or another program's")
    if (version := config.get("format_version")) != FORMAT_VERSION:
        raise ChargenError(
            f"{path} has format version {version}, but this chargen reads {FORMAT_VERSION}: use the "
            "version of chargen that wrote it, or train again"
        )
    return Run(path, config)


def is_path(name: str) -> bool:
    """Whether a name must be a path, because it has a separator.

    >>> is_path("runs/novel"), is_path("novel")
    (True, False)
    """
    return "/" in name or os.sep in name

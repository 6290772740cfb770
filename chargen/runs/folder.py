"""Weights to disk and back: the run folder, and the only code that knows its files.

    checkpoints/<name>/
        config.json          format version, kind, shape, tokenizer, data, every option, versions
        model.safetensors    the best weights by validation
        tokenizer.*          what turns text into ids; its name is the tokenizer's own
        labels.json          a classifier's labels, in the order of its logits
        ngrams.safetensors   a classifier's n-grams, which it is combined with
        metrics.jsonl        a record an evaluation
        summary.json         how the training ended
        training/            all that a resumed training needs

Every file is written beside its place and renamed into it, so that a reader, a full disk or a power cut meets the
old file or the new one. Nothing is pickled, and nothing here imports torch.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from chargen.errors import ChargenError
from chargen.kinds import is_kind, kind_of
from chargen.models.config import ClassifierConfig, ModelConfig, weight_shapes
from chargen.models.ngrams import NgramClassifier
from chargen.runs.files import (
    Weights,
    load_tensors,
    read_record,
    save_tensors,
    tensor_bytes,
    to_json,
    write_atomically,
)
from chargen.runs.formats import rename_options
from chargen.text.records import DataRecord, LabelledRecord
from chargen.text.tokenizers.base import Tokenizer
from chargen.text.tokenizers.registry import load_tokenizer

FORMAT_VERSION = 1
CHECKPOINTS = Path("checkpoints")
NGRAMS = "ngrams.safetensors"
SCALES, CONFIDENCE, RIGHT = "scales", "held_out.confidence", "held_out.right"
STATE = "training/state.safetensors"
FILES = ("model.safetensors", "labels.json", NGRAMS, "metrics.jsonl", "summary.json")  # beside config and tokenizer
BESIDE_WEIGHTS = (SCALES, CONFIDENCE, RIGHT)  # of a classifier

Config = TypeVar("Config", bound=ModelConfig)
Data = TypeVar("Data", bound=DataRecord)
Part = TypeVar("Part")


@dataclass(frozen=True)
class Run:
    """One training's folder, and its config as read once."""

    path: Path
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """What `-m` calls this run: its name under `checkpoints/`, or its path."""
        if self.path.parent.resolve() == CHECKPOINTS.resolve():
            return self.path.name
        return str(self.path) if is_path(str(self.path)) else f"./{self.path}"

    @property
    def kind(self) -> str:
        """One of `kinds.KINDS`."""
        return str(self.config["kind"])

    def model_config(self, kind: type[Config]) -> Config:
        """The shape of the model.

        Args:
            kind: The type that it must have; `ModelConfig` will do for any.

        Raises:
            ChargenError: The record does not describe a model that this version can build, or not one of this kind.
        """
        return self._part("model", self.config.get("model"), kind)

    def data(self, kind: type[Data]) -> Data:
        """What the run says of its data; arguments and errors as for `model_config`."""
        record = self.config.get("data")
        member: type[DataRecord] = kind_of(self.kind).get("data")
        return self._part("data", member.upgraded(record) if isinstance(record, dict) else record, kind)

    @property
    def options(self) -> dict[str, Any]:
        """The options as recorded, under the names that they have now; `training.options.options_of` reads them."""
        options = self.config.get("options", {})
        if not isinstance(options, dict):
            raise ChargenError(f"{self.path / 'config.json'} has no record of its options: the run is damaged")
        return rename_options(options)

    def _part(self, name: str, record: Any, wanted: type[Part]) -> Part:
        """A part of the config as its kind's record, if that has the type that is wanted."""
        kind = kind_of(self.kind)
        own: type[Any] = kind.get(name)
        if not issubclass(own, wanted):
            raise ChargenError(kind.wrong_kind.format(self.name))
        return read_record(own, record, f"{self.path / 'config.json'} has no {name} that chargen knows")

    def tokenizer(self) -> Tokenizer:
        """The tokenizer the model was trained with."""
        try:
            kind, file = self.config["tokenizer"]["kind"], self.config["tokenizer"]["file"]
        except (KeyError, TypeError) as error:
            raise ChargenError(f"{self.path / 'config.json'} names no tokenizer: the run is damaged") from error
        return load_tokenizer(kind, self._read(file))

    def labels(self) -> list[str]:
        """A classifier's labels in the order of its logits; ChargenError when they do not fit its config."""
        labels: list[str] = self._read_json("labels.json")
        config, counts = self.model_config(ClassifierConfig), self.data(LabelledRecord).label_counts
        is_list = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        if not is_list or len({*labels}) != len(labels) or len(labels) != config.num_labels:
            raise ChargenError(
                f"{self.path / 'labels.json'} has no list of {config.num_labels} different labels: the run is damaged"
            )
        if counts is not None and labels != list(counts):
            raise ChargenError(
                f"{self.path / 'labels.json'} differs from the labels in config.json: the run is damaged"
            )
        return labels

    def ngrams(self) -> NgramClassifier | None:
        """The n-gram classifier that a classifier is combined with, if there is one.

        ChargenError when its file is missing.
        """
        if not self._has(NGRAMS):
            if self.options.get("ngrams"):
                raise ChargenError(f"{self.path} lacks {NGRAMS}: it is no whole run of chargen; train it again")
            return None
        arrays, _ = self._tensors(NGRAMS)
        return NgramClassifier.of(arrays, len(self.labels()))

    def scales(self) -> np.ndarray:
        """What the logits of a classifier's network, and those of its n-grams, are multiplied by (2,)."""
        of_old = {} if "ngrams" in self.options else {SCALES: np.array([1.0, 0.0])}
        scales = {**of_old, **self._all_weights()}.get(SCALES)
        if scales is None or scales.shape != (2,):
            raise ChargenError(f"{self.path / 'model.safetensors'} has no two {SCALES}: the run is damaged")
        return scales

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """How sure a classifier was of the label (N,) of each text held out, and whether (N,) it was right."""
        weights = self._all_weights()
        return weights.get(CONFIDENCE, np.empty(0)), weights.get(RIGHT, np.empty(0)).astype(bool)

    def summary(self) -> dict[str, Any]:
        """How the training ended; empty while it has not."""
        return dict(self._read_json("summary.json")) if self._has("summary.json") else {}

    def metrics(self) -> list[dict[str, Any]]:
        """The evaluations so far, oldest first."""
        if not self._has("metrics.jsonl"):
            return []
        content = self._read("metrics.jsonl")
        try:
            return [json.loads(line) for line in content.decode().splitlines()]
        except ValueError as error:
            raise ChargenError(
                f"{self.path / 'metrics.jsonl'} is not valid ({error}): delete it and go on"
            ) from error

    def training_inputs(self) -> tuple[str, ...]:
        """What it was trained on, as it was named; ChargenError where that was standard input, which is gone."""
        inputs = tuple(map(str, self.options.get("inputs", ())))
        if "-" in inputs:
            raise ChargenError(
                f"{self.name} was trained on standard input, which is gone: name a text, or leave out what needs "
                "the run's own"
            )
        return inputs

    def check_unchanged(self, record: DataRecord) -> None:
        """ChargenError when the data of a record, read just now, are not those that the run was trained with."""
        known, options = self.data(DataRecord), self.options
        for now, then, inputs in (
            (record.fingerprint, known.fingerprint, options.get("inputs", ())),
            (record.validation, known.validation, options.get("val") or options.get("inputs", ())),
        ):
            if now and then and now != then:
                version = self.config.get("versions", {}).get("chargen", "?")
                raise ChargenError(
                    f"the text in {', '.join(inputs)} has changed since {self.name} was trained with it, or chargen "
                    f"{version} read it otherwise: bring the old one back, or train with the new one and --from "
                    f"{self.name}"
                )

    def weights(self) -> Weights:
        """The best weights by name; ChargenError names the first that is missing, foreign or of another shape."""
        weights = self._all_weights()
        for name in BESIDE_WEIGHTS:
            weights.pop(name, None)
        expected = weight_shapes(self.model_config(ModelConfig))
        for name in expected.keys() ^ weights.keys():
            problem = "lacks" if name in expected else "holds an unknown weight,"
            raise ChargenError(f"{self.path / 'model.safetensors'} {problem} {name}: it does not fit its config.json")
        for name, shape in expected.items():
            if weights[name].shape != shape:
                raise ChargenError(
                    f"{self.path / 'model.safetensors'}: {name} has shape {weights[name].shape}, "
                    f"but config.json says {shape}"
                )
        return weights

    @property
    def can_resume(self) -> bool:
        """Whether there is something to resume from."""
        return self._has(STATE)

    @property
    def has_weights(self) -> bool:
        """Whether its training has reached an evaluation."""
        return self._has("model.safetensors")

    def training_state(self) -> tuple[Weights, dict[str, Any]] | None:
        """Tensors and facts that `save_training_state` wrote last, or None where there are none."""
        return self._tensors(STATE) if self.can_resume else None

    def save_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Replace the best weights, and what BESIDE_WEIGHTS names, which are read by methods of their own."""
        save_tensors(self.path / "model.safetensors", weights, {})

    def save_training_state(self, tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Replace what `--resume` continues from: one file, so that its parts always belong together."""
        save_tensors(self.path / STATE, tensors, facts)

    def save_metrics(self, records: list[dict[str, Any]]) -> None:
        """Replace the evaluations so far; a run resumed from an earlier step forgets the later ones this way."""
        write_atomically(
            self.path / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in records).encode()
        )

    def save_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace the record of how the training ended."""
        write_atomically(self.path / "summary.json", to_json(summary))

    def save_config(self, config: Mapping[str, Any]) -> Run:
        """Replace the config, for a run that goes on with a larger budget; gives the run with it."""
        write_atomically(self.path / "config.json", to_json(config))
        return Run(self.path, dict(config))

    def _all_weights(self) -> Weights:
        """What `save_weights` wrote."""
        if not self.has_weights:
            raise ChargenError(f"{self.path} holds no weights yet: its training has not reached an evaluation")
        weights, _ = self._tensors("model.safetensors")
        return weights

    def _has(self, name: str) -> bool:
        return (self.path / name).exists()

    def _tensors(self, name: str) -> tuple[Weights, dict[str, Any]]:
        return load_tensors(self.path / name)

    def _read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError as error:
            raise ChargenError(f"{self.path} lacks {name}: it is no whole run of chargen; train it again") from error

    def _read_json(self, name: str) -> Any:
        content = self._read(name)
        try:
            return json.loads(content)
        except ValueError as error:
            raise ChargenError(f"{self.path / name} is not valid JSON ({error}): the run is damaged") from error

    def in_memory(self) -> RunInMemory:
        """The run as it is now, to be used when its folder is gone; ChargenError when it has no weights yet."""
        self._all_weights()  # raises where there are none
        names = (str(self.config["tokenizer"]["file"]), "config.json", *FILES)
        return RunInMemory(self.path, self.config, {name: self._read(name) for name in names if self._has(name)})


@dataclass(frozen=True)
class RunInMemory(Run):
    """A run without a folder: its files as bytes, all but those that only a resumed training needs. It pickles."""

    files: dict[str, bytes]

    def write(self, path: Path, *, overwrite: bool = False) -> Run:
        """Write the run's folder; ChargenError when something is there already and `overwrite` is not asked for."""
        return _write_folder(path, self.files, overwrite=overwrite)

    def _has(self, name: str) -> bool:
        return name in self.files

    def _read(self, name: str) -> bytes:
        if name not in self.files:
            raise ChargenError(f"the run lacks {name}: it is no whole run of chargen; train it again")
        return self.files[name]

    def _tensors(self, name: str) -> tuple[Weights, dict[str, Any]]:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            return load(self._read(name)), {}
        except SafetensorError as error:
            raise ChargenError(f"{name} is damaged ({error}): train the run again") from error


def create_run(
    path: Path,
    config: Mapping[str, Any],
    tokenizer: Tokenizer,
    labels: list[str] | None = None,
    ngrams: NgramClassifier | None = None,
    *,
    overwrite: bool = False,
) -> Run:
    """Begin a run's folder; ChargenError when one is there already and `overwrite` is not asked for.

    The folder is filled under another name first, so that it is there as a whole or not at all.
    """
    files = {tokenizer.file_name: tokenizer.to_bytes()}
    if labels is not None:
        files["labels.json"] = to_json(labels)
    if ngrams is not None:
        files[NGRAMS] = tensor_bytes(ngrams.arrays(), {})
    record = {
        "format_version": FORMAT_VERSION,
        **config,
        "tokenizer": {
            "kind": tokenizer.kind,
            "file": tokenizer.file_name,
            "vocab_size": tokenizer.vocab_size,
        },
    }
    return _write_folder(path, {**files, "config.json": to_json(record)}, overwrite=overwrite)


def _write_folder(path: Path, files: Mapping[str, bytes], *, overwrite: bool) -> Run:
    """A run's folder of these files by name, there as a whole or not at all; what it replaces goes last."""
    refuse_existing(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        unfinished.chmod(0o755)  # mkdtemp lets nobody else in
        for name, content in files.items():
            write_atomically(unfinished / name, content)
        if path.exists():
            replaced = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            path.replace(replaced / path.name)
            unfinished.replace(path)
            shutil.rmtree(replaced)
        else:
            unfinished.replace(path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return load_run(path)


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise ChargenError if a new run at `path` would destroy a run, or anything else."""
    ours = _is_ours(path)
    if ours and not overwrite:
        raise ChargenError(
            f"{path} already holds a run: --resume continues it, --overwrite replaces it, --out names another folder"
        )
    if path.exists() and not ours and (not path.is_dir() or any(path.iterdir())):
        raise ChargenError(f"{path} exists and is no run of chargen: name another folder with --out")


def _is_ours(path: Path) -> bool:
    """Whether chargen wrote a folder, be it of another version: other programs have a config.json too."""
    try:
        config = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "format_version" in config and is_kind(config.get("kind"))


def is_run(path: Path) -> bool:
    """Whether a folder holds a run."""
    return (path / "config.json").is_file()


def load_run(path: Path) -> Run:
    """The run in a folder; ChargenError when it is none, or of a newer format."""
    if not is_run(path):
        raise ChargenError(f"{path} is not a run of chargen: it has no config.json")
    config = Run(path, {})._read_json("config.json")
    if not isinstance(config, dict) or not is_kind(config.get("kind")):
        raise ChargenError(f"{path / 'config.json'} does not describe a run of chargen")
    if missing := [name for name in ("model", "tokenizer") if name not in config]:
        raise ChargenError(f"{path / 'config.json'} lacks {missing[0]}: the run is damaged or another program's")
    if config.get("format_version") != FORMAT_VERSION:
        raise ChargenError(
            f"{path} has format version {config.get('format_version')}, but this chargen reads {FORMAT_VERSION}: "
            "use the version of chargen that wrote it, or train again"
        )
    return Run(path, config)


def is_path(name: str) -> bool:
    """Whether a name can only be a path: it has a separator."""
    return "/" in name or os.sep in name

"""The run folder: what is saved is what is loaded, whole or not at all, and what is broken is said."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import edit_json, random_weights, write_run

from chargen.errors import ChargenError
from chargen.kinds import CLASSIFIER, LANGUAGE_MODEL
from chargen.models.config import ClassifierConfig, EncoderConfig, LanguageModelConfig, ModelConfig
from chargen.runs.create import refuse_existing
from chargen.runs.folder import Run, load_run
from chargen.text.tokenizers.byte import ByteTokenizer
from chargen.text.tokenizers.char import CharTokenizer

TOKENIZER = CharTokenizer("\nabé")
MODEL = LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, "lstm", 2, 5, 5), tied=True)
LABELLED = ClassifierConfig(EncoderConfig(TOKENIZER.vocab_size, "rnn", 1, 5, 4, True), 2, "concat")
WEIGHTS = random_weights(MODEL)


def make(path: Path, *, overwrite: bool = False) -> Run:
    return write_run(path, MODEL, TOKENIZER, WEIGHTS, overwrite=overwrite)


def make_classifier(path: Path) -> Run:
    return write_run(path, LABELLED, TOKENIZER, labels=["ä", "b"])


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    make(tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.model_config(ModelConfig) == MODEL
    assert run.tokenizer().encode("béa").tolist() == TOKENIZER.encode("béa").tolist()
    assert all(np.array_equal(run.weights()[name], weight) for name, weight in WEIGHTS.items())
    assert run.summary() == {} and run.metrics() == [] and run.training_state() is None


def test_a_classifier_keeps_its_labels_and_shape(tmp_path: Path) -> None:
    make_classifier(tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert (run.kind, run.labels(), run.model_config(ModelConfig)) == (CLASSIFIER, ["ä", "b"], LABELLED)


def test_training_state_is_one_file_of_tensors_and_facts(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    tensors: dict[str, np.ndarray] = {"a": np.arange(6, dtype=np.uint8)[::2], "b": np.array(1.5, np.float32)}
    run.save_training_state(tensors, {"step": 3, "best": None})
    loaded = run.training_state()
    assert loaded is not None
    assert loaded[1] == {"step": 3, "best": None}
    assert all(np.array_equal(loaded[0][name], tensor) for name, tensor in tensors.items())


def test_no_file_is_a_pickle(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    run.save_training_state({"a": np.zeros(2)}, {})
    for path in run.path.rglob("*"):
        assert path.is_dir() or path.suffix in (".json", ".jsonl", ".safetensors", ".model")


@pytest.mark.parametrize("save", ["weights", "state", "summary", "metrics", "config"])
def test_a_write_that_fails_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: str
) -> None:
    run = make(tmp_path / "run")
    run.save_training_state({"a": np.zeros(2)}, {"step": 1})
    run.save_summary({"val_loss": 1.0})
    run.save_metrics([{"step": 1}])
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    saves: dict[str, Callable[[], object]] = {
        "weights": lambda: run.save_weights({name: weight + 1 for name, weight in WEIGHTS.items()}),
        "state": lambda: run.save_training_state({"a": np.ones(2)}, {"step": 2}),
        "summary": lambda: run.save_summary({"val_loss": 2.0}),
        "metrics": lambda: run.save_metrics([]),
        "config": lambda: run.save_config({}),
    }
    with pytest.raises(OSError, match="No space"):
        saves[save]()
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_an_existing_run_is_kept_or_replaced_as_a_whole(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    run.save_summary({"val_loss": 1.0})
    with pytest.raises(ChargenError, match="--resume continues it, --overwrite replaces it"):
        make(run.path)
    make(run.path, overwrite=True)
    assert run.summary() == {}


def test_a_folder_of_something_else_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "photos" / "config.json").write_text('{"model_type": "bert"}')  # as other programs have
    for overwrite in (False, True):
        with pytest.raises(ChargenError, match="is no run of chargen"):
            make(tmp_path / "photos", overwrite=overwrite)
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"cat"


def rewrite(run: Run, **changes: object) -> None:
    edit_json(run.path / "config.json", lambda config: config.update(changes))


def test_broken_configs_are_said(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    rewrite(run, format_version=99)
    with pytest.raises(ChargenError, match="format version 99, but this chargen reads 1"):
        load_run(run.path)
    kinds: list[Any] = ["transformer", ["language-model"], {}, None]
    for kind in kinds:
        rewrite(run, kind=kind)
        with pytest.raises(ChargenError, match="does not describe a run"):
            load_run(run.path)
        with pytest.raises(ChargenError, match="is no run of chargen"):
            refuse_existing(run.path, overwrite=True)
    rewrite(run, kind=LANGUAGE_MODEL, format_version=1, model={"layers": 3})
    with pytest.raises(ChargenError, match="has no model that chargen knows"):
        load_run(run.path).model_config(ModelConfig)
    (run.path / "config.json").write_text("{")
    with pytest.raises(ChargenError, match="is not valid JSON"):
        load_run(run.path)
    with pytest.raises(ChargenError, match=r"has no config\.json"):
        load_run(tmp_path)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    run.save_weights({name: weight for name, weight in WEIGHTS.items() if name != "projection.bias"})
    with pytest.raises(ChargenError, match=r"lacks projection\.bias"):
        run.weights()
    run.save_weights(WEIGHTS | {"attention": np.zeros(1, np.float32)})
    with pytest.raises(ChargenError, match="unknown weight, attention"):
        run.weights()
    run.save_weights(WEIGHTS | {"projection.bias": np.zeros(3, np.float32)})
    with pytest.raises(ChargenError, match=r"projection\.bias has shape \(3,\), but config.json says \(7,\)"):
        run.weights()


def test_damaged_and_missing_files_are_said(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    content = (run.path / "model.safetensors").read_bytes()
    (run.path / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ChargenError, match="is damaged"):
        run.weights()
    (run.path / "model.safetensors").unlink()
    with pytest.raises(ChargenError, match="holds no weights yet"):
        run.weights()
    (run.path / "tokenizer.json").unlink()
    with pytest.raises(ChargenError, match=r"lacks tokenizer\.json"):
        run.tokenizer()


def test_another_tokenizers_file_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    (run.path / "tokenizer.json").write_bytes(ByteTokenizer().to_bytes())
    with pytest.raises(ChargenError, match="its checksum is another one"):
        run.tokenizer()
    edit_json(run.path / "config.json", lambda config: None)
    with pytest.raises(ChargenError, match="kind is 'byte'"):
        load_run(run.path).tokenizer()

"""A saved state that does not fit the live model is refused before anything of it is taken up."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import edit_json
from commands import call

from chargen.runs.folder import load_run

SHAPE = "--num-layers 1 --hidden-size 6 --embedding-size 4 --steps 3 --device cpu --quiet"
Tensors = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CHARGEN_DATA", str(folder / "data"))
        Path("book.txt").write_text("a cat sat on a mat.\n" * 60)
        call("train", "book.txt", *SHAPE.split(), "--out", "run")
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(trained / "run", tmp_path / "run")
    monkeypatch.chdir(trained)
    return tmp_path / "run"


def change(path: Path, edit: Callable[[Tensors, dict[str, Any]], object]) -> None:
    saved = load_run(path).training_state()
    assert saved is not None
    edit(*saved)
    load_run(path).save_training_state(*saved)


def refusal(run: Path) -> str:
    before = (run / "model.safetensors").read_bytes()
    said = call("train", "--resume", "--out", str(run), "--steps", "6", "--quiet", code=1).stderr
    assert (run / "model.safetensors").read_bytes() == before
    return said


def names(run: Path) -> list[str]:
    saved = load_run(run).training_state()
    assert saved is not None
    return sorted(saved[0])


def test_an_untouched_state_goes_on(run: Path) -> None:
    call("train", "--resume", "--out", str(run), "--steps", "6", "--quiet")
    assert load_run(run).summary()["steps"] == 6


def test_every_tensor_is_compared(run: Path, tmp_path: Path) -> None:
    for name in names(run):
        if name == "random.cuda":
            continue
        for edit in (
            lambda tensors, _, name=name: tensors.update({name: tensors[name].reshape(-1)[:1].repeat(2)}),
            lambda tensors, _, name=name: tensors.update({name: tensors[name].astype(np.float16)}),
            lambda tensors, _, name=name: tensors.pop(name),
        ):
            kept = (run / "training/state.safetensors").read_bytes()
            change(run, edit)
            said = refusal(run)
            assert name in said and "--from" in said
            (run / "training/state.safetensors").write_bytes(kept)


def test_an_unknown_tensor_is_refused(run: Path) -> None:
    change(run, lambda tensors, _: tensors.update({"optimizer.0.99.exp_avg": np.zeros(3, np.float32)}))
    assert "has an unknown optimizer.0.99.exp_avg" in refusal(run)


def test_the_state_of_another_optimizer_is_refused(run: Path) -> None:
    assert load_run(run).config["options"]["optimizer"] == "muon"
    edit_json(run / "config.json", lambda config: config["options"].update(optimizer="adamw"))
    assert "cannot be resumed" in refusal(run)


@pytest.mark.parametrize(
    "facts",
    [
        {"rollbacks": 10**10},
        {"rollbacks": -1},
        {"step": -3},
        {"step": "3"},
        {"tokens": None},
        {"seconds": math.nan},
    ],
    ids=str,
)
def test_numbers_that_no_training_comes_to_are_refused(run: Path, facts: dict[str, Any]) -> None:
    change(run, lambda _, progress: progress.update(facts))
    assert "state.safetensors" in refusal(run)

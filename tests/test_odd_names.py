"""Files whose names are no UTF-8 are files like others: trained on, resumed, measured, recorded."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from builders import SENTENCE
from commands import SMALL, SMALL_CLASSIFIER, call, refused

ODD = os.fsdecode(b"caf\xe9") if sys.platform == "linux" else "café"  # a name that is no UTF-8, where one can be
STEPS = ("--steps", "3", *SMALL)


@pytest.fixture
def folder(workplace: Path) -> Path:
    """The current folder, in one with an odd name, with a text and a table that have odd names too."""
    folder = workplace / ODD
    folder.mkdir()
    shutil.copy("book.txt", folder / f"{ODD}.txt")
    shutil.copy("reviews.csv", folder / f"{ODD}.csv")
    os.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "extra", [(), ("--val", f"{ODD}.txt"), ("--documents", "line"), ("--tokenizer", "bpe", "--vocab-size", "270")],
)  # fmt: skip
def test_a_language_model(folder: Path, extra: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    call("train", f"{ODD}.txt", *extra, *STEPS)
    run = Path("checkpoints", ODD)
    assert json.loads((run / "config.json").read_text("utf-8"))["options"]["inputs"] == [f"{ODD}.txt"]
    call("train", "--resume", "-o", str(run), "--steps", "5")
    for model in ("-m", ODD), ("-m", str(run.absolute())), ():
        record = json.loads(call("evaluate", *model, "--json").stdout)
        assert record["model"] == ODD
        call("evaluate", *model, f"{ODD}.txt", "--dynamic")
        call("sample", *model, "-l", "20", "--originality")
    monkeypatch.chdir(folder.parent)
    call("evaluate", "-m", str(folder / run))
    monkeypatch.chdir(folder)
    assert all(line.startswith("whole") for line in call("check", "-m", ODD).stdout.splitlines())
    call("train", "--config", str(run / "config.json"), "-o", "again")
    call("train", f"{ODD}.txt", "--from", ODD, "--steps", "2", "-o", f"again-{ODD}")
    Path(f"{ODD}.txt").write_text(SENTENCE * 30)
    assert "has changed" in refused("evaluate", "-m", ODD)
    assert "already holds a run" in refused("train", f"{ODD}.txt", *STEPS)


@pytest.mark.skipif(ODD == "café", reason="all names are UTF-8")
def test_tensorboard_needs_another_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert "name another folder with --out" in refused("train", f"{ODD}.txt", "--log", "tensorboard", *STEPS)
    plain = tmp_path_factory.mktemp("plain") / "run"
    call("train", f"{ODD}.txt", "--log", "tensorboard", *STEPS, "-o", str(plain))
    assert any((plain / "tensorboard").iterdir())


def test_a_classifier(folder: Path) -> None:
    call("train", f"{ODD}.csv", *SMALL_CLASSIFIER)
    call("train", "--resume", "-o", f"checkpoints/{ODD}", "--steps", "5")
    call("evaluate", "--plot", f"{ODD}.png", "--mistakes", "1", "--explain")
    assert Path(f"{ODD}.png").exists()
    assert len(call("classify", "--file", f"{ODD}.csv").stdout.splitlines()) == 61
    assert json.loads(call("corpus", "stats", f"{ODD}.csv", "--json").stdout)["characters"] > 0


def test_labels_that_are_names_of_folders_and_files(folder: Path) -> None:
    for label in (ODD, "b"):
        Path("folders", label).mkdir(parents=True)
        for number in range(9):
            Path("folders", label, f"{ODD}{number}").write_text(f"{'good' if label == 'b' else 'bad'} {number}")
        Path("lines").mkdir(exist_ok=True)
        Path("lines", f"{label}.txt").write_text(f"{'good' if label == 'b' else 'bad'}\nyes {label == 'b'}\n" * 9)
    for inputs in ("folders", "lines"):
        call("train", inputs, *SMALL_CLASSIFIER)
        call("train", "--resume", "-o", f"checkpoints/{inputs}", "--steps", "5")
        rows = json.loads(call("evaluate", "-m", inputs, "--json").stdout)["labels"]
        assert {row["label"] for row in rows} == {ODD, "b"}
        answer = json.loads(call("classify", "-m", inputs, "bad", "--json").stdout)
        assert answer["probabilities"].keys() == {ODD, "b"}
        call("evaluate", "-m", inputs, "--plot", "plot.png")

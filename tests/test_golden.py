"""Runs that earlier versions wrote go on working: the first format, and the one before options were renamed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import call

from chargen.runs.folder import load_run
from chargen.training.options import ClassifierOptions, LanguageModelOptions, options_of

GOLDEN = Path(__file__).parent / "golden"
WRITTEN = {  # what their own versions wrote and measured
    "first": ("deolb\n\nnolmkun\no\nmaoibe\n llkduullld midioud\n", 2.756086577230425),
    "before-renaming": ("deolb\n\nnulmkun\no\nmaokde\n lllduumlmd midioud\n", 2.7291086396174644),
}
LABELLED = {
    "first": [("unsure", 0.55441), ("unsure", 0.52195)],
    "before-renaming": [("unsure", 0.93019), ("glad", 0.94401)],
}


@pytest.fixture(autouse=True)
def _copy(tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(GOLDEN, tmp_path / "golden")
    monkeypatch.chdir(tmp_path / "golden")


@pytest.mark.parametrize("version", WRITTEN)
def test_a_language_model_writes_and_is_measured_as_it_was(version: str) -> None:
    text, nats = WRITTEN[version]
    run = f"./{version}-language-model"
    assert call("sample", "-m", run, "deo", "--seed", "0", "--length", "40").stdout == text
    assert json.loads(call("evaluate", "-m", run, "--json").stdout)["nats_per_token"] == pytest.approx(nats, abs=1e-5)


@pytest.mark.parametrize("version", LABELLED)
def test_a_classifier_labels_as_it_did(version: str) -> None:
    said = call("classify", "-m", f"./{version}-classifier", "deo un?", "laaek!", "--json").stdout.splitlines()
    verdicts = [(found["label"], max(found["probabilities"].values())) for found in map(json.loads, said)]
    assert [label for label, _ in verdicts] == [label for label, _ in LABELLED[version]]
    assert [share for _, share in verdicts] == pytest.approx([share for _, share in LABELLED[version]], abs=1e-4)


def test_options_have_their_new_names() -> None:
    made = options_of(load_run(Path("first-language-model")), LanguageModelOptions)
    assert (made.num_layers, made.hidden_size, made.embedding_size, made.batch_size) == (2, 6, 4, 2)
    assert made.sequence_length == 64
    assert options_of(load_run(Path("before-renaming-classifier")), ClassifierOptions).hidden_size == 6


@pytest.mark.parametrize("kind", ["language-model", "classifier"])
def test_runs_from_before_the_renaming_are_resumed_and_replayed(kind: str) -> None:
    run = f"before-renaming-{kind}"
    call("train", "--resume", "--out", run, "--steps", "12", "--quiet")
    assert load_run(Path(run)).summary()["steps"] == 12
    assert load_run(Path(run)).config["options"]["hidden_size"] == 6
    call("train", "--config", f"{run}/config.json", "--hidden-size", "5", "--out", "again", "--quiet")
    assert options_of(load_run(Path("again")), LanguageModelOptions if kind != "classifier" else ClassifierOptions)


def test_a_first_run_that_cannot_be_resumed_says_so() -> None:
    for run in ("first-language-model", "first-classifier"):
        said = call("train", "--resume", "--out", run, "--steps", "12", code=1).stderr
        assert "--from" in said and "unexpectedly" not in said


@pytest.mark.parametrize("kind", ["language-model", "classifier"])
def test_a_first_run_is_a_source_to_start_from(kind: str) -> None:
    task, inputs = ("classify", "moods.csv") if kind == "classifier" else ("language-model", "verse.txt")
    call("train", inputs, "--task", task, "--from", f"./first-{kind}", "--steps", "3", "--out", "next", "--quiet")
    assert load_run(Path("next")).summary()["steps"] == 3

"""Runs are found by name, path and age, and what is not found is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from builders import write_run

from chargen.errors import ChargenError
from chargen.kinds import CLASSIFIER, LANGUAGE_MODEL
from chargen.models.config import ClassifierConfig, EncoderConfig, LanguageModelConfig
from chargen.runs.lock import training_lock
from chargen.runs.search import find_run, runs
from chargen.text.tokenizers.char import CharTokenizer

TOKENIZER = CharTokenizer("ab")
MODEL = LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, "rnn", 1, 5, 4))
LABELLED = ClassifierConfig(EncoderConfig(TOKENIZER.vocab_size, "rnn", 1, 5, 4), 2)


def test_runs_are_found_by_name_path_and_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    old, new = (write_run(Path("checkpoints") / name, MODEL, TOKENIZER) for name in ("old", "new"))
    labelled = write_run(Path("checkpoints/labelled"), LABELLED, TOKENIZER, labels=["x", "y"])
    for age, run in enumerate((labelled, new, old)):
        os.utime(run.path / "config.json", (1e9 - age, 1e9 - age))
    assert [run.name for run in runs()] == ["labelled", "new", "old"]
    assert find_run(None).name == "labelled"
    assert find_run(None, LANGUAGE_MODEL).name == "new"
    assert find_run("old").path == find_run("checkpoints/old").path
    assert find_run(str(tmp_path / "checkpoints" / "old")).name == "old"
    (tmp_path / "checkpoints" / "broken").mkdir()
    (tmp_path / "checkpoints" / "broken" / "config.json").write_text("{")
    assert len(list(runs())) == 3
    with pytest.raises(ChargenError, match="there are: labelled, new, old"):
        find_run("newest")
    with pytest.raises(ChargenError, match="writes no text: use `chargen classify -m labelled`"):
        find_run("labelled", LANGUAGE_MODEL)
    with pytest.raises(ChargenError, match="knows no labels"):
        find_run("new", CLASSIFIER)


def test_a_folder_that_lost_its_config_and_a_mistyped_name_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("checkpoints/book"), MODEL, TOKENIZER)
    with pytest.raises(ChargenError, match=r"\(did you mean book\?\); there are: book"):
        find_run("bok")
    Path("checkpoints/book/config.json").unlink()
    with pytest.raises(ChargenError, match=r"no config\.json"):
        find_run("book")


def test_without_runs_the_way_to_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ChargenError, match="make one with `chargen train --task classify`"):
        find_run(None, CLASSIFIER)


def test_a_run_that_was_to_be_replaced_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process was killed between its two renames: the old run is hidden, and the new one is not yet there."""
    monkeypatch.chdir(tmp_path)
    run = write_run(Path("checkpoints/run"), MODEL, TOKENIZER)
    hidden, unfinished = Path("checkpoints/.run.old/run"), Path("checkpoints/.run.new")
    hidden.parent.mkdir()
    run.path.rename(hidden)
    write_run(unfinished, MODEL, TOKENIZER)
    with training_lock(run.path), pytest.raises(ChargenError, match="no run called 'run'"):
        find_run("run")
    assert find_run("run").weights().keys() == run.weights().keys()
    assert [path.name for path in Path("checkpoints").iterdir()] == ["run"]

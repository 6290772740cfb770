"""Starting: the folder that a training leaves, what is refused before it, and what is told of the text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import SENTENCE
from trainings import notes_of, run_of, small

from chargen.errors import ChargenError
from chargen.runs.folder import load_run
from chargen.text.packed import COMPRESSED
from chargen.training.options import LanguageModelOptions, Options, options_of
from chargen.training.start import default_folder, start

pytestmark = pytest.mark.usefixtures("data_folder")


def test_a_run_folder_holds_what_the_contract_says(text: str, tmp_path: Path) -> None:
    run = run_of(start(small(text), tmp_path / "run"))
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "metrics.jsonl",
        "summary.json",
        "training",
    }
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary.keys() >= {
        "val_loss",
        "val_bpc",
        "parameters",
        "seconds",
        "tokens",
        "tokens_per_second",
        "stopped",
    }
    assert summary["val_bpc"] == pytest.approx(summary["val_loss"] / math.log(2))
    assert summary["parameters"] == sum(weight.size for weight in run.weights().values())
    assert summary["stopped"] == "budget spent"
    assert load_run(run.path).config["options"]["hidden_size"] == 12
    assert len(run.metrics()) == 10


def test_characters_without_a_symbol_are_told_and_where_they_are(text: str, tmp_path: Path) -> None:
    other, new = tmp_path / "other.txt", tmp_path / "new.txt"
    other.write_text((SENTENCE + "ß") * 10, encoding="utf-8")
    new.write_text((SENTENCE + "Ü") * 30, encoding="utf-8")
    first = tmp_path / "first"
    told = notes_of(start(small(text, val=(str(other),)), first))
    assert (
        "1 characters ('ß') of the validation text are not in the vocabulary and become the unknown token: 10 pl"
        in told
    )
    assert "are rarer than" in notes_of(start(small(str(new), min_frequency=100, steps=1), tmp_path / "rare"))
    from_first = LanguageModelOptions(
        inputs=(str(new),), start_from=str(first), steps=1, batch_size=4, sequence_length=8, device="cpu"
    )
    assert f"('Ü') are new to {first}" in notes_of(start(from_first, tmp_path / "second"))


def test_a_run_is_not_overwritten_unasked(text: str, tmp_path: Path) -> None:
    run = run_of(start(small(text), tmp_path / "run"))
    with pytest.raises(ChargenError, match="already holds a run: --resume"):
        list(start(small(text, steps=5), run.path))
    assert run.summary()["steps"] == 30
    list(start(small(text, steps=5), run.path, overwrite=True))
    assert run.summary()["steps"] == 5


def test_options_that_cannot_be_leave_the_old_run_alone(text: str, tmp_path: Path) -> None:
    run = run_of(start(small(text), tmp_path / "run"))
    with pytest.raises(ChargenError, match="tied weights need"):
        list(start(small(text, tied=True), run.path, overwrite=True))
    assert run.summary()["steps"] == 30


def test_documents_begin_and_end(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(["anna", "bert", "carla", "dora"] * 40), encoding="utf-8")
    run = run_of(start(small(str(names), documents="line"), tmp_path / "run"))
    assert run.config["data"]["documents"] == "line"
    assert run.config["data"]["tokens"] == run.config["data"]["characters"] + 160  # a begin symbol each


@pytest.mark.parametrize("tokenizer", ["byte", "bpe", "unigram"])
def test_bits_per_character_compare_across_tokenizers(text: str, tmp_path: Path, tokenizer: str) -> None:
    vocab_size = None if tokenizer == "byte" else 270
    run = run_of(start(small(text, tokenizer=tokenizer, vocab_size=vocab_size), tmp_path / "run"))
    summary, data = run.summary(), run.config["data"]
    ratio = data["tokens"] / data["characters"]
    assert summary["val_bpc"] == pytest.approx(summary["val_loss"] / math.log(2) * ratio, rel=0.1)


def test_a_text_to_validate_on_is_used_whole_and_the_input_too(text: str, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("the rat\n" * 10, encoding="utf-8")
    run = run_of(start(small(text, val=(str(other),)), tmp_path / "run"))
    assert run.config["data"]["tokens"] == 40 * len(SENTENCE)
    with pytest.raises(ChargenError, match="contradict"):
        list(start(small(text, val=(str(other),), val_fraction=0.2), tmp_path / "again"))


@pytest.mark.parametrize(
    ("content", "message"),
    [("short", "too few to train"), ("", "no text in")],
)
def test_texts_that_are_too_short_are_refused_and_leave_nothing(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "tiny.txt"
    path.write_text(content)
    with pytest.raises(ChargenError, match=message):
        list(start(small(str(path)), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_short_text_is_not_read_for_ever_and_says_so(text: str, tmp_path: Path) -> None:
    options = replace(small(text, minutes=0.5), steps=None, batch_size=None, sequence_length=None)
    events = list(start(options, tmp_path / "run"))
    notes = notes_of(events)
    made = options_of(run_of(events), Options)
    assert made.epochs is not None and f"the text is read {made.epochs:g} times at most" in notes
    summary = run_of(events).summary()
    assert summary["stopped"] == "budget spent" and summary["tokens"] <= made.epochs * len(SENTENCE) * 40
    asked = list(start(replace(options, epochs=1.0), tmp_path / "asked"))
    assert "times at most" not in notes_of(asked)


def test_a_short_text_shrinks_streams_and_window_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text(SENTENCE * 2)
    events = list(start(small(str(path), steps=5, batch_size=64, sequence_length=64), tmp_path / "run"))
    notes = notes_of(events)
    assert "the text is short" in notes
    assert run_of(events).config["options"]["batch_size"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "warp"}, "device 'warp' cannot be used"),
        ({"val_fraction": 0.0}, "--val"),
        ({"start_from": "nowhere"}, "no run called 'nowhere'"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_written(
    text: str, tmp_path: Path, changes: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ChargenError, match=message):
        list(start(small(text, **changes), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("book.txt", "book"),
        *((f"a/b/c.txt{suffix}", "c") for suffix in COMPRESSED),
        ("a/C.TXT.GZ", "C"),
        ("books.zip", "books"),
        ("-", "stdin"),
        ("texts/*.md", "text"),
        ("python-docs", "python-docs"),
    ],
)
def test_a_run_is_named_after_its_input(given: str, expected: str) -> None:
    options: Options = LanguageModelOptions(inputs=(given,))
    assert default_folder(options) == Path("checkpoints", expected)

"""`chargen evaluate` needs texts as they were in training: to hold out the same part, and to adapt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import SENTENCE, edit_json
from commands import SMALL, call, refused

from chargen.text.labelled_data import LabelledSettings, load_labelled

pytestmark = pytest.mark.usefixtures("workplace")


def test_a_model_that_adapts_reads_better_and_needs_its_training_text() -> None:
    call("train", "book.txt", "--steps", "20", *SMALL)
    Path("other.txt").write_text("a hat on a cat on a mat.\n" * 60)
    plain, dynamic = (
        json.loads(call("evaluate", "other.txt", "--json", *more).stdout)["bits_per_character"]
        for more in ((), ("--dynamic", "--dynamic-rate", "0.003"))
    )
    assert dynamic < plain
    assert "has no use without --dynamic" in refused("evaluate", "--dynamic-rate", "0.1", code=2)
    assert "needs a rate from 1e-12 to 1e12" in refused("evaluate", "other.txt", "--dynamic", "--dynamic-rate", "-1")
    Path("book.txt").unlink()
    assert "'book.txt'" in refused("evaluate", "other.txt", "--dynamic")


def test_a_text_that_was_edited_is_not_the_one_that_was_held_out() -> None:
    call("train", "book.txt", "--steps", "3", *SMALL)
    call("train", "reviews.csv", "--task", "classify", "--steps", "3", "--hidden-size", "4")
    call("evaluate", "-m", "book")
    call("evaluate", "-m", "reviews")
    # As the first runs were written.
    edit_json(Path("checkpoints/book/config.json"), lambda config: config["data"].pop("validation"))
    call("evaluate", "-m", "book")
    Path("book.txt").write_text("Q!" + SENTENCE * 40)
    Path("reviews.csv").write_text(Path("reviews.csv").read_text() + "good 31,pos\n")
    Path("other.txt").write_text(SENTENCE * 30)
    for name, file in (("book", "book.txt"), ("reviews", "reviews.csv")):
        assert f"the text in {file} has changed since {name} was trained with it" in refused("evaluate", "-m", name)
    assert "has changed since" in refused("evaluate", "-m", "book", "other.txt", "--dynamic")
    held_out = load_labelled(LabelledSettings(("reviews.csv",))).validation.texts[0]
    call("train", "reviews.csv", "--task", "classify", "--steps", "3", "--hidden-size", "4", "--overwrite")
    Path("reviews.csv").write_text(Path("reviews.csv").read_text().replace(f"{held_out},", f"{held_out}!,"))
    assert "the text in reviews.csv has changed since" in refused("evaluate", "-m", "reviews")
    call("evaluate", "-m", "book", "other.txt")


def test_adapting_reads_the_training_text_as_training_did() -> None:
    Path("book.txt").write_text(SENTENCE.replace("cat", "kätzchen") * 40, encoding="utf-8")
    Path("other.txt").write_text(SENTENCE.replace("cat", "kätzchen") * 30, encoding="latin-1")
    call("train", "book.txt", "--steps", "3", *SMALL)
    call("evaluate", "other.txt", "--encoding", "latin-1", "--dynamic")
    call("train", "-", "--out", "piped", "--steps", "3", *SMALL, given=SENTENCE * 40)
    sentence = refused("evaluate", "-m", "./piped", "book.txt", "--dynamic")
    assert "was trained on standard input, which is gone: name a text, or leave out what needs" in sentence

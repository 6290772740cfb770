"""`evaluate` on labels: figures that agree with each other, mistakes, n-grams and a plot."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import call

SMALL = ("--steps", "3", "--hidden-size", "4", "--batch-size", "8", "--device", "cpu", "--quiet")
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `mail`, `plain` (without n-grams) and the language model `book` are."""
    folder = tmp_path_factory.mktemp("runs")
    for name, first in (("mail.csv", 0), ("new.csv", 40)):
        rows = [
            f'"{word}\nfilm {n}",{"$so$" if n % 6 == 0 else label}'
            for n in range(first, first + 40)
            for word, label in (("good", "$so$"), ("poor", "neg"))
        ]
        (folder / name).write_text("text,label\n" + "\n".join(rows) + "\n")
    (folder / "book.txt").write_text("a b c\n" * 300)
    call("train", str(folder / "mail.csv"), "--task", "classify", *SMALL, "-o", str(folder / "mail"))
    call("train", str(folder / "mail.csv"), "--task", "classify", "--no-ngrams", *SMALL, "-o", str(folder / "plain"))
    call("train", str(folder / "book.txt"), *SMALL, "-o", str(folder / "book"))
    return folder


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def figures(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call("evaluate", *arguments, "--json").stdout)
    return found


def test_figures_agree_with_each_other() -> None:
    found = figures("-m", "./mail", "new.csv", "--mistakes", "1000")
    low, high = found["accuracy_interval"]
    assert 0 <= low < found["accuracy"] < high <= 1
    curve = found["calibration"]
    assert sum(row["texts"] for row in curve) == found["examples"] == 80
    assert sum(row["texts"] * row["accuracy"] for row in curve) / 80 == pytest.approx(found["accuracy"])
    gaps = sum(row["texts"] * abs(row["accuracy"] - row["confidence"]) for row in curve) / 80
    assert found["calibration_error"] == pytest.approx(gaps)
    assert found["calibration_error_by_chance"] > 0 and found["loss"] > 0
    assert all(row["low"] <= row["confidence"] <= row["high"] for row in curve)
    for part in ("network", "ngrams"):
        assert set(found[part]) == {"accuracy", "macro_f1", "loss"}
    assert found["ngrams"]["accuracy"] >= 0.8
    wrong = found["mistakes"]
    assert len(wrong) == sum(found["confusion"][0][1:]) + found["confusion"][1][0] > 0
    assert all(row["label"] != row["truth"] and "\n" in row["text"] for row in wrong)
    assert [row["probability"] for row in wrong] == sorted((row["probability"] for row in wrong), reverse=True)


def test_a_run_without_n_grams_has_no_parts_to_compare() -> None:
    found = figures("-m", "./plain", "mail.csv")
    assert not {"network", "ngrams", "mistakes", "strongest_ngrams"} & set(found)
    refusal = call("evaluate", "-m", "./plain", "--explain", code=1).stderr
    assert refusal == "chargen: ./plain has no n-grams to explain its labels with: train it again with --ngrams\n"


def test_people_read_all_of_it() -> None:
    shown = call("evaluate", "-m", "./mail", "--mistakes", "2", "--explain").stdout
    for part in (
        "nats per text",
        "network alone",
        "n-grams alone",
        "calibration error",
        "probability",
        "speaks for neg",
    ):
        assert part in shown
    assert "poor film" in shown and "\nprobability  label  truth  text\n" in shown
    perfect = Path("perfect.csv")
    perfect.write_text("text,label\n" + "good film,$so$\n" * 3)
    assert "no mistakes" in call("evaluate", "-m", "./mail", "perfect.csv", "--mistakes", "2").stdout


def test_the_strongest_n_grams_are_those_of_the_texts_that_are_named() -> None:
    own = figures("-m", "./mail", "--explain")["strongest_ngrams"]
    assert "poor" in own["neg"][0]["text"] and "good" in own["$so$"][0]["text"]
    Path("other.csv").write_text("text,label\n" + "film 1,neg\nfilm 2,neg\n")
    other = figures("-m", "./mail", "other.csv", "--explain")["strongest_ngrams"]
    assert not any("poor" in ngram["text"] for ngram in other["neg"])


def test_a_plot_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    shown = call("evaluate", "-m", "./mail", "mail.csv", "--plot", "figure.png")
    assert Path("figure.png").read_bytes().startswith(PNG) and "plot: figure.png" in shown.stderr
    assert "matplotlib.pyplot" not in sys.modules  # nothing opens a window


@pytest.mark.parametrize("name", ["figure.xyz", "figure"])
def test_a_plot_needs_a_suffix_that_can_be_drawn(name: str) -> None:
    refusal = call("evaluate", "-m", "./mail", "mail.csv", "--plot", name, code=1).stderr
    assert f"chargen: {name} has no suffix of a picture: name one such as .png, of " in refusal
    refusal = call("evaluate", "-m", "./mail", "mail.csv", "--plot", "no/figure.png", code=1).stderr
    assert refusal == "chargen: there is no folder no for the plot figure.png: make it first\n"


def test_a_plot_needs_matplotlib_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    call("evaluate", "-m", "./mail", "mail.csv", "--mistakes", "1", "--explain")
    refusal = call("evaluate", "-m", "./mail", "mail.csv", "--plot", "figure.svg", code=1).stderr
    assert refusal == "chargen: a plot needs matplotlib: pip install 'chargen[plot]'\n"


@pytest.mark.parametrize("option", [("--mistakes", "3"), ("--plot", "figure.png"), ("--explain",)])
def test_a_language_model_has_no_labels(option: tuple[str, ...]) -> None:
    refusal = call("evaluate", "-m", "./book", *option, code=1).stderr
    assert refusal == f"chargen: {option[0]} is for classifiers, and ./book is a language model: leave it out\n"

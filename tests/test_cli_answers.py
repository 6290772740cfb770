"""`classify` with more than a label: several, none where it is unsure, and why."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL_CLASSIFIER, call

from chargen.classification.labeller import threshold_of
from chargen.errors import ChargenError
from chargen.runs.folder import CONFIDENCE, RIGHT, load_run

WORDS = {"good": "pos", "poor": "neg", "fair": "so-so"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs are: `mail` with three labels, some of them wrong, `plain` without n-grams."""
    folder = tmp_path_factory.mktemp("runs")
    rows = [f"{word} film {n}\t{'pos' if n % 9 == 0 else label}" for n in range(60) for word, label in WORDS.items()]
    (folder / "mail.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    (folder / "odd.tsv").write_text("text\tlabel\n" + "good\tunsure\npoor\tsure\n" * 8)
    call("train", str(folder / "mail.tsv"), *SMALL_CLASSIFIER, "-o", str(folder / "mail"))
    call("train", str(folder / "mail.tsv"), "--no-ngrams", *SMALL_CLASSIFIER, "-o", str(folder / "plain"))
    call("train", str(folder / "odd.tsv"), "--no-ngrams", *SMALL_CLASSIFIER, "-o", str(folder / "odd"))
    return folder


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_top_gives_the_likeliest_labels_in_every_form() -> None:
    (line,) = call("classify", "-m", "./mail", "--top", "2", "good film").stdout.splitlines()
    label, probability, second, less = line.split("\t")
    assert label == "pos" and second in ("neg", "so-so") and float(probability) > float(less)
    record = json.loads(call("classify", "-m", "./mail", "--top", "2", "--json", "good film").stdout)
    assert list(record["probabilities"]) == [label, second] and record["label"] == "pos"
    assert len(call("classify", "-m", "./mail", "--top", "9", "good").stdout.split("\t")) == 6
    Path("new.csv").write_text("text,label_2\ngood film,x\n,y\n")
    rows = list(csv.reader(io.StringIO(call("classify", "-m", "./mail", "--top", "2", "-f", "new.csv").stdout)))
    assert rows[0] == ["text", "label_2", "label", "probability", "predicted_label_2", "probability_2"]
    assert rows[1] == ["good film", "x", label, probability, second, less] and rows[2][2:] == [""] * 4
    Path("new.jsonl").write_text('{"text": "good film"}\n{"text": ""}\n')
    shown = call("classify", "-m", "./mail", "--top", "2", "-f", "new.jsonl").stdout.splitlines()
    assert [json.loads(row).get("label_2") for row in shown] == [second, None]
    assert "is not in the range" in call("classify", "-m", "./mail", "--top", "0", "good", code=2).stderr


def test_a_threshold_leaves_out_what_is_not_sure() -> None:
    texts = [f"{word} film" for word in WORDS]
    plain = call("classify", "-m", "./mail", *texts).stdout
    exact = map(json.loads, call("classify", "-m", "./mail", "--json", *texts).stdout.splitlines())
    best = [max(record["probabilities"].values()) for record in exact]
    assert call("classify", "-m", "./mail", "--threshold", "0", *texts, "Ω").stdout.startswith(plain)
    middle = sorted(best)[1]
    lines = call("classify", "-m", "./mail", "--threshold", str(middle), *texts).stdout.splitlines()
    assert [line.split("\t")[0] == "unsure" for line in lines] == [value < middle for value in best]
    assert [line.split("\t")[1] for line in lines] == [f"{value:.4f}" for value in best]
    shown = call("classify", "-m", "./mail", "--threshold", "1", "--json", "good film").stdout
    record = json.loads(shown)
    assert record["label"] is None and record["unsure"] is True and len(record["probabilities"]) == 3
    assert json.loads(call("classify", "-m", "./mail", "--threshold", "0", "--json", "Ω").stdout)["unsure"] is False
    Path("new.csv").write_text("text\ngood film\n")
    assert ",unsure," in call("classify", "-m", "./mail", "--threshold", "1", "-f", "new.csv").stdout


def test_a_file_that_is_labelled_as_a_text_is_said() -> None:
    Path("new.csv").write_text("text\ngood film\n")
    told = call("classify", "-m", "./mail", "new.csv", "good film").stderr
    assert "new.csv was labelled as a text, though it is a file: --file labels the texts in it" in told
    assert "though it is a file" not in call("classify", "-m", "./mail", "good film", "x" * 5000).stderr


def test_texts_unlike_training_are_flagged_where_n_grams_can_tell() -> None:
    found = call("classify", "-m", "./mail", "--json", "good film 1", "ΩΩΩ ЖЖЖ")
    assert [json.loads(line)["familiar"] for line in found.stdout.splitlines()] == [True, False]
    assert found.stderr.splitlines()[-1] == "texts unlike anything that ./mail was trained on: 1"
    assert call("classify", "-m", "./mail", "--threshold", "0.01", "ΩΩΩ ЖЖЖ").stdout.startswith("unsure\t")
    silent = call("classify", "-m", "./plain", "--json", "ΩΩΩ ЖЖЖ")
    assert "familiar" not in json.loads(silent.stdout) and "unlike" not in silent.stderr
    assert not call("classify", "-m", "./plain", "--threshold", "0.01", "ΩΩΩ ЖЖЖ").stdout.startswith("unsure")


def test_a_target_accuracy_finds_its_threshold_in_what_was_held_out(folder: Path) -> None:
    confidence, right = load_run(folder / "mail").held_out()
    threshold, share, count = threshold_of(load_run(folder / "mail"), 0.5)
    chosen = confidence >= threshold
    assert (share, count) == (chosen.mean(), len(confidence)) and right[chosen].mean() > 0.5
    told = call("classify", "-m", "./mail", "--target-accuracy", "0.5", "good film").stderr
    assert told == (
        f"threshold {threshold:.4f}: {share:.1%} of the {count} texts held out in training reach it, and of those "
        "50% or more have the right label\n"
    )
    refusal = call("classify", "-m", "./mail", "--target-accuracy", "0.999", "good film", code=1).stderr
    assert refusal.startswith(
        f"chargen: no threshold is sure to make 99.9% of the labels right, by the {count} texts"
    )


def test_runs_of_old_have_no_record_to_find_a_threshold_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = load_run(folder / "mail")
    kept = {name: tensor for name, tensor in run._all_weights().items() if name not in (CONFIDENCE, RIGHT)}
    monkeypatch.setattr("chargen.runs.folder.Run._all_weights", lambda run: kept)
    assert [len(part) for part in run.held_out()] == [0, 0]
    with pytest.raises(ChargenError, match="no record of how sure it was of texts held out"):
        threshold_of(run, 0.9)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--threshold", "2"), 1, "chargen: --threshold is 2, but must be from 0 to 1\n"),
        (("--threshold", "nan"), 1, "chargen: --threshold is nan, but must be from 0 to 1\n"),
        (("--target-accuracy", "95"), 1, "chargen: --target-accuracy is 95, but must be from 0 to 1\n"),
        (
            ("--threshold", "0.5", "--target-accuracy", "0.9"),
            2,
            "--threshold sets the threshold, so --target-accuracy has no use with it",
        ),
        (("-f", "mail.tsv", "--explain"), 2, "a table has no room for --explain: add --json, or leave --explain out"),
        (
            ("-m", "./odd", "--threshold", "0.5"),
            1,
            "has a label 'unsure', the word that --threshold would answer with",
        ),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple[str, ...], code: int, sentence: str) -> None:
    texts = () if "-f" in arguments else ("good film",)
    assert sentence in call("classify", "-m", "./mail", *arguments, *texts, code=code).stderr


def test_why_is_listed_and_its_spans_joined_are_the_text() -> None:
    text = "a good\tfilm"
    (line,) = call("classify", "-m", "./mail", "--explain", text).stdout.splitlines()
    label, _, strongest, *_ = line.split("\t")
    assert label == "pos" and strongest.startswith("+") and strongest.endswith(" good")
    shown = call("classify", "-m", "./mail", "--explain", "--json", given=f"{text}\n\ngood\n").stdout
    whys = [json.loads(row).get("why", []) for row in shown.splitlines()]
    assert ["".join(span for span, _ in why) for why in whys] == [text, "", "good"]
    assert len(whys[2]) == 4 and np.isfinite([weight for why in whys for _, weight in why]).all()
    assert "why" in json.loads(
        call("classify", "-m", "./plain", "--explain", "--json", "-f", "mail.tsv").stdout[:500].splitlines()[0]
    )

"""Training a classifier: what it chooses, how it combines network and n-grams, and what it says of itself."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chargen.api.evaluate import evaluate
from chargen.classification.labeller import Labeller
from chargen.errors import ChargenError
from chargen.kinds import LANGUAGE_MODEL
from chargen.runs.folder import Run, load_run
from chargen.text.labelled import read_labelled
from chargen.text.labelled_data import held_out_fraction
from chargen.training.classifier_recipes import classifier_tokenizer, should_learn_language
from chargen.training.events import Done, Evaluated, Note
from chargen.training.options import ClassifierOptions
from chargen.training.replaying import options_before_language
from chargen.training.schedule import Budget
from chargen.training.setup import Hooks
from chargen.training.start import resume, start
from chargen.training.tasks.prepare_classifier import rare_words

pytestmark = pytest.mark.usefixtures("data_folder")

BOLD = {"hidden_size": 24, "learning_rate": 0.02, "dropout": 0.0, "dropout_input": 0.0, "dropout_embedding": 0.0}
BROUGHT = {"steps": 40, "hidden_size": None, "embedding_size": None}  # a shape that --from brings
WORDS = ["tea", "sun", "map", "fox", "ink", "oak"]


def table(path: Path, rows: list[tuple[str, str]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return str(path)


def reviews(path: Path, texts: int = 120, share: float = 0.5, seed: int = 0) -> str:
    """Texts with a word that tells their label; every eighth is labelled wrongly."""
    draw = random.Random(seed)
    rows = []
    for number in range(texts):
        good = draw.random() < share
        words = [*draw.sample(WORDS, 3), "good" if good else "bad"]
        draw.shuffle(words)
        rows.append((" ".join(words) + f" {number}", "pos" if good != (number % 8 == 0) else "neg"))
    return table(path, rows)


def order(path: Path, texts: int = 400) -> str:
    """Texts of the same words, whose label is which of two words comes first; they are never neighbours."""
    draw = random.Random(0)
    rows = []
    for _ in range(texts):
        first = draw.random() < 0.5
        ends = ("left", "right") if first else ("right", "left")
        three = [draw.choices(WORDS, k=2) for _ in range(3)]
        rows.append((" ".join([*three[0], ends[0], *three[1], ends[1], *three[2]]), str(first)))
    return table(path, rows)


def train(path: Path, inputs: str, **options: Any) -> tuple[Run, str]:
    """The run of a small classifier, and what was told on the way."""
    settings = {
        "steps": 30,
        "hidden_size": 8,
        "embedding_size": 8,
        "batch_size": 16,
        "device": "cpu",
        "precision": "fp32",
    }
    overwrite = bool(options.pop("overwrite", False))
    asked = ClassifierOptions(inputs=(inputs,), **{**settings, **options})
    events = list(start(asked, path, overwrite=overwrite))
    done = events[-1]
    assert isinstance(done, Done)
    return done.run, " ".join(event.text for event in events if isinstance(event, Note))


def test_the_summary_has_the_whole_and_both_parts_with_an_interval(tmp_path: Path) -> None:
    run, notes = train(tmp_path / "run", reviews(tmp_path / "r.csv"))
    summary = run.summary()
    low, high = summary["accuracy_interval"]
    assert 0 < low <= summary["accuracy"] <= high <= 1
    assert summary["texts"] == 24
    for part in ("network", "ngrams"):
        assert 0 <= summary[part]["accuracy"] <= 1 and summary[part]["val_loss"] > 0
    assert summary["calibration_error"].keys() == {"network_unscaled", "scaled", "by_chance"}
    assert "n-grams alone: accuracy" in notes


def test_a_loaded_classifier_gives_the_probabilities_that_were_measured(tmp_path: Path) -> None:
    inputs = reviews(tmp_path / "r.csv")
    run, _ = train(tmp_path / "run", inputs, val=(reviews(tmp_path / "v.csv", 40, seed=1),))
    held_out = read_labelled([str(tmp_path / "v.csv")])
    probs = Labeller(run).probabilities(held_out.texts)
    truth = np.array([run.labels().index(label) for label in held_out.labels])
    confidence, right = run.held_out()
    # The run measured each half under scales of the other half, so that the probabilities are only nearly these.
    np.testing.assert_allclose(probs.max(-1), confidence, atol=0.15)
    assert ((probs.argmax(-1) == truth) == right).mean() > 0.9
    assert evaluate(run)["accuracy"] == pytest.approx((probs.argmax(-1) == truth).mean())


def test_a_network_alone_has_no_n_grams_and_is_scaled_all_the_same(tmp_path: Path) -> None:
    run, notes = train(tmp_path / "run", reviews(tmp_path / "r.csv"), ngrams=False)
    assert run.ngrams() is None and "n-grams" not in notes
    assert run.scales()[1] == 0 and run.scales()[0] not in (0, 1)
    assert "ngrams" not in run.summary()
    assert Labeller(run).probabilities(["a good film"]).sum() == pytest.approx(1)


def test_n_grams_decide_while_the_network_knows_nothing(tmp_path: Path) -> None:
    run, _ = train(tmp_path / "run", reviews(tmp_path / "r.csv", 400), steps=1, learning_rate=1e-9)
    assert run.summary()["accuracy"] >= run.summary()["ngrams"]["accuracy"] - 0.03
    assert run.summary()["network"]["accuracy"] < run.summary()["ngrams"]["accuracy"]


def test_the_network_decides_where_order_is_all_there_is(tmp_path: Path) -> None:
    run, _ = train(tmp_path / "run", order(tmp_path / "o.csv"), steps=300, **BOLD)
    summary = run.summary()
    assert summary["ngrams"]["accuracy"] < 0.75
    assert summary["accuracy"] > 0.95 and summary["network"]["accuracy"] > 0.95


def test_a_metric_decides_which_weights_are_kept(tmp_path: Path) -> None:
    inputs = reviews(tmp_path / "r.csv", 80)
    for metric, key in (("accuracy", "accuracy"), ("macro-f1", "macro_f1"), ("loss", "val_loss")):
        asked = ClassifierOptions(
            inputs=(inputs,), steps=40, hidden_size=8, batch_size=16, metric=metric, device="cpu", ngrams=False
        )
        found = [event for event in start(asked, tmp_path / metric) if isinstance(event, Evaluated)]
        sign = -1 if metric == "loss" else 1
        merits = [sign * event.record[key] for event in found]
        assert [event.best for event in found] == [
            all(merit > old for old in merits[:i]) for i, merit in enumerate(merits)
        ]


def test_balance_finds_a_rare_label(tmp_path: Path) -> None:
    draw = random.Random(0)
    rows = []
    for _ in range(400):
        rare = draw.random() < 0.1
        hint = "good" if draw.random() < (0.8 if rare else 0.2) else "bad"  # most texts that say good are common ones
        rows.append((" ".join([hint, *draw.sample(WORDS, 3)]), "rare" if rare else "common"))
    recalls = []
    for balance in (False, True):
        run, _ = train(tmp_path / str(balance), table(tmp_path / "t.csv", rows), balance=balance, steps=60)
        recalls.append(next(row["recall"] for row in evaluate(run)["labels"] if row["label"] == "rare"))
    assert recalls[1] > recalls[0] + 0.2


def test_a_network_learns_the_language_first_when_asked_to(tmp_path: Path) -> None:
    run, notes = train(tmp_path / "run", order(tmp_path / "o.csv"), adapt=True, steps=40, tokenizer="char")
    language, first = load_run(tmp_path / "run-language"), run.weights()
    assert "learning the language of the texts first" in notes
    assert (language.kind, run.config["options"]["start_from"]) == (LANGUAGE_MODEL, str(language.path))
    assert run.tokenizer().to_bytes() == language.tokenizer().to_bytes()
    assert run.summary()["steps"] == language.summary()["steps"] == 40
    train(tmp_path / "run", order(tmp_path / "o.csv"), adapt=True, overwrite=True, steps=1, tokenizer="char")
    assert load_run(tmp_path / "run-language").summary() == language.summary()  # nobody asked to replace that one
    assert load_run(tmp_path / "run-language-2").summary()["steps"] == 1
    texts = [json.loads(line)["text"] for line in (tmp_path / "run-language.jsonl").read_text().splitlines()]
    assert len(texts) == run.config["data"]["examples"]
    again, _ = train(tmp_path / "other", order(tmp_path / "o.csv"), start_from=str(language.path), **BROUGHT)
    np.testing.assert_array_equal(again.weights()["head.weight"], first["head.weight"])


def test_the_language_comes_first_where_n_grams_tell_little_of_much_text() -> None:
    assert should_learn_language(0.63, 0.5, 10**6)
    assert not should_learn_language(0.63, 0.5, 10**5)
    assert not should_learn_language(0.82, 0.5, 10**6)


def test_an_interrupted_lesson_of_language_leaves_its_run_and_no_classifier(tmp_path: Path) -> None:
    asked = ClassifierOptions(inputs=(order(tmp_path / "o.csv"),), adapt=True, steps=50, hidden_size=8, device="cpu")
    events = list(start(asked, tmp_path / "run", hooks=Hooks(stop=lambda: True)))
    assert isinstance(events[-1], Done) and events[-1].summary["stopped"] == "interrupted"
    language = events[-1].run
    assert language.kind == LANGUAGE_MODEL and not (tmp_path / "run").exists()
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes[-1] == f"no label is learned yet: when {language.path} is done, go on with --from {language.path}"
    ended = list(resume(language, Budget(steps=3)))[-1]
    assert isinstance(ended, Done) and ended.summary["steps"] == 3


def test_texts_too_few_for_a_language_are_told_and_leave_nothing(tmp_path: Path) -> None:
    inputs = table(tmp_path / "t.csv", [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")])
    with pytest.raises(ChargenError, match=r"^the language of the texts cannot be learned \(--no-adapt"):
        train(tmp_path / "run", inputs, adapt=True, tokenizer="char")
    assert [path.name for path in tmp_path.iterdir() if "run" in path.name] == []


def test_a_run_that_learned_the_language_is_asked_for_again_in_full() -> None:
    recorded = {"adapt": True, "start_from": "gone", "minutes": 1.8, "hidden_size": 8}
    assert options_before_language(recorded) == {
        "adapt": True,
        "start_from": None,
        "minutes": pytest.approx(3),
        "hidden_size": 8,
    }
    for kept in ({"adapt": False, "start_from": "book", "minutes": 3}, {"adapt": None, "minutes": 3}):
        assert options_before_language(kept) == kept


def test_a_limit_of_minutes_that_is_not_reached_changes_no_weights(tmp_path: Path) -> None:
    inputs = reviews(tmp_path / "r.csv")
    runs = [train(tmp_path / f"run-{number}", inputs, steps=4, minutes=60)[0] for number in range(2)]
    free, _ = train(tmp_path / "free", inputs, steps=4)
    for run in runs:
        for name, weight in free.weights().items():
            np.testing.assert_array_equal(run.weights()[name], weight)


def test_texts_on_both_sides_are_counted(tmp_path: Path) -> None:
    rows = [("the same good text", "pos"), ("the same bad text", "neg")] * 20
    inputs = table(tmp_path / "t.csv", rows)
    _, notes = train(tmp_path / "run", inputs, steps=1)  # copies may be on both sides
    assert "2 different texts are both learned from and held out" in notes
    _, notes = train(tmp_path / "apart", reviews(tmp_path / "r.csv"), steps=1)
    assert "both learned from" not in notes


def test_familiar_words_are_read_in_pieces_and_new_ones_by_characters(tmp_path: Path) -> None:
    run, notes = train(tmp_path / "known", reviews(tmp_path / "r.csv"), steps=1, vocab_size=300)
    assert run.tokenizer().kind == "unigram" and "pieces of words" in notes
    draw = random.Random(0)
    names = [("".join(draw.choices("abcdefgh", k=6)), label) for _ in range(40) for label in ("x", "y")]
    run, notes = train(tmp_path / "new", table(tmp_path / "n.csv", names), steps=1)
    assert run.tokenizer().kind == "char" and "by characters, since" in notes


def test_a_budget_too_short_for_all_tokens_reads_a_stretch_of_each_text(tmp_path: Path) -> None:
    long = [(" ".join(["word"] * 150 + [label]), label) for label in ("good", "bad") for _ in range(40)]
    examples = table(tmp_path / "long.csv", long)
    run, notes = train(tmp_path / "short", examples, minutes=0.001, adapt=False, ngrams=False)
    crop = run.config["options"]["crop"]
    assert crop < 150 and f"a step reads {crop} tokens of a text" in notes
    run, notes = train(tmp_path / "steps", examples, steps=1, adapt=False, ngrams=False)
    assert run.config["options"]["crop"] is None and "a step reads" not in notes


def test_the_share_of_new_words_is_the_mean_over_texts() -> None:
    assert rare_words(["A good film"], ["a good, good film", "bad film"]) == pytest.approx(0.25)
    assert rare_words(["good good film"], ["good film"], most=1) == pytest.approx(0.5)
    assert rare_words(["a"], ["!", ""]) == 1.0
    assert classifier_tokenizer(0.06)[0] == "unigram" and classifier_tokenizer(0.8)[0] == "char"


def test_fewer_of_many_texts_are_held_out() -> None:
    assert [held_out_fraction(texts) for texts in (10, 10_000, 40_000, 10**9)] == [0.2, 0.2, 0.05, 0.02]

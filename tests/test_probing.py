"""A probe: the encoder stays as it is, and its head is scikit-learn's regression on its pooled outputs."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import call
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from chargen.api.classifier import TextClassifier
from chargen.api.evaluate import evaluate
from chargen.classification.labeller import Labeller
from chargen.errors import ChargenError
from chargen.runs.folder import Run, load_run
from chargen.text.labelled import read_labelled
from chargen.training.classifier_recipes import PROBE_POOLING
from chargen.training.distributed import World
from chargen.training.events import Done, Evaluated, Event, Note
from chargen.training.options import UNUSED_BY_PROBES, ClassifierOptions, LanguageModelOptions, Options
from chargen.training.replaying import REPLACES
from chargen.training.setup import Context
from chargen.training.start import start
from chargen.training.tasks import probe as probing
from chargen.training.tasks.prepare_classifier import prepare_classifier
from chargen.training.tasks.probe import Head, regression_path
from chargen.workers import ONE_WORKER

STYLES = {"calm": ["sea", "lull", "ease", "lea", "sail"], "sharp": ["tick", "crack", "kit", "quick", "pact"]}
MIXED = ["it", "is", "at", "as"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def text_of(style: str, draw: random.Random) -> str:
    return " ".join(draw.sample([*draw.choices(STYLES[style], k=3), *draw.choices(MIXED, k=3)], k=6))


def table(path: Path, texts: int, seed: int, labels: tuple[str, ...] = ("calm", "sharp")) -> str:
    """Texts of two styles; a third label takes turns with the first."""
    draw = random.Random(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for number in range(texts):
            label = labels[number % len(labels)]
            writer.writerow((text_of(label if label in STYLES else "calm", draw) + f" {number}", label))
    return str(path)


def run_of(events: Iterator[Event]) -> tuple[Run, list[Event]]:
    told = list(events)
    assert isinstance(told[-1], Done)
    return told[-1].run, told


def train(options: Options, path: Path) -> Run:
    return run_of(start(options, path))[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of both styles, and a classifier that reads from both ends."""
    folder = tmp_path_factory.mktemp("sources")
    draw = random.Random(0)
    (folder / "book.txt").write_text("".join(text_of(style, draw) + "\n" for style in [*STYLES] * 300))
    shape: dict[str, Any] = {"embedding_size": 6, "device": "cpu", "precision": "fp32", "shards": 1}
    language = LanguageModelOptions(
        inputs=(str(folder / "book.txt"),),
        documents="line",
        steps=120,
        num_layers=2,
        hidden_size=12,
        batch_size=8,
        **shape,
    )
    train(language, folder / "language")
    labelled = table(folder / "few.csv", 40, seed=3)
    train(
        ClassifierOptions(
            inputs=(labelled,), steps=2, num_layers=1, hidden_size=5, ngrams=False, tokenizer="char", **shape
        ),
        folder / "classifier",
    )
    return folder


def probe(source: Path, inputs: str, path: Path, **options: Any) -> tuple[Run, list[Event]]:
    asked = ClassifierOptions(inputs=(inputs,), start_from=str(source), probe=True, device="cpu", **options)
    return run_of(start(asked, path))


@pytest.mark.parametrize("labels", [2, 3])
def test_a_folded_head_is_the_regression_on_standardised_outputs(labels: int) -> None:
    rng = np.random.default_rng(labels)
    outputs = (rng.normal(size=(80, 7)) * 10.0 ** np.arange(-3, 4) + np.arange(7)).astype(np.float32)
    truth = rng.permutation(np.arange(80) % labels)
    scaler = StandardScaler().fit(outputs)
    standardised = scaler.transform(outputs)
    regression = LogisticRegression(C=3.0).fit(standardised, truth)
    head = Head.of(regression, scaler.mean_, scaler.scale_)
    logits = outputs.astype(np.float64) @ head.weight.T + head.bias
    assert logits.shape == (80, labels)
    found = logits[:, 1] - logits[:, 0] if labels == 2 else logits
    np.testing.assert_allclose(found, regression.decision_function(standardised), atol=1e-4)


@pytest.mark.parametrize("pooling", [None, "max", "concat"])
@pytest.mark.parametrize("labels", [("calm", "sharp"), ("calm", "sharp", "other")])
@pytest.mark.parametrize("kind", ["language", "classifier"])
def test_a_run_has_the_encoder_of_its_source_and_the_head_of_scikit_learn(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    labels: tuple[str, ...],
    pooling: str | None,
) -> None:
    fitted: dict[float, tuple[np.ndarray, ...]] = {}
    original = Head.of

    def spy(regression: Any, mean: np.ndarray, spread: np.ndarray) -> Head:
        fitted[regression.C] = (regression.coef_.copy(), regression.intercept_.copy(), mean, spread)
        return original(regression, mean, spread)

    monkeypatch.setattr(Head, "of", spy)
    inputs = table(tmp_path / "t.csv", 90, 1, labels)
    run, _ = probe(home / kind, inputs, tmp_path / "run", pooling=pooling, ngrams=False)
    source = load_run(home / kind)
    encoder = {name: weight for name, weight in source.weights().items() if name.startswith("encoder.")}
    assert "encoder.embedding.weight" in encoder and len(encoder) >= 5
    for name, weight in encoder.items():
        np.testing.assert_array_equal(run.weights()[name], weight)
    assert run.tokenizer().to_bytes() == source.tokenizer().to_bytes()
    assert run.config["model"]["pooling"] == (pooling or PROBE_POOLING)
    texts = read_labelled([inputs]).texts
    labeller = Labeller(run)
    coefficients, intercept, mean, spread = fitted[run.summary()["probe"]["strength"]]
    expected = (labeller.embed(texts).astype(np.float64) - mean) / spread @ coefficients.T + intercept
    logits = labeller.read(texts).network
    found = logits[:, 1:] - logits[:, :1] if len(labels) == 2 else logits
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_language_model_of_two_styles_tells_them_apart(home: Path, tmp_path: Path) -> None:
    inputs, unseen = table(tmp_path / "t.csv", 300, 1), table(tmp_path / "u.csv", 200, 2)
    run, events = probe(home / "language", inputs, tmp_path / "run", ngrams=False)
    assert evaluate(run, [unseen])["accuracy"] > 0.8
    found = run.summary()["probe"]
    assert 0 < found["units"] <= found["outputs"] == 12
    assert found["units"] == np.count_nonzero(np.abs(run.weights()["head.weight"]).max(axis=0))
    assert len(found["strongest"]) == found["units"]
    told = " ".join(event.text for event in events if isinstance(event, Note))
    assert f"{found['units']} of 12 pooled outputs carry the decision; the strongest: 1." in told
    first = found["strongest"][0]
    assert (
        first["unit"].startswith("1.")
        and first["pooling"] == "mean"
        and first["label"] in STYLES
        and first["weight"] > 0
    )


@pytest.mark.parametrize(("metric", "figure", "sign"), [("loss", "val_loss", -1), ("accuracy", "accuracy", 1)])
def test_the_texts_held_out_choose_the_penalty(
    home: Path, tmp_path: Path, metric: str, figure: str, sign: int
) -> None:
    run, events = probe(home / "language", table(tmp_path / "t.csv", 120, 1), tmp_path / "run", metric=metric)
    records = run.metrics()
    strengths = [record["strength"] for record in records]
    assert strengths == sorted(set(strengths)) and records[0]["units"] < records[-1]["units"]
    best = max(records, key=lambda record: sign * record[figure])
    assert run.summary()["probe"]["strength"] == best["strength"]
    kept = [event.record for event in events if isinstance(event, Evaluated) and event.best][-1]
    assert kept == best
    alone = run.summary()["network"]  # beside n-grams, the network is judged alone
    assert {name: best[name] for name in alone} == pytest.approx(alone)


def test_a_probe_is_a_classifier_like_others(home: Path, tmp_path: Path) -> None:
    inputs = table(tmp_path / "t.csv", 120, 1)
    run, _ = probe(home / "language", inputs, tmp_path / "run")
    summary = run.summary()
    assert {"accuracy_interval", "network", "ngrams", "calibration_error", "parameters"} <= summary.keys()
    assert len(run.held_out()[0]) == summary["texts"] == 24
    assert (run.scales() >= 0).all() and run.scales().any()
    assert evaluate(run)["accuracy"] >= 0.5
    assert call("classify", "-m", str(run.path), "tick crack", "--top", "2").stdout
    again = call("train", "--config", str(run.path / "config.json"), "--out", "again")
    assert "pooled outputs carry the decision" in again.stderr
    np.testing.assert_array_equal(load_run(Path("again")).weights()["head.weight"], run.weights()["head.weight"])
    tuned = ClassifierOptions(inputs=(inputs,), start_from=str(run.path), steps=1, learning_rate=1e-12, device="cpu")
    encoder = "encoder.embedding.weight"
    np.testing.assert_allclose(train(tuned, tmp_path / "tuned").weights()[encoder], run.weights()[encoder], atol=1e-9)


def test_a_probe_that_is_interrupted_leaves_the_run_that_was_there(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = table(tmp_path / "t.csv", 40, 1)
    run, _ = probe(home / "language", inputs, tmp_path / "run", ngrams=False)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}

    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(probing, "embeddings", interrupted)
    asked = ClassifierOptions(inputs=(inputs,), start_from=str(home / "language"), probe=True, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        list(start(asked, run.path, overwrite=True))
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_an_estimator_can_be_a_probe(home: Path) -> None:
    draw = random.Random(0)
    texts = [text_of(style, draw) for style in [*STYLES] * 60]
    classifier = TextClassifier(probe=True, start_from=str(home / "language"), ngrams=False, device="cpu")
    assert classifier.fit(texts, [*STYLES] * 60).score(texts, [*STYLES] * 60) > 0.8
    assert classifier.embed(texts[:3]).shape == (3, 12)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--probe",), "name its run with --from"),
        (("--probe", "--from", "RUN", "--adapt"), "--adapt has no use with --probe"),
        (("--probe", "--from", "RUN", "--steps", "3"), "--steps has no use with --probe"),
        (("--probe", "--from", "RUN", "--epochs", "3"), "--epochs has no use with --probe"),
        (("--probe", "--from", "RUN", "--minutes", "3"), "--minutes has no use with --probe"),
        (("--probe", "--from", "RUN", "--learning-rate", "0.1"), "--learning-rate has no use with --probe"),
        (("--probe", "--from", "RUN", "--hidden-size", "3"), "--hidden-size 3 contradicts --from"),
        (("--probe", "--from", "RUN", "--max-length", "1"), "has the same outputs for all texts"),
    ],
)
def test_what_does_not_go_with_a_probe_is_refused_in_a_sentence(
    home: Path, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    inputs = table(tmp_path / "t.csv", 40, 1)
    own = [str(home / "language") if argument == "RUN" else argument for argument in arguments]
    shown = call("train", inputs, "--task", "classify", "--out", "run", *own, code=1).stderr
    assert expected in shown.splitlines()[-1]
    assert not Path("run").exists()


def test_a_probe_is_not_resumed_and_needs_one_process(home: Path, tmp_path: Path) -> None:
    run, _ = probe(home / "language", table(tmp_path / "t.csv", 40, 1), tmp_path / "run", ngrams=False)
    assert (
        "was fitted at once, so it cannot be resumed"
        in call("train", "--resume", "--out", str(run.path), code=1).stderr
    )
    options = ClassifierOptions(inputs=("x",), start_from="y", probe=True)
    two = Context(World(size=2), ONE_WORKER, torch.device("cpu"))
    with pytest.raises(ChargenError, match="needs one process, not 2"):
        prepare_classifier(options, two)


def test_options_of_a_training_give_way_to_a_probe_and_are_all_known() -> None:
    assert REPLACES["probe"] == {*UNUSED_BY_PROBES, "pooling"}
    assert {*UNUSED_BY_PROBES} < {field.name for field in fields(ClassifierOptions)}


def test_memory_is_bounded_and_no_label_is_lost(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "MAX_OUTPUTS", 12 * 25)
    inputs = table(tmp_path / "t.csv", 90, 1)
    with Path(inputs).open("a") as file:
        file.write("a rare one,rare\nanother rare one,rare\n")
    run, events = probe(home / "language", inputs, tmp_path / "run", ngrams=False)
    assert run.labels() == ["calm", "rare", "sharp"]
    told = " ".join(event.text for event in events if isinstance(event, Note))
    assert any(f"learning from {count} of the texts, drawn at random" in told for count in (25, 26))


def test_balanced_labels_count_alike() -> None:
    rng = np.random.default_rng(0)
    truth = (np.arange(400) % 10 == 0).astype(int)
    outputs = (rng.normal(size=(400, 5)) + 0.7 * truth[:, None]).astype(np.float32)
    found = []
    for balance in (False, True):
        *_, head = regression_path(outputs.copy(), truth, balance=balance)
        found.append(((outputs @ head.weight.T + head.bias).argmax(-1) == 1).mean())
    assert found[1] > 2 * found[0]

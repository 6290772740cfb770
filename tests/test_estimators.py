"""The scikit-learn estimators: their conventions, what they accept and refuse, and their runs on disk."""

from __future__ import annotations

import pickle
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import torch
from click.testing import CliRunner
from sklearn import __version__ as sklearn_version
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import check_is_fitted, validate_data

import chargen
from chargen import ChargenError, TextClassifier, TextEmbedder, TextWriter
from chargen.api.classifier import OUTPUT_PARAMETERS
from chargen.cli import main
from chargen.models.classifier import Classifier, pool
from chargen.models.config import ClassifierConfig, LanguageModelConfig, ModelConfig
from chargen.models.language_model import LanguageModel
from chargen.runs.folder import load_run
from chargen.text.labelled import encode_example
from chargen.training.options import ClassifierOptions

TINY: dict[str, Any] = {"steps": 3, "hidden_size": 5, "embedding_size": 3, "batch_size": 8}
X = [f"{word} film {number}" for number in range(10) for word in ("good", "bad")]
Y = ["pos", "neg"] * 10


@pytest.fixture(scope="module")
def fitted() -> TextClassifier:
    return TextClassifier(**TINY, bidirectional=False, pooling="concat").fit(X, Y)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> tuple[TextWriter, str]:
    folder = tmp_path_factory.mktemp("language")
    (folder / "book.txt").write_text("Once upon a time there was a small model.\n" * 20)
    out = str(folder / "run")
    return chargen.train(
        folder / "book.txt", out=out, steps=2, num_layers=2, hidden_size=5, embedding_size=3, batch_size=2
    ), out


def test_parameters_are_the_options_of_training_with_the_same_defaults() -> None:
    of_files = {"inputs", "encoding", "val", "text_column", "label_column", "skip_unlabelled"}
    options = {field.name: field.default for field in fields(ClassifierOptions) if field.name not in of_files}
    parameters = TextClassifier().get_params()
    assert MISSING not in options.values()
    assert {name: value for name, value in parameters.items() if name not in OUTPUT_PARAMETERS} == options
    described = str(TextClassifier.__doc__).split("Args:")[1].split("Attributes:")[0]
    for name in parameters:
        assert f" {name}" in described


@pytest.mark.parametrize(
    "labels", [Y, [10, 2] * 10, [True, False] * 10, np.array([10, 2] * 10, np.uint8), np.array(Y, object)], ids=repr
)
def test_labels_come_back_in_their_own_type(labels: Any, tmp_path: Path) -> None:
    classifier = TextClassifier(**TINY).fit(X, labels)
    np.testing.assert_array_equal(classifier.classes_, np.unique(labels))
    predicted = classifier.predict(X)
    assert predicted.dtype.kind == np.array(np.asarray(labels).tolist()).dtype.kind.replace("u", "i")
    assert classifier.score(X, labels) == (predicted == np.array(labels)).mean() > 0.9
    probs = classifier.predict_proba(X)
    assert probs.shape == (20, 2) and np.allclose(probs.sum(axis=1), 1)
    (verdict,) = classifier.classify(X[:1])
    assert verdict.label == predicted[0] and type(verdict.label) is type(predicted[0].item())
    assert verdict.familiar and classifier.classify(["qqq"])[0].familiar is False
    shares = [verdict.probabilities[label] for label in classifier.classes_.tolist()]
    np.testing.assert_allclose(shares, probs[0], rtol=1e-5)
    classifier.save(tmp_path / "run")
    again = chargen.load(tmp_path / "run")
    assert isinstance(again, TextClassifier)
    np.testing.assert_array_equal(again.classes_, classifier.classes_)
    np.testing.assert_array_equal(again.predict_proba(X), probs)


def test_series_are_read_as_lists_are(fitted: TextClassifier) -> None:
    expected = fitted.predict_proba(X)
    for texts, labels in ((polars.Series(X), polars.Series(Y)), (np.array(X), np.array(Y)), (tuple(X), tuple(Y))):
        np.testing.assert_array_equal(clone(fitted).fit(texts, labels).predict_proba(texts), expected)
        assert fitted.score(texts, labels) == fitted.score(X, Y)


def test_pandas_series(fitted: TextClassifier) -> None:
    pandas = pytest.importorskip("pandas")
    texts, labels = pandas.Series(X, index=range(7, 27)), pandas.Series(Y, dtype="category", index=range(7, 27))
    np.testing.assert_array_equal(clone(fitted).fit(texts, labels).predict_proba(texts), fitted.predict_proba(X))
    with pytest.raises(ChargenError, match=r"has the shape \(20, 1\)"):
        fitted.predict(texts.to_frame())


@pytest.mark.parametrize(
    ("texts", "labels", "sentence"),
    [
        (np.ones((20, 2)), Y, r"X has the shape \(20, 2\), but must have one dimension"),
        ([1.5] * 20, Y, r"X\[0\] is of type float, but must be a text"),
        ([*X[:-1], None], Y, r"X\[19\] is missing"),
        ([*X[:-1], float("nan")], Y, r"X\[19\] is missing"),
        ([*X[:-1], "\ud800"], Y, r"X\[19\] has half a surrogate pair"),
        ("text", ["pos"], "X is of type str, but must be a sequence of texts"),
        (X, Y[:-1], "X has 20 texts, but y 19 labels"),
        (X, ["pos"] * 20, "y has one class only, 'pos'"),
        (X, None, "requires y to be passed, but the target y is None"),
        (X, [*Y[:-1], None], r"y\[19\] is missing"),
        (X, [1.5, 2.5] * 10, r"Unknown label type: y\[0\] is of type float, but must be a str, an int or a bool"),
        (X, [1, "1"] * 10, "y has labels of several types, int and str"),
        ([], [], "X is empty"),
        (["", "", ""], ["a", "a", "b"], "no text to take a vocabulary from"),
        (["x", "y"], ["a", "b"], "every label has a single example"),
    ],
)
def test_what_cannot_be_fitted_gets_one_sentence(texts: Any, labels: Any, sentence: str) -> None:
    with pytest.raises(ChargenError, match=sentence):
        TextClassifier(**TINY).fit(texts, labels)


def test_parameters_are_judged_when_it_is_fitted() -> None:
    with pytest.raises(ChargenError, match="unknown cell 'gruu'"):
        TextClassifier(**{**TINY, "cell": "gruu"}).fit(X, Y)
    classifier = TextClassifier(cell="tree", steps=-1)
    with pytest.raises(ChargenError, match="steps is -1"):
        classifier.fit(X, Y)
    assert not hasattr(classifier, "classes_")


def test_nothing_but_fit_works_before_it(tmp_path: Path) -> None:
    classifier = TextClassifier()
    for call in (classifier.predict, classifier.predict_proba, classifier.classify, classifier.embed):
        with pytest.raises(NotFittedError):
            call(X)
    with pytest.raises(NotFittedError):
        classifier.save(tmp_path / "run")
    with pytest.raises(NotFittedError):
        TextEmbedder().transform(X)


def test_a_label_with_a_single_text_is_learned_but_not_held_out() -> None:
    classifier = TextClassifier(**TINY).fit([*X, "so strange"], [*Y, "odd"])
    assert classifier.classes_.tolist() == ["neg", "odd", "pos"]
    assert classifier.summary_["texts"] == 4  # a fifth of the others
    assert classifier.predict_proba(["so strange"]).shape == (1, 3)
    few = TextClassifier(**TINY).fit(["a", "b", "c"], ["x", "x", "y"])
    assert few.summary_["texts"] == 1 and len(few.predict(["a", ""])) == 2


def test_no_texts_have_no_labels(fitted: TextClassifier) -> None:
    assert fitted.predict([]).shape == (0,) and fitted.predict_proba([]).shape == (0, 2)
    assert fitted.classify([]) == [] and fitted.embed([]).shape == (0, 15)


def test_a_clone_learns_the_same_and_another_seed_something_else(fitted: TextClassifier) -> None:
    probs = fitted.predict_proba(X)
    np.testing.assert_array_equal(clone(fitted).fit(X, Y).predict_proba(X), probs)
    assert (clone(fitted).set_params(seed=1).fit(X, Y).predict_proba(X) != probs).any()


def test_a_pickle_labels_and_embeds_as_before_and_holds_no_model(fitted: TextClassifier) -> None:
    pickled = pickle.dumps(fitted)
    for module in (b"ctorch", b"sentencepiece", b"NumpyClassifier", b"Labeller"):
        assert module not in pickled
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(again.embed(X), fitted.embed(X))
    assert again.get_params() == fitted.get_params() and again.summary_ == fitted.summary_


def test_scikit_learn_validates_searches_and_chains(fitted: TextClassifier) -> None:
    assert len(cross_val_score(clone(fitted), polars.Series(X), polars.Series(Y), cv=2)) == 2
    search = GridSearchCV(clone(fitted), {"hidden_size": [4, 5]}, cv=2, n_jobs=2, scoring="neg_log_loss").fit(X, Y)
    best = clone(fitted).set_params(**search.best_params_).fit(X, Y)
    np.testing.assert_array_equal(search.predict_proba(X), best.predict_proba(X))
    sizes = [clone(fitted).set_params(hidden_size=size).fit(X, Y).embed(X[:1]).shape[1] for size in (4, 5)]
    assert 5 * sizes[0] == 4 * sizes[1]
    chained = make_pipeline(clone(fitted)).fit(np.array(X), Y)
    np.testing.assert_array_equal(chained.predict_proba(X), fitted.predict_proba(X))


def test_a_run_in_a_folder_serves_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "run"
    classifier = TextClassifier(**TINY, out=out).fit(X, Y)
    result = CliRunner().invoke(main, ["classify", "-m", str(out), X[0]])
    assert result.output.split("\t")[0] == classifier.predict(X[:1])[0]
    (tmp_path / "new.csv").write_text("text,label\n" + "".join(f"{x},{y}\n" for x, y in zip(X, Y, strict=True)))
    assert chargen.evaluate(out, [str(tmp_path / "new.csv")])["accuracy"] == classifier.score(X, Y)
    for command in (["evaluate", "-m", str(out)], ["train", "--resume", "--out", str(out), "--steps", "5"]):
        result = CliRunner().invoke(main, command)
        assert result.exit_code and "texts were given in memory" in result.output
    with pytest.raises(ChargenError, match="already holds a run"):
        clone(classifier).fit(X, Y)
    with pytest.raises(ChargenError, match="already holds a run"):
        classifier.save(out)
    clone(classifier).set_params(overwrite=True, seed=1).fit(X, Y)
    assert load_run(out).config["options"]["seed"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "run"]


def test_what_is_saved_is_the_run_but_for_its_training_state(tmp_path: Path) -> None:
    classifier = TextClassifier(**TINY, out=tmp_path / "run").fit(X, Y)
    classifier.save(tmp_path / "saved")
    names = {path.name for path in (tmp_path / "run").iterdir()} - {"training"}
    assert names == {path.name for path in (tmp_path / "saved").iterdir()}
    for name in names:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "saved" / name).read_bytes()


def test_training_on_files_gives_a_fitted_estimator_whose_clone_trains_alike(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("text,label\n" + "".join(f"{x},{y}\n" for x, y in zip(X, Y, strict=True)))
    trained = chargen.train_classifier(tmp_path / "set.csv", out=tmp_path / "run", **TINY)
    loaded = chargen.load(tmp_path / "run")
    assert isinstance(trained, TextClassifier) and isinstance(loaded, TextClassifier)
    expected = trained.predict_proba(X)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    assert loaded.get_params()["hidden_size"] == 5 and loaded.get_params()["out"] is None
    np.testing.assert_allclose(clone(loaded).fit(X, Y).predict_proba(X), expected)


# --- vectors


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_text_is_embedded_as_torch_pools_it(bidirectional: bool) -> None:
    classifier = TextClassifier(**TINY, bidirectional=bidirectional, pooling="concat", tokenizer="char").fit(X, Y)
    run, texts = classifier.run_, ["good", "", "a bad, bad film " * 9]
    config = run.model_config(ModelConfig)
    assert isinstance(config, ClassifierConfig)
    twin = Classifier(config)
    twin.load_state_dict({name: torch.from_numpy(weight) for name, weight in run.weights().items()})
    vectors = classifier.embed(texts)
    assert vectors.dtype == np.float32 and vectors.shape == (3, config.pooled_size)
    for text, vector in zip(texts, vectors, strict=True):
        ids = torch.from_numpy(encode_example(run.tokenizer(), text, framed=True, max_length=1000))[:, None]
        with torch.inference_mode():
            outputs, _ = twin.encoder(ids)
            expected = pool(outputs, torch.tensor([len(ids)]), config)[0].numpy()
        np.testing.assert_allclose(vector, expected, rtol=0, atol=1e-5)


def test_a_language_model_embeds_the_mean_of_its_outputs(
    writer: tuple[TextWriter, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "chargen.generation.engines.numpy_engine.CHUNK_ROWS", 7
    )  # so that texts are read in several parts
    model, out = writer
    run, texts = load_run(Path(out)), ["Once upon a time", "", "a", "model, a small model", "Äther"]
    config = run.model_config(ModelConfig)
    assert isinstance(config, LanguageModelConfig)
    twin = LanguageModel(config)
    twin.load_state_dict({name: torch.from_numpy(weight) for name, weight in run.weights().items()})
    vectors = model.embed(texts)
    assert vectors.dtype == np.float32 and vectors.shape == (5, 5)
    assert not vectors[1].any()
    for text, vector in zip(texts, vectors, strict=True):
        if text:
            ids = torch.from_numpy(model.tokenizer.encode("\n" + text))[:, None]
            with torch.inference_mode():
                outputs, _ = twin.encoder(ids)
            np.testing.assert_allclose(vector, outputs[1:].mean((0, 1)).numpy(), rtol=0, atol=1e-6)
        np.testing.assert_allclose(vector, model.embed([text])[0], rtol=0, atol=1e-6)


def test_an_embedder_is_a_transformer_for_pipelines(fitted: TextClassifier, writer: tuple[TextWriter, str]) -> None:
    model, out = writer
    pipeline = make_pipeline(TextEmbedder(out), LogisticRegression()).fit(X, Y)
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(again.predict_proba(X), pipeline.predict_proba(X))
    np.testing.assert_array_equal(TextEmbedder(out).fit_transform(X), model.embed(X))
    embedder = clone(TextEmbedder(fitted.run_)).fit()
    np.testing.assert_array_equal(embedder.transform(X), fitted.embed(X))
    assert len(embedder.get_feature_names_out()) == 15
    assert cross_val_score(pipeline, np.array(X), Y, cv=2).shape == (2,)


@pytest.mark.skipif(parse_version(sklearn_version) < parse_version("1.8"), reason="it does not know this polars")
def test_an_embedder_reads_a_column_of_a_table(writer: tuple[TextWriter, str]) -> None:
    _, out = writer
    frame = polars.DataFrame({"text": X, "other": range(20)})
    transformer = make_column_transformer((TextEmbedder(out), "text"), ("passthrough", ["other"]))
    assert transformer.fit_transform(frame).shape == (20, 6)


# --- scikit-learn's own checks


class OfNumbers(TextClassifier):
    """The classifier on tables of numbers, whose rows become texts, for scikit-learn's own checks."""

    def _read(self, rows: Any, reset: bool) -> list[str]:
        rows = validate_data(self, rows, reset=reset)
        return [
            " ".join(f"{'abcdefghij'[column % 10]}{value:.0f}" for column, value in enumerate(row)) for row in rows
        ]

    def fit(self, X: Any, y: Any) -> OfNumbers:
        super().fit(self._read(X, reset=True), y)
        return self

    def predict_proba(self, X: Any) -> Any:
        check_is_fitted(self)
        return super().predict_proba(self._read(X, reset=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array, tags.input_tags.string = True, False, False
        tags.classifier_tags.poor_score = True
        return tags


FLOATS = "its labels are floats, and TextClassifier takes str, int and bool"
FAILING = {"check_estimators_nan_inf": FLOATS, "check_classifiers_one_label": FLOATS}


CHECKS = parametrize_with_checks([OfNumbers(**TINY, ngrams=False)], expected_failed_checks=lambda estimator: FAILING)


@CHECKS  # type: ignore[untyped-decorator]
def test_conventions(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("label", ["a\0", "\ud800", 2**63])
def test_labels_that_an_array_would_change_are_refused(label: Any) -> None:
    with pytest.raises(ChargenError, match=r"y\[1\]"):
        chargen.TextClassifier(steps=1).fit(["x", "y"], [type(label)(1), label])

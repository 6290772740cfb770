"""`chargen inspect` as a user meets it: language models and classifiers of every cell, and what cannot be done."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import TOKENIZER, random_weights, write_run
from commands import SMALL, call, refused

import chargen
from chargen.errors import ChargenError
from chargen.inspection.export import as_json
from chargen.models.config import ClassifierConfig, EncoderConfig, LanguageModelConfig
from chargen.models.specs import SPECS
from chargen.models.units import Unit

TEXT = "abc dé-cab\n" * 40


@pytest.fixture(autouse=True)
def pages_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are written to the current folder."""
    monkeypatch.chdir(tmp_path)


def inspected(*arguments: str, given: str | None = None) -> dict[str, Any]:
    """What `chargen inspect --json` prints."""
    found: dict[str, Any] = json.loads(call("inspect", *arguments, "--json", given=given).stdout)
    return found


def unpacked(block: dict[str, Any]) -> np.ndarray:
    """Values (N, U), as docs/formats.md says that they are stored."""
    scales = np.array(block["scales"])
    columns = np.frombuffer(base64.b64decode(block["bytes"]), np.int8).reshape(len(scales), -1)
    values: np.ndarray = columns.T * scales
    return values


@pytest.mark.parametrize("cell", SPECS)
def test_a_language_model_of_every_cell(cell: str, tmp_path: Path) -> None:
    config = LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, cell, 2, 6, 4))
    run = str(write_run(tmp_path / "run", config, TOKENIZER, random_weights(config, 0.3)).path)
    found = inspected("-", "-m", run, "--unit", "1.3", given=TEXT)
    tokens = len(TEXT)
    assert "".join(found["text"]["symbols"]) == TEXT and found["text"]["starts"] == [0, tokens]
    assert len(found["reading"]["bits"]) == len(found["reading"]["alternatives"]) == tokens
    per_layer = config.encoder.layer_output_size
    assert (found["units"]["layers"], found["units"]["per_layer"]) == (2, per_layer)
    first, chosen = unpacked(found["units"]["first"]), unpacked(found["units"]["chosen"])
    assert first.shape == (tokens, 2 * per_layer)
    assert found["units"]["chosen"]["units"][0] == found["units"]["asked"][0] == "1.3"
    assert np.array_equal(chosen[:, 0], first[:, per_layer + 3])
    assert [len(layer["gates"]) for layer in found["gates"]] == [len(found["gates"][0]["gates"])] * 2
    assert (found["gates"][0]["memory"] is None) == (f"the cell {cell} has no gates" in found["notes"])
    assert [curve["is_trained"] for curve in found["gradients"]] == [True, False]
    assert all(len(curve["median"]) == 200 for curve in found["gradients"])
    assert len(found["dependence"]["influence"]) == len(found["dependence"]["positions"]) == 100
    assert len(found["states"]["texts"]) == 40 and found["decisions"] == []


@pytest.mark.parametrize("cell", SPECS)
def test_a_classifier_of_every_cell(cell: str, tmp_path: Path) -> None:
    encoder = EncoderConfig(TOKENIZER.vocab_size, cell, 2, 5, 4, bidirectional=True)
    config = ClassifierConfig(encoder, 2, "concat")
    run = str(write_run(tmp_path / "run", config, TOKENIZER, labels=["x", "y"], framed=False, max_length=9).path)
    found = inspected("-", "-m", run, "--unit", "3.0", given="abc\n\ndé ab\n" * 5)
    assert found["reading"] is None and found["gradients"] == [] and found["dependence"] is None
    assert found["units"]["layers"] == 4 and len(found["gates"]) == 4
    assert "layers that read backwards: 2, 3" in found["notes"]
    assert any("of h and of m along depth" in note for note in found["notes"]) == (found["units"]["per_layer"] == 10)
    assert len(found["states"]["texts"]) == len(found["decisions"]) == 10
    decision = found["decisions"][1]
    assert decision["text"] == "".join(span for span, _ in decision["characters"]) == "dé ab"
    assert {carrier["pooling"] for carrier in found["carriers"]} <= {"final", "mean", "max"}
    assert all(carrier["unit"].split(".")[0] in ("1", "3") for carrier in decision["units"])
    shown = call("inspect", "-", "-m", run, "--unit", "3.0", given="abc\n\ndé ab\n" * 5).stdout
    assert "units that weigh most" in shown and "unit 3.0, from" in shown


def test_json_is_what_python_returns(text_run: str) -> None:
    found = chargen.inspect(text_run, TEXT, units=[(0, 2), "1.0"], length=60)
    assert as_json(found) == inspected("-", "-m", text_run, "--unit", "0.2", "--unit", "1.0", "-l", "60", given=TEXT)
    writer = chargen.load_language_model(text_run)
    assert found.survey.reading is not None
    bits = -writer.score(TEXT[:60]).log_probs / np.log(2)
    np.testing.assert_allclose(found.survey.reading.bits, bits, atol=1e-4)
    assert "no text has more than 201 tokens" in " ".join(found.notes)


def test_documents_are_read_one_by_one(documents_run: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("abc\nde\n\nab\n", encoding="utf-8")
    found = inspected(str(tmp_path / "text"), "-m", documents_run)
    assert found["text"]["symbols"] == ["a", "b", "c", "", "d", "e", "", "a", "b", ""]
    assert found["text"]["starts"] == [0, 4, 7, 10]
    assert found["text"]["characters"] == 10
    writer = chargen.load(documents_run)
    nats = -sum(writer.score(text).log_probs.sum() for text in ("abc", "de", "ab"))
    assert sum(found["reading"]["bits"]) == pytest.approx(nats / math.log(2), rel=1e-3)
    assert found["states"]["texts"] == ["abc", "de", "ab"]


def test_what_was_held_out_is_read_and_other_runs_and_cells_are_compared(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"steps": 3, "hidden_size": 6, "embedding_size": 4}.items():
        monkeypatch.setitem(__import__("chargen.api.inspected_gradients", fromlist=["BRIEF"]).BRIEF, name, value)
    for cell in ("gru", "rnn"):
        call("train", "book.txt", *SMALL, "--cell", cell, "--steps", "4", "--quiet", "-o", f"runs/{cell}")
    comparing = ("--compare", "runs/rnn, lstm,", "--compare", "mingru")
    result = call("inspect", "-m", "runs/gru", *comparing, "--plot", "gradients.svg")
    picture = Path("gradients.svg").read_text(encoding="utf-8")
    assert "plot: gradients.svg" in result.stderr and "gates of layer 0" in picture and "lstm, untrained" in picture
    assert "text   held out, 220 characters" in result.stdout
    assert "lstm, mingru were trained briefly on the text of runs/gru (1 layer of 6 units, 3 steps)" in result.stderr
    rows = [line.split("  ")[0] for line in result.stdout.splitlines()]
    wanted = ["runs/gru", "runs/rnn", "lstm", "mingru"]
    assert [row for row in rows if row.removesuffix(", untrained") in wanted] == [
        name + end for name in wanted for end in ("", ", untrained")
    ]
    found = inspected("-m", "runs/gru", "-l", "50")
    assert "".join(found["text"]["symbols"]) == Path("book.txt").read_text()[-220:][:50]
    assert sorted(path.name for path in Path("runs").iterdir()) == ["gru", "rnn"]


def test_a_classifier_is_inspected_on_the_texts_it_held_out(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = ("--hidden-size", "6", "--embedding-size", "5", "--steps", "20", "--device", "cpu", "--quiet")
    call("train", "reviews.csv", "--task", "classify", *sizes, "-o", "runs/reviews")
    result = call("inspect", "-m", "runs/reviews")
    assert "the network alone is inspected" in result.stderr and "units that weigh most: 0." in result.stdout
    found = inspected("-m", "runs/reviews")
    wrong = [decision for decision in found["decisions"][:3] if decision["truth"] != decision["label"]]
    assert result.stdout.count("(truth ") == len(wrong)
    assert {decision["truth"] for decision in found["decisions"]} == {"neg", "pos"}
    assert found["text"]["labels"] == found["states"]["labels"]
    call("inspect", "-m", "runs/reviews", "--plot", "gates.png")
    assert Path("gates.png").read_bytes()[1:4] == b"PNG"
    assert "has no suffix of a picture" in refused("inspect", "-m", "runs/reviews", "--plot", "gates.xyz")
    with monkeypatch.context() as changed:
        changed.setattr("chargen.runs.folder.Run.scales", lambda run: np.array([0.0, 1.0]))
        assert "n-grams alone decide in this classifier" in call("inspect", "-m", "runs/reviews").stderr
    table = inspected("reviews.csv", "-m", "runs/reviews", "-l", "40")
    assert {decision["truth"] for decision in table["decisions"]} == {None}
    assert "runs/reviews is a classifier" in refused("inspect", "-m", "runs/reviews", "--compare", "rnn")


@pytest.mark.parametrize(
    ("arguments", "given", "sentence"),
    [
        (("--unit", "2.0"), TEXT, "there is no unit 2.0: the model has layers 0 to 1 with units 0 to 5"),
        (("--unit", "0.6"), TEXT, "there is no unit 0.6"),
        (("--unit", "x"), TEXT, "'x' is no unit: name one as LAYER.UNIT, such as 0.42"),
        ((), "", "there is no text in standard input"),
        ((), "abz", "the text has characters that {} never saw, 'z': leave them out, or train on them"),
        (("--compare", "nosuch"), TEXT, "nosuch"),
        (("--compare", "nosuch,rnn,"), "ab", "no run called 'nosuch'"),
        (("--compare", "nosuch"), "ab", "or compare with a cell: "),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    text_run: str, arguments: tuple[str, ...], given: str, sentence: str
) -> None:
    message = refused("inspect", "-", "-m", text_run, *arguments, given=given)
    assert sentence.format(text_run) in message and message.count("\n") == 1


def test_weights_that_explode_are_said_to_be_damaged(tmp_path: Path) -> None:
    config = LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, "rnn-relu", 2, 6, 4))
    run = str(write_run(tmp_path / "run", config, TOKENIZER, random_weights(config, 3.0)).path)
    assert "not finite numbers" in refused("inspect", "-", "-m", run, given=TEXT)


def test_blank_lines_and_more_units_than_are_kept_can_be_inspected(tmp_path: Path) -> None:
    config = LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, "gru", 1, 70, 4))
    run = str(write_run(tmp_path / "run", config, TOKENIZER, random_weights(config, 0.3)).path)
    assert chargen.inspect(run, "\n\n\n").points is None
    text = "".join(np.random.default_rng(0).choice([*"ab c"], 3000))
    found = chargen.inspect(run, text, units=[(0, unit) for unit in range(65)])
    assert found.properties
    for one in found.properties:
        assert len(found.survey.unit(one.best.unit)) == len(text)


def test_a_document_that_is_cut_does_not_end(documents_run: str) -> None:
    for last, symbols in (("abcde", ("a", "b")), ("ab", ("a", "b", ""))):
        found = chargen.inspect(documents_run, ["abc", last], length=5)
        assert found.passage.symbols == ("a", "b", "c", "", *symbols)


def test_a_picture_of_nothing_is_refused(tmp_path: Path) -> None:
    config = LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, "rnn", 1, 6, 4))
    run = str(write_run(tmp_path / "run", config, TOKENIZER, random_weights(config, 0.3)).path)
    message = refused("inspect", "-", "-m", run, "--plot", str(tmp_path / "picture.png"), given="abc")
    assert "has neither gradients nor gates to draw" in message and not (tmp_path / "picture.png").exists()


def test_from_python_too(text_run: str) -> None:
    with pytest.raises(ChargenError, match="there is no text to read: give one"):
        chargen.inspect(text_run, "")
    with pytest.raises(ChargenError, match="length is 0, but must be at least 1"):
        chargen.inspect(text_run, "ab", length=0)
    with pytest.raises(ChargenError, match=r"there is no unit 0\.99"):
        chargen.inspect(text_run, "ab", units=[(0, 99)])
    with pytest.raises(ChargenError, match=r"unit 0\.99 was not kept for all tokens"):
        chargen.inspect(text_run, "ab").survey.unit((0, 99))
    for unit in ((0, 1.5), (0,), "0", 3):
        with pytest.raises(ChargenError, match=r"is no unit: name one as LAYER\.UNIT"):
            chargen.inspect(text_run, "ab", units=[unit])  # type: ignore[list-item]
    assert chargen.inspect(text_run, "ab", units="0.3").asked == (Unit(0, 3),)
    with pytest.raises(ChargenError, match="no run called 'nosuch'"):
        chargen.inspect(text_run, "ab", compare="nosuch")
    fractions: list[float] = []
    chargen.inspect(text_run, "ab", progress=fractions.append)
    assert fractions == sorted(fractions) and fractions[-1] == 1.0

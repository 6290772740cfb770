"""`chargen train`, `evaluate` and `classify` as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chargen.checkpoint import load_run
from chargen.cli import main

SENTENCE = "the cat sat on the mat, and the dog ran after the hat.\n"
SMALL = ("--layers", "1", "--hidden", "16", "--embedding", "8", "--batch", "4", "--window", "8", "--device", "cpu")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARGEN_DATA", raising=False)
    Path("book.txt").write_text(SENTENCE * 40)
    lines = [f"{word} {number},{label}" for number in range(30) for word, label in (("good", "pos"), ("bad", "neg"))]
    Path("reviews.csv").write_text("text,label\n" + "\n".join(lines) + "\n")


def call(*arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=given)


def done(*arguments: str, given: str | bytes | None = None) -> Result:
    result = call(*arguments, given=given)
    assert result.exit_code == 0, result.output
    return result


def refused(*arguments: str, code: int = 1, given: str | bytes | None = None) -> str:
    """The one sentence on standard error of a command that cannot be done."""
    result = call(*arguments, given=given)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_train_sample_evaluate(tmp_path: Path) -> None:
    trained = done("train", "book.txt", "--steps", "40", *SMALL)
    assert trained.stdout == ""
    assert "nats a token" in trained.stderr and "bits per character" in trained.stderr
    assert trained.stderr.strip().endswith("next: chargen sample -m book")
    assert done("sample", "the", "--length", "30").stdout.startswith("the")
    figures = json.loads(done("evaluate", "--json").stdout)
    assert figures["nats_per_token"] == pytest.approx(
        load_run(Path("checkpoints/book")).summary()["val_loss"], rel=1e-4
    )
    assert figures["xz_bits_per_character"] > 0
    shown = done("evaluate", "book.txt").stdout
    assert "2,199 characters" in shown and "perplexity" in shown and "xz" in shown


def test_evaluations_come_with_a_sample() -> None:
    trained = done("train", "book.txt", "--steps", "20", *SMALL)
    assert trained.stderr.count("\nstep ") == 10
    assert "\n    " in trained.stderr
    quiet = done("train", "book.txt", "--steps", "20", "--quiet", "--overwrite", *SMALL)
    assert len(quiet.stderr.splitlines()) == 2


def test_train_classify_evaluate() -> None:
    trained = done("train", "reviews.csv", "--task", "classify", "--steps", "60", "--hidden", "16", "--batch", "8")
    assert "accuracy 1.0000" in trained.stderr and "chargen classify -m reviews" in trained.stderr
    lines = done("classify", "good 7", "bad 8").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["pos", "neg"]
    assert all(0.5 < float(line.split("\t")[1]) <= 1 for line in lines)
    Path("new.txt").write_text("bad 1\ngood 2\n")
    assert done("classify", "--file", "new.txt").stdout.split()[::2] == ["neg", "pos"]
    record = json.loads(done("classify", "--json", given="good 3\n").stdout)
    assert record["label"] == "pos" and sum(record["probabilities"].values()) == pytest.approx(1)
    assert list(record["probabilities"]) == ["pos", "neg"]
    assert "never saw them: 1 characters" in done("classify", "good é").stderr
    figures = json.loads(done("evaluate", "reviews.csv", "--json").stdout)
    assert (figures["accuracy"], figures["examples"]) == (1.0, 60)
    shown = done("evaluate").stdout
    assert "macro-F1  1.0000" in shown and "precision" in shown and "taken for" in shown


def test_a_classifier_from_a_language_model() -> None:
    done("train", "book.txt", "--steps", "20", *SMALL)
    shown = done("train", "reviews.csv", "--task", "classify", "--from", "book", "--steps", "10")
    assert "are new to book" in shown.stderr
    assert load_run(Path("checkpoints/reviews")).config["model"]["encoder"]["hidden_size"] == 16


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe", "unigram"])
def test_each_tokenizer_trains_and_samples(tokenizer: str) -> None:
    done("train", "book.txt", "--tokenizer", tokenizer, "--steps", "5", *SMALL)
    assert len(done("sample", "the", "-l", "20").stdout.removesuffix("\n")) >= 22


def test_standard_input_is_a_text() -> None:
    done("train", "-", "--steps", "5", *SMALL, given=SENTENCE * 40)
    assert Path("checkpoints/stdin/config.json").exists()


def test_with_nothing_named_it_trains_on_the_python_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chargen.text.builtin.python_docs", lambda: iter([SENTENCE] * 40))
    done("train", "--steps", "2", *SMALL)
    assert Path("checkpoints/python-docs/config.json").exists()


def test_resume_goes_on_and_config_replays() -> None:
    done("train", "book.txt", "--steps", "10", *SMALL)
    resumed = done("train", "book.txt", "--resume", "--steps", "15")
    assert "going on from step 10" in resumed.stderr
    run = load_run(Path("checkpoints/book"))
    assert run.summary()["steps"] == 15
    config = "checkpoints/book/config.json"
    done("train", "--config", config, "--out", "again", "--precision", run.config["options"]["precision"])
    assert load_run(Path("again")).summary()["steps"] == 15
    whole, again = run.weights(), load_run(Path("again")).weights()
    assert whole.keys() == again.keys()
    assert "--hidden cannot change" in refused("train", "book.txt", "--resume", "--hidden", "3", code=2)
    assert "leave --overwrite" in refused("train", "--resume", "--overwrite", code=2)


def test_an_existing_run_is_not_overwritten() -> None:
    done("train", "book.txt", "--steps", "5", *SMALL)
    sentence = refused("train", "book.txt", "--steps", "5", *SMALL)
    assert "already holds a run: --resume continues it" in sentence
    assert len(sentence.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("train", "nothing.txt"), "there is no file, folder or corpus 'nothing.txt'"),
        (("train", "empty.txt"), "no text in empty.txt"),
        (("train", "tiny.txt"), "too few to train"),
        (("train", "latin.txt"), "byte 0xe9 at offset 3"),
        (("train", "binary.txt"), "is a binary file"),
        (("train", "book.txt", "--minutes", "0"), "minutes is 0.0"),
        (("train", "book.txt", "--size", "giant"), "unknown size 'giant'"),
        (("train", "book.txt", "--device", "cuda:77"), "cannot be used"),
        (("train", "book.txt", "--from", "nowhere"), "no run called 'nowhere'"),
        (("train", "--config", "book.txt"), "is no config.json of a run"),
        (("train", "--resume"), "no language model under checkpoints/ yet"),
        (("train", "reviews.csv", "--task", "classify", "--label-column", "stars"), "no column 'stars'"),
        (("train", "one.csv", "--task", "classify"), "all examples in one.csv are labelled 'pos'"),
        (("train", "lonely.csv", "--task", "classify"), "the label 'neg' has a single example"),
        (("train", "book.txt", "--tokenizer", "bpe", "--vocab-size", "9"), "too small for bpe"),
        (("sample", "-m", "nowhere"), "no run called 'nowhere'"),
        (("classify", "-m", "nowhere", "x"), "no run called 'nowhere'"),
        (("evaluate",), "no run under checkpoints/ yet"),
    ],
)
def test_bad_input_gets_one_sentence(arguments: tuple[str, ...], expected: str) -> None:
    Path("empty.txt").write_text("")
    Path("tiny.txt").write_text("short")
    Path("latin.txt").write_bytes("café".encode("latin-1") * 50)
    Path("binary.txt").write_bytes(bytes(range(256)) * 10)
    Path("one.csv").write_text("text,label\na,pos\nb,pos\n")
    Path("lonely.csv").write_text("text,label\na,pos\nb,pos\nc,neg\n")
    sentence = refused(*arguments)
    assert expected in sentence
    assert len(sentence.splitlines()) == 1
    assert not Path("checkpoints").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("train", "reviews.csv", "--task", "classify", "--documents", "line"),
            "--documents is not for a classifier",
        ),
        (("train", "book.txt", "--label-column", "x"), "--label-column is not for a language model"),
        (("train", "book.txt", "--cell", "qrnn"), "Invalid value for '--cell'"),
        (("train", "book.txt", "--minutes", "soon"), "Invalid value for '-m' / '--minutes'"),
        (("classify", "x", "--file", "book.txt"), "contradict"),
        (("polish",), "No such command"),
    ],
)
def test_a_wrong_command_line_is_code_2(arguments: tuple[str, ...], expected: str) -> None:
    assert expected in refused(*arguments, code=2)


def test_runs_of_the_other_kind_are_refused() -> None:
    done("train", "book.txt", "--steps", "3", *SMALL)
    done("train", "reviews.csv", "--task", "classify", "--steps", "3", "--hidden", "4")
    assert "is a classifier and writes no text" in refused("sample", "-m", "reviews")
    assert "is a language model and knows no labels" in refused("classify", "-m", "book", "x")


def test_a_folder_without_permission_is_said() -> None:
    Path("checkpoints").write_text("a file where the folder should be")
    sentence = refused("train", "book.txt", "--steps", "3", *SMALL)
    assert sentence.splitlines()[-1] == "chargen: file exists: checkpoints"


def test_a_traceback_only_with_debug() -> None:
    result = call("--debug", "train", "nothing.txt")
    assert result.exit_code == 1 and "Traceback" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_and_says_how_to_resume(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "chargen", "train", "book.txt", "--steps", "1000000", *SMALL]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("chargen: gru"):
                break
        time.sleep(0.5)
        os.kill(process.pid, number)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "chargen train --resume --out checkpoints/book" in rest
    run = load_run(Path("checkpoints/book"))
    assert run.summary()["stopped"] == "interrupted"
    step = run.summary()["steps"]
    assert step > 0
    assert f"going on from step {step:,}" in done("train", "--resume", "--steps", str(step + 5)).stderr
    assert done("sample", "-l", "5").exit_code == 0


def test_help_is_instant_and_complete() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from chargen.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(main, ['train', '--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'sentencepiece', 'sklearn', 'numpy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

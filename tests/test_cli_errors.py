"""What cannot be done is one sentence and an exit code, whatever the command."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import SMALL, call, invoke, refused

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("train", "nothing.txt"), "there is no file, folder or corpus 'nothing.txt'"),
        (("train", "empty.txt"), "no text in empty.txt"),
        (("train", "tiny.txt"), "too few to train"),
        (("train", "latin.txt"), "byte 0xe9 at offset 3"),
        (("train", "binary.txt"), "is a binary file"),
        (("train", "book.txt", "--minutes", "0"), "minutes is 0.0"),
        (("train", "book.txt", "--device", "cuda:77"), "cannot be used"),
        (("train", "book.txt", "--from", "nowhere"), "no run called 'nowhere'"),
        (("train", "--config", "book.txt"), "is not the config.json of a run"),
        (("train", "--config", "list.json"), "is not the config.json of a run"),
        (("train", "book.txt", "--num-layers", "1", "--connections", "residual"), "the only layer reads"),
        (
            ("train", "reviews.csv", "--task", "classify", "--connections", "highway", "--num-layers", "1"),
            "leads around layers that read as many numbers as they put out",
        ),
        (
            ("train", "book.txt", "--cell", "grid-lstm", "--tied-layers", "--num-layers", "1"),
            "a single layer has none to share weights with",
        ),
        (
            ("train", "book.txt", "--cell", "mogrifier", "--rounds", "0", "--rank", "4"),
            "with --rounds 0 there is no matrix of --rank 4: set more rounds, or --rank 0",
        ),
        (
            ("train", "book.txt", "--cell", "mogrifier", "--num-layers", "1", "--embedding-size", "8", "--rank", "9"),
            "the matrices have a full rank of 8 at most: set --rank to less",
        ),
        (("train", "--resume"), "no run under checkpoints/ yet"),
        (("train", "reviews.csv", "--task", "classify", "--label-column", "stars"), "no column 'stars'"),
        (("train", "one.csv", "--task", "classify"), "all examples in one.csv are labelled 'pos'"),
        (("train", "lonely.csv", "--task", "classify"), "the label 'neg' has a single example"),
        (("train", "book.txt", "--tokenizer", "bpe", "--vocab-size", "9"), "too small for bpe"),
        (("sample", "-m", "nowhere"), "no run called 'nowhere'"),
        (("classify", "-m", "nowhere", "x"), "no run called 'nowhere'"),
        (("evaluate",), "no run under checkpoints/ yet"),
        (("train", "book.txt", "--text-column", "body"), "for documents in JSON lines"),
        (("train", "book.txt", "--text-column", "text"), "for documents in JSON lines"),
        (("train", "book.txt", "--tokenizer", "bpe", "--min-frequency", "1"), "is for the tokenizer char"),
        (("train", "book.txt", "--epochs", "inf"), "epochs is inf"),
        (("sample", "-m", "foreign"), "does not describe a run of chargen"),
    ],
)
def test_bad_input_gets_one_sentence(arguments: tuple[str, ...], expected: str) -> None:
    Path("empty.txt").write_text("")
    Path("tiny.txt").write_text("short")
    Path("latin.txt").write_bytes("café".encode("latin-1") * 50)
    Path("binary.txt").write_bytes(bytes(range(256)) * 10)
    Path("one.csv").write_text("text,label\na,pos\nb,pos\n")
    Path("lonely.csv").write_text("text,label\na,pos\nb,pos\nc,neg\n")
    Path("list.json").write_text('{"kind": "language-model", "options": []}')
    Path("foreign").mkdir()
    Path("foreign/config.json").write_text('{"model_type": "bert"}')
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
        (("train", "book.txt", "--cell", "lsmt"), "Invalid value for '--cell'"),
        (("train", "book.txt", "--size", "giant"), "'giant' is not one of 'auto', 'tiny'"),
        (("train", "book.txt", "--optimizer", "sgd"), "'sgd' is not one of 'muon', 'adamw'"),
        (("train", "reviews.csv", "--metric", "f1"), "'f1' is not one of 'loss'"),
        (("train", "book.txt", "--minutes", "soon"), "Invalid value for '--minutes'"),
        (("classify", "x", "--file", "book.txt"), "--file names the texts, so TEXT has no use with it"),
        (("evaluate", "--encoding", "utf-8"), "--encoding has no use without DATA"),
        (("classify", "x", "--encoding", "utf-8"), "--encoding is for files and standard input, and TEXT is neither"),
        (("classify", "-", "x"), "TEXT - is standard input: leave the others out"),
        (("polish",), "No such command"),
    ],
)
def test_a_wrong_command_line_is_code_2(arguments: tuple[str, ...], expected: str) -> None:
    assert expected in refused(*arguments, code=2)


def test_runs_of_the_other_kind_are_refused() -> None:
    call("train", "book.txt", "--steps", "3", *SMALL)
    call("train", "reviews.csv", "--task", "classify", "--steps", "3", "--hidden-size", "4")
    assert "is a classifier and writes no text" in refused("sample", "-m", "reviews")
    assert "is a language model and knows no labels" in refused("classify", "-m", "book", "x")
    assert "which reads no label column" in refused("evaluate", "-m", "book", "book.txt", "--label-column", "x")
    assert "only a language model adapts" in refused("evaluate", "-m", "reviews", "--dynamic")


def test_a_file_where_the_folder_should_be_is_said() -> None:
    Path("checkpoints").write_text("a file where the folder should be")
    sentence = refused("train", "book.txt", "--steps", "3", *SMALL)
    assert sentence.splitlines()[-1] == "chargen: file exists: checkpoints (name another folder with --out)"


def test_a_folder_one_may_not_write_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> str:
        raise PermissionError(13, "Permission denied", "checkpoints/.book")

    monkeypatch.setattr("tempfile.mkdtemp", forbidden)
    sentence = refused("train", "book.txt", "--steps", "3", *SMALL)
    assert "permission denied: checkpoints/.book (choose a folder" in sentence.splitlines()[-1]


def test_what_nobody_thought_of_is_one_sentence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("out of luck\nand more")

    monkeypatch.setattr("chargen.runs.search.find_run", broken)
    assert refused("sample") == (
        "chargen: this failed unexpectedly (RuntimeError: out of luck): see where with chargen --debug\n"
    )


def of_torch() -> None:
    torch.empty(2**60)


def of_python() -> None:
    bytearray(2**60)


def of_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("greedy", [of_torch, of_python, of_a_gpu])
def test_too_little_memory_is_said(greedy: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chargen.runs.search.find_run", lambda *_: greedy())
    monkeypatch.setattr("chargen.training.start.start", lambda *_, **__: greedy())
    for command, advice in (
        (("sample",), "write fewer --samples at once"),
        (("score", "book.txt"), "divide the input into several files"),
        (("train", "book.txt"), "train with a smaller --batch-size"),
    ):
        assert f"there is not enough memory: {advice}" in refused(*command)


def test_memory_that_is_full_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise MemoryError

    Path("a.txt.gz").write_bytes(gzip.compress(b"some text"))
    monkeypatch.setattr(gzip.GzipFile, "read", full)
    assert "there is not enough memory: divide the input" in refused("corpus", "stats", "a.txt.gz")


def test_a_traceback_only_with_debug() -> None:
    result = invoke("--debug", "train", "nothing.txt")
    assert result.exit_code == 1 and "Traceback" in result.stderr


def test_links_that_lead_round_in_circles_are_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").symlink_to("b")
    Path("b").symlink_to("a")
    stderr = call("train", "a", code=1).stderr
    assert "unexpectedly" not in stderr and "'a'" in stderr


def test_a_text_that_is_trained_on_and_measured_on_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("once upon a time " * 60)
    small = ("--steps", "1", "--hidden-size", "4")
    assert "is trained on too" in call("train", "book.txt", "--val", "book.txt", *small).stderr

"""`chargen train` as a user meets it, and what the run that it leaves can do."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import click
import pytest
from builders import SENTENCE
from commands import SMALL, call, refused
from processes import run_python

from chargen.cli.train import command as train_command
from chargen.cli.training_bar import progress_line as progress_of
from chargen.models.config import POOLINGS
from chargen.runs.folder import load_run
from chargen.text.documents import DOCUMENT_MODES
from chargen.text.tokenizers.registry import KINDS
from chargen.training.events import Step
from chargen.training.options import (
    METRICS,
    OPTIMIZERS,
    PRECISIONS,
    SIZES,
    ClassifierOptions,
    LanguageModelOptions,
)

pytestmark = pytest.mark.usefixtures("workplace")


def test_train_sample_evaluate(tmp_path: Path) -> None:
    trained = call("train", "book.txt", "--steps", "40", *SMALL)
    assert trained.stdout == ""
    assert "nats per token" in trained.stderr and "bits per character" in trained.stderr
    assert trained.stderr.strip().endswith("next: chargen sample -m book")
    assert "perplexity" in trained.stderr and "held-out tokens" not in trained.stderr  # all were read
    Path("longer.txt").write_text(SENTENCE * 1000)
    longer = call("train", "longer.txt", "--steps", "4", *SMALL, "-o", "longer")
    last = load_run(Path("longer")).summary()
    assert last["val_tokens"] == 2000 < last["held_out_tokens"]
    assert f"on the first 2,000 of {last['held_out_tokens']:,} held-out tokens; " in longer.stderr
    assert "(first 2,000 held-out tokens)" in longer.stderr
    assert call("sample", "-m", "book", "the", "--length", "30").stdout.startswith("the")
    figures = json.loads(call("evaluate", "--json").stdout)
    assert figures["nats_per_token"] == pytest.approx(
        load_run(Path("checkpoints/book")).summary()["val_loss"], rel=1e-4
    )
    assert figures["xz_bits_per_character"] > 0
    shown = call("evaluate", "book.txt").stdout
    assert "2,199 characters" in shown and "perplexity" in shown and "xz" in shown


def test_a_budget_in_minutes_is_planned_by_what_is_measured_and_steps_are_not() -> None:
    call("train", "book.txt", "--steps", "3", *SMALL, "--out", "first")
    assert not Path("data/speeds.json").exists()
    planned = call(
        "train", "book.txt", "--minutes", "0.01", "--epochs", "1000", "--hidden-size", "16", "--out", "second"
    )
    told = re.search(
        r"gru 1x16 reads about ([\d,]+) tokens a second here, so .* epochs in 0.01 minutes", planned.stderr
    )
    assert told
    speeds = json.loads(Path("data/speeds.json").read_text())
    assert round(float(told[1].replace(",", ""))) in [round(speed) for speed in speeds.values()]


def test_shards_are_recorded_and_no_more_than_the_streams() -> None:
    call("train", "book.txt", "--steps", "3", *SMALL, "--shards", "3", "--out", "three")
    assert load_run(Path("three")).config["options"]["shards"] == 3
    told = call("train", "book.txt", "--steps", "3", *SMALL, "--shards", "9", "--out", "nine")
    assert "4 streams make 4 shards at most" in told.stderr
    assert load_run(Path("nine")).config["options"]["shards"] == 4
    replayed = ("--config", "nine/config.json", "--batch-size", "2", "--out", "two")
    call("train", *replayed)
    assert load_run(Path("two")).config["options"]["shards"] == 1  # one core in the tests
    assert "shards is 0" in refused("train", "book.txt", "--shards", "0")


def test_evaluations_come_with_a_sample() -> None:
    trained = call("train", "book.txt", "--steps", "20", *SMALL)
    assert trained.stderr.count("\nstep ") == 10
    assert "\n    " in trained.stderr
    quiet = call("train", "book.txt", "--steps", "20", "--quiet", "--overwrite", *SMALL)
    assert len(quiet.stderr.splitlines()) == 2


def test_train_classify_evaluate() -> None:
    trained = call(
        "train",
        "reviews.csv",
        "--task",
        "classify",
        "--steps",
        "60",
        "--hidden-size",
        "16",
        "--batch-size",
        "8",
        "--tokenizer",
        "char",
    )
    assert "accuracy 1.0000" in trained.stderr and "chargen classify -m reviews" in trained.stderr
    lines = call("classify", "good 7", "bad 8").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["pos", "neg"]
    assert all(0.5 < float(line.split("\t")[1]) <= 1 for line in lines)
    Path("new.txt").write_text("bad 1\ngood 2\n")
    assert call("classify", "--file", "new.txt").stdout.split()[::2] == ["neg", "pos"]
    record = json.loads(call("classify", "--json", given="good 3\n").stdout)
    assert record["label"] == "pos" and sum(record["probabilities"].values()) == pytest.approx(1)
    assert list(record["probabilities"]) == ["pos", "neg"]
    assert "never saw them: 1" in call("classify", "good é").stderr
    figures = json.loads(call("evaluate", "reviews.csv", "--json").stdout)
    assert (figures["accuracy"], figures["examples"]) == (1.0, 60)
    shown = call("evaluate").stdout
    assert "macro-F1           1.0000" in shown and "precision" in shown and "taken for" in shown


def test_a_classifier_from_a_language_model() -> None:
    call("train", "book.txt", "--steps", "20", *SMALL)
    shown = call("train", "reviews.csv", "--task", "classify", "--from", "book", "--steps", "10")
    assert "are new to book" in shown.stderr
    assert load_run(Path("checkpoints/reviews")).config["model"]["encoder"]["hidden_size"] == 16


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe", "unigram"])
def test_each_tokenizer_trains_and_samples(tokenizer: str) -> None:
    call("train", "book.txt", "--tokenizer", tokenizer, "--steps", "5", *SMALL)
    assert len(call("sample", "the", "-l", "20").stdout.removesuffix("\n")) >= 22


def test_standard_input_is_a_text() -> None:
    call("train", "-", "--steps", "5", *SMALL, given=SENTENCE * 40)
    assert Path("checkpoints/stdin/config.json").exists()
    assert "standard input, which is gone" in refused("evaluate")
    assert json.loads(call("evaluate", "book.txt", "--json").stdout)["tokens"] == 2199
    resumed = call("train", "-", "--resume", "--steps", "7", given=SENTENCE * 40)
    assert "going on from step 5" in resumed.stderr


def test_a_folder_is_found_by_its_path_not_by_another_runs_name() -> None:
    call("train", "book.txt", "--steps", "3", *SMALL)
    shown = call("train", "book.txt", "--steps", "4", "--out", "book", *SMALL)
    assert "next: chargen sample -m ./book" in shown.stderr
    assert "going on from step 4" in call("train", "--resume", "--out", "book", "--steps", "5").stderr
    assert [json.loads(call("evaluate", "-m", name, "--json").stdout)["model"] for name in ("book", "./book")] == [
        "book",
        "./book",
    ]


def test_with_nothing_named_it_trains_on_the_python_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chargen.text.builtin.python_docs", lambda: iter([SENTENCE] * 40))
    call("train", "--steps", "2", *SMALL)
    assert Path("checkpoints/python-docs/config.json").exists()


def test_an_existing_run_is_not_overwritten() -> None:
    call("train", "book.txt", "--steps", "5", *SMALL)
    sentence = refused("train", "book.txt", "--steps", "5", *SMALL)
    assert "already holds a run: --resume continues it" in sentence
    assert len(sentence.splitlines()) == 1


def test_the_record_says_what_was_chosen() -> None:
    call("train", "book.txt", "--steps", "3", *SMALL)
    options = load_run(Path("checkpoints/book")).config["options"]
    assert (options["tokenizer"], options["precision"] in ("fp32", "bf16")) == ("char", True)


def test_the_time_left_is_that_of_all_sittings() -> None:
    assert progress_of(Step(6, 1.0, 1.5, 0.01, 0.6, 360.0, 6000), 1.0).startswith(
        "06:00<04:00, loss 1.000, 1.500 bits"
    )
    assert progress_of(Step(9, 1.0, None, 0.01, 1.1, 400.0, 6000), 1.0).startswith("06:40<00:00, loss 1.000, 15 tok")


def test_every_option_of_a_training_can_be_typed_and_nothing_else() -> None:
    typed = {parameter.name for parameter in train_command.params}
    fields_of = {field.name for kind in (LanguageModelOptions, ClassifierOptions) for field in fields(kind)}
    of_the_command = {"task", "out", "overwrite", "resume", "config", "quiet", "log"}
    assert typed == fields_of | of_the_command


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        *(("size", SIZES), ("optimizer", OPTIMIZERS), ("precision", PRECISIONS), ("metric", METRICS)),
        *(("pooling", POOLINGS), ("tokenizer", KINDS), ("documents", DOCUMENT_MODES)),
    ],
)
def test_the_choices_of_an_option_are_those_of_the_library(name: str, choices: tuple[str, ...]) -> None:
    (option,) = (parameter for parameter in train_command.params if parameter.name == name)
    assert isinstance(option.type, click.Choice) and tuple(option.type.choices) == choices


def test_help_is_instant_and_complete() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from chargen.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(main, ['train', '--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'sentencepiece', 'sklearn', 'numpy', 'polars') if name in sys.modules])"
    )
    assert run_python("-c", code).stdout.strip() == "[]"

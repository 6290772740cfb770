"""`chargen train` that goes on or trains again: --resume, --config, and what an interrupt leaves for them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from builders import SENTENCE
from commands import SMALL, call, refused
from processes import start_python

from chargen.cli.train import _interruptible
from chargen.runs.folder import load_run
from chargen.training.options import LanguageModelOptions
from chargen.training.recipes import language_model_recipe

pytestmark = pytest.mark.usefixtures("workplace")


def test_a_run_may_go_on_in_another_precision() -> None:
    call("train", "book.txt", "--steps", "3", *SMALL, "--precision", "bf16")
    call("train", "book.txt", "--resume", "--steps", "5", "--precision", "fp32")
    run = load_run(Path("checkpoints/book"))
    assert (run.summary()["steps"], run.config["options"]["precision"]) == (5, "fp32")


def test_resume_goes_on_and_config_replays() -> None:
    call("train", "book.txt", "--steps", "10", *SMALL)
    resumed = call("train", "book.txt", "--resume", "--steps", "15")
    assert "going on from step 10" in resumed.stderr and "no step was left" not in resumed.stderr
    Path("checkpoints/book/summary.json").write_text("{")  # which the end of a training replaces
    idle = call("train", "book.txt", "--resume", "--steps", "15").stderr
    assert "no step was left to make: give a larger --minutes, --epochs or --steps to go on" in idle
    run = load_run(Path("checkpoints/book"))
    assert run.summary()["steps"] == 15
    config = "checkpoints/book/config.json"
    call("train", "--config", config, "--out", "again", "--precision", run.config["options"]["precision"])
    assert load_run(Path("again")).summary()["steps"] == 15
    call("train", "--config", "checkpoints/book", "--out", "third", "--precision", run.config["options"]["precision"])
    again, third = (load_run(Path(name)).weights() for name in ("again", "third"))
    assert all((again[name] == third[name]).all() for name in again)
    call("train", "--config", config, "--out", "longer", "--epochs", "0.5", "--hidden-size", "6")
    longer = load_run(Path("longer")).config["options"]
    assert (longer["steps"], longer["epochs"], longer["hidden_size"], longer["sequence_length"]) == (None, 0.5, 6, 8)
    call("train", "--config", config, "--out", "tied", "--steps", "2", "--tied", "--optimizer", "adamw")
    tied = load_run(Path("tied")).config["options"]
    assert (tied["num_layers"], tied["hidden_size"], tied["embedding_size"], tied["batch_size"]) == (1, 16, 16, 4)
    adamw = language_model_recipe(LanguageModelOptions(inputs=("x",), optimizer="adamw"), 10**6, 65, lambda _: 1e4)
    assert (tied["learning_rate"], tied["weight_decay"]) == (adamw.learning_rate, adamw.weight_decay)
    narrow = (
        "--config",
        "tied/config.json",
        "--steps",
        "1",
        "--hidden-size",
        "8",
        "--documents",
        "line",
        "--overwrite",
    )
    call("train", *narrow, "--out", "narrow")
    assert load_run(Path("narrow")).config["options"]["embedding_size"] == 8
    tuned = ("--config", "tied/config.json", "--steps", "1", "--from", "book")
    call("train", *tuned, "--out", "tuned")
    tuned_options = load_run(Path("tuned")).config["options"]
    assert (tuned_options["tied"], tuned_options["embedding_size"]) == (False, 8)
    assert tuned_options["learning_rate"] < adamw.learning_rate
    call(
        "train", "--config", "tied/config.json", "--steps", "1", "--size", "auto", "--out", "anew"
    )  # also typed again
    assert load_run(Path("anew")).config["options"]["hidden_size"] == 128
    assert "--hidden-size cannot change" in refused("train", "book.txt", "--resume", "--hidden-size", "3", code=2)
    assert "--overwrite has no use with it" in refused("train", "--resume", "--overwrite", code=2)


def test_a_resumed_run_is_the_one_that_was_meant() -> None:
    call("train", "book.txt", "--steps", "3", *SMALL)
    call("train", "reviews.csv", "--task", "classify", "--steps", "3", "--hidden-size", "4")
    assert "to checkpoints/reviews" in call("train", "--resume", "--steps", "4").stderr  # the newest of either kind
    assert "to checkpoints/book" in call("train", "--resume", "--task", "language-model", "--steps", "4").stderr
    assert "to checkpoints/book" in call("train", "./book.txt", "--resume", "--steps", "5").stderr
    Path("other.txt").write_text(SENTENCE * 30)
    other = ("train", "other.txt", "--resume", "--out", "checkpoints/book")
    assert "book was trained on book.txt, and --resume continues with that" in refused(*other, code=2)
    config = ("--config", "checkpoints/book/config.json", "--out", "new")
    for arguments in (("--resume", "--out", "checkpoints/book"), config):
        sentence = refused("train", "--task", "classify", *arguments, code=2)
        assert "is a language model, which contradicts --task: leave --task out" in sentence


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_and_says_how_to_resume(number: signal.Signals) -> None:
    with start_python("-m", "chargen", "train", "book.txt", "--steps", "20000", *SMALL) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("step "):
                break
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert "chargen train --resume --out checkpoints/book" in rest
    run = load_run(Path("checkpoints/book"))
    assert run.summary()["stopped"] == "interrupted"
    step = run.summary()["steps"]
    assert step > 0
    assert f"going on from step {step:,}" in call("train", "--resume", "--steps", str(step + 5)).stderr
    assert call("sample", "-l", "5").exit_code == 0


def test_a_signal_is_told_by_the_loop_since_standard_error_may_be_being_written_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with _interruptible() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert capsys.readouterr().err == ""
        assert stop() and stop()
        assert capsys.readouterr().err.count("interrupt again to stop at once") == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

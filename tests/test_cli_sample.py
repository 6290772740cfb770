"""`chargen sample` as a user meets it: what is on standard output, what on standard error, how it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import TOKENIZER, write_run
from commands import call, refused, sample, written
from processes import run_python, start_python

from chargen.generation.engines.torch_engine import TorchEngine
from chargen.generation.samplers import Sampling
from chargen.models.config import ClassifierConfig, EncoderConfig, LanguageModelConfig
from chargen.text import piped


def test_prompts_spell_line_breaks_as_stop_does_and_may_come_from_standard_input(text_run: str) -> None:
    options = ("-m", text_run, "--length", "9", "--seed", "1")
    typed = written("ab\\nc", *options)
    assert typed.startswith("ab\nc") and typed == written("ab\nc", *options)
    for given in (b"ab\nc", b"ab\nc\n", "ab\r\nc\r\n".encode("utf-16")):
        piped.spool.cache_clear()
        assert call("sample", "-", *options, given=given).stdout == typed
    piped.spool.cache_clear()
    assert "is not valid utf-8" in refused("sample", "-", *options, given=b"caf\xe9")
    turns = call("write", "ab\\nc", *options, given="").stdout
    assert turns == call("write", "ab\nc", *options, given="").stdout


def test_prompt_and_text_are_all_there_is_on_standard_output(text_run: str) -> None:
    result = sample("abc é", "-m", text_run, "--length", "40", "--seed", "1")
    assert result.exit_code == 0
    assert result.stdout.startswith("abc é")
    assert len(result.stdout.removesuffix("\n")) in (45, 44)  # a text that ends with a line break gets no other
    assert result.stderr == ""


def test_a_seed_writes_the_same_text_and_verbose_says_which_it_was(text_run: str) -> None:
    first = sample("-m", text_run, "--verbose")
    seed = first.stderr.split("seed ")[1].split(":")[0]
    assert "500 characters in" in first.stderr
    assert written("-m", text_run, "--seed", seed) == first.stdout
    assert written("-m", text_run, "--seed", str(int(seed) + 1)) != first.stdout


def test_temperature_zero_needs_no_seed(text_run: str) -> None:
    assert written("-m", text_run, "-t", "0") == written("-m", text_run, "-t", "0")


def test_samples_come_one_after_another(text_run: str) -> None:
    rule = "-" * 40
    texts = written("ab", "-m", text_run, "-n", "3", "-l", "30", "--seed", "2", "--forbid", "-").split(rule + "\n")
    assert len(texts) == 3
    assert all(text.startswith("ab") and text.endswith("\n") for text in texts)
    assert len(set(texts)) == 3


def test_documents_come_one_a_line(documents_run: str) -> None:
    text = written("-m", documents_run, "-n", "5", "--forbid", r"\n", "--seed", "2")
    assert len(text.splitlines()) == 5
    ends = [json.loads(line)["end"] for line in written("-m", documents_run, "-n", "5", "--json").splitlines()]
    assert ends == ["document"] * 5


def test_a_text_that_ends_with_a_line_break_gets_no_other(documents_run: str) -> None:
    options = ("-m", documents_run, "--allow", r"\n", "--logit-bias", r"\n=5", "--seed", "1")
    text = json.loads(written(*options, "--json"))["text"]
    assert text
    assert written(*options) == text


def test_json_tells_all_of_each_text(text_run: str) -> None:
    options = ("ab", "-m", text_run, "-n", "2", "-l", "25", "--seed", "3", "--allow", r"abc\n")
    records = [json.loads(line) for line in written(*options, "--json").splitlines()]
    plain = written(*options).split("-" * 40 + "\n")
    for record, text in zip(records, plain, strict=True):
        assert (record["prompt"] + record["text"]).removesuffix("\n") == text.removesuffix("\n")
        assert record["tokens"] == 25
        assert record["end"] == "length"
        assert record["log_probability"] < 0
        assert record["seconds"] > 0
        assert record["seed"] == 3
        assert record["model"] == text_run


def test_stop_allow_and_bias_know_line_breaks(text_run: str) -> None:
    assert "\n" not in written("-m", text_run, "--stop", r"\n", "-l", "100000").removesuffix("\n")
    assert set(written("-m", text_run, "--allow", r"a\n")) == {"a", "\n"}
    assert set(written("-m", text_run, "--logit-bias", "e=1000")) == {"e", "\n"}
    cancelled = ("--logit-bias", "e=1000", "--logit-bias", "e=-1000", "--seed", "1")
    assert written("-m", text_run, *cancelled) == written("-m", text_run, "--seed", "1")


def test_every_sampling_option_reaches_the_sampler(text_run: str) -> None:
    greedy = written("-m", text_run, "-t", "0", "-l", "60")
    for option, value in (("--top-k", "1"), ("--top-p", "0.0001"), ("--min-p", "1"), ("-t", "0.001")):
        assert written("-m", text_run, option, value, "-l", "60") == greedy
    plain = written("-m", text_run, "--seed", "5")
    for options in (("--typical", "0.3"), ("--repetition-penalty", "3")):
        assert written("-m", text_run, "--seed", "5", *options) != plain
    penalty = ("-m", text_run, "--seed", "5", "--repetition-penalty", "3")
    assert written(*penalty, "--repetition-window", "1") != written(*penalty)


def test_help_names_the_defaults_that_hold() -> None:
    help_text = " ".join(written("--help").split())
    assert f"0 always takes the likeliest token. [default: {Sampling().temperature}]" in help_text
    assert f"become less likely. [default: {Sampling().repetition_penalty:g}]" in help_text
    assert f"count as recent. [default: {Sampling().repetition_window}]" in help_text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--temperature", "-1"], "temperature is -1.0"),
        (["--top-p", "1.5"], "top-p is 1.5"),
        (["--length", "0"], "length is 0"),
        (["-n", "0"], "samples is 0"),
        (["-t", "0", "--top-k", "3"], "leave out one of the two"),
        (["--allow", ""], "every token of the model is forbidden"),
        (["--allow", "ab", "--forbid", "b"], "cannot be both allowed and forbidden"),
        (["--logit-bias", "ab=1"], "'ab' cannot be set"),
        (["--logit-bias", "e=1e308"], "must be a number from -10000 to 10000"),
        (["abzé№"], "characters the model never saw, 'z', '№'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(text_run: str, options: list[str], sentence: str) -> None:
    result = sample("-m", text_run, *options)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_wrong_command_line_is_code_2(text_run: str) -> None:
    for options in (["--logit-bias", "e"], ["--logit-bias", "e=much"]):
        result = sample("-m", text_run, *options)
        assert (result.exit_code, result.stdout) == (2, "") and "--logit-bias" in result.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("--score", "x"), "--score is a command of its own now: chargen score FILE"),
        (("--interactive",), "--interactive is a command of its own now: chargen write\n"),
        (("--co-write",), "--co-write is a command of its own now: chargen write --choose\n"),
    ],
)
def test_options_that_became_commands_say_so(text_run: str, old: tuple[str, ...], new: str) -> None:
    result = sample("-m", text_run, *old)
    assert result.exit_code == 2 and new in result.stderr


def test_a_classifier_is_sent_to_classify(tmp_path: Path) -> None:
    config = ClassifierConfig(EncoderConfig(TOKENIZER.vocab_size, "lstm", 2, 6, 4), 2)
    labels = write_run(tmp_path / "labels", config, TOKENIZER, labels=["x", "y"])
    result = sample("-m", str(labels.path))
    assert result.exit_code == 1
    assert "chargen classify" in result.stderr


def test_a_reader_that_leaves_ends_it_quietly(text_run: str) -> None:
    with start_python("-m", "chargen", "sample", "-m", text_run, "--length", "10000000") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(10)) == 10
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Children can be interrupted, also where the tests cannot, as in a script's background job."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_writing_can_be_interrupted(text_run: str) -> None:
    with start_python("-m", "chargen", "sample", "-m", text_run, "--length", "100000000") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1000)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.stderr.read() == ""
    assert process.returncode == 130


def test_a_narrow_encoding_does_not_end_the_text(text_run: str) -> None:
    command = ["-m", "chargen", "sample", "é", "-m", text_run, "--allow", "é", "--length", "3"]
    environment = {"PYTHONIOENCODING": "ascii", "PATH": ""}
    assert run_python(*command, env=environment, check=True).stdout == "????\n"


def test_sampling_and_its_help_import_no_torch(text_run: str) -> None:
    heavy = {"torch", "sentencepiece", "sklearn"}
    for arguments, slow in (["sample", "--help"], heavy | {"numpy"}), (["sample", "-m", text_run], heavy):
        code = (
            "import sys\nfrom chargen.cli import main\n"
            f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code\n"
            f"slow = {slow}\n"
            "assert not slow & sys.modules.keys(), slow & sys.modules.keys()"
        )
        run_python("-c", code, check=True)


def test_both_engines_write_the_same(text_run: str) -> None:
    options = ("abc", "-m", text_run, "-l", "200", "--seed", "5")
    assert written(*options, "--engine", "torch") == written(*options, "--engine", "numpy")
    assert written(*options, "--device", "cpu") == written(*options)


@pytest.mark.parametrize(
    ("arguments", "precision", "expected"),
    [
        (("-n", "4", "-l", "50"), "bf16", [("cpu", "bf16")]),
        (("-n", "4", "-l", "49"), "bf16", []),  # too little text
        (("-n", "3", "-l", "100"), "bf16", []),  # in too few samples
        (("-n", "4", "-l", "50"), "fp32", []),  # in which torch wins nothing on a CPU
        (("-n", "4", "-l", "50", "--engine", "numpy"), "bf16", []),
        (("-n", "1", "-l", "5", "--engine", "torch"), "bf16", [("cpu", "fp32")]),
    ],
)
def test_much_text_in_many_samples_takes_torch(
    text_run: str,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    precision: str,
    expected: list[tuple[str, str]],
) -> None:
    made: list[tuple[str, str]] = []

    class Recorded(TorchEngine):
        def __init__(self, config: LanguageModelConfig, weights: Any, device: str, precision: str) -> None:
            made.append((device, precision))
            super().__init__(config, weights, device, precision)

    monkeypatch.setattr("chargen.generation.engines.choice.MANY_SAMPLES", 4)
    monkeypatch.setattr("chargen.generation.engines.choice.MANY_CHARACTERS", 200)
    monkeypatch.setattr("chargen.hardware.choose_precision", lambda name, device: precision)
    monkeypatch.setattr("chargen.hardware.choose_device", lambda name: torch.device("cpu"))
    monkeypatch.setattr("chargen.generation.engines.torch_engine.TorchEngine", Recorded)
    records = [json.loads(line) for line in written("-m", text_run, "--json", *arguments).splitlines()]
    assert made == expected
    assert {len(record["text"]) for record in records} == {int(arguments[3])}


def test_a_beam_writes_the_likeliest(text_run: str) -> None:
    beam = json.loads(written("ab", "-m", text_run, "--beam", "8", "-l", "12", "--json"))
    assert len(beam["text"]) == 12
    assert written("ab", "-m", text_run, "--beam", "8", "-l", "12") == "ab" + beam["text"] + "\n"
    greedy = json.loads(written("ab", "-m", text_run, "--beam", "1", "-l", "12", "--json"))
    assert beam["log_probability"] > greedy["log_probability"] - 1e-6


def test_an_end_symbol_can_be_kept_out(documents_run: str, text_run: str) -> None:
    record = json.loads(written("-m", documents_run, "--end", "length", "-l", "300", "--json"))
    assert (record["end"], len(record["text"])) == ("length", 300)
    assert json.loads(written("-m", documents_run, "--end", "document", "--json"))["end"] == "document"
    refused = sample("-m", text_run, "--end", "document")
    assert refused.exit_code == 1
    assert "without documents that end" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--beam", "3", "--temperature", "1"), "--beam writes the one likeliest text, so --temperature has no use"),
        (("--json", "--heat"), "--json prints JSON, so --heat has no use"),
        (("--show-copied", "--heat"), "--show-copied shows what is copied, so --heat"),
        (("--copied-length", "5"), "--copied-length has no use without --originality"),
        (("--engine", "numpy", "--device", "cpu"), "--device is for the engine torch"),
        (("--repetition-window", "3"), "--repetition-window has no use without --repetition-penalty"),
    ],
)
def test_options_that_contradict_are_a_wrong_command_line(
    text_run: str, arguments: tuple[str, ...], expected: str
) -> None:
    result = sample("-m", text_run, *arguments)
    assert result.exit_code == 2
    assert expected in result.stderr

"""`chargen sample` as a user meets it: what is on standard output, what on standard error, how it ends."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from processes import run_python, start_python

from chargen.cli import main
from chargen.generation.engines.torch_engine import TorchEngine
from chargen.generation.samplers import Sampling
from chargen.kinds import CLASSIFIER, LANGUAGE_MODEL
from chargen.models.config import ClassifierConfig, EncoderConfig, LanguageModelConfig, weight_shapes
from chargen.runs.folder import create_run
from chargen.text.tokenizers.char import CharTokenizer

TOKENIZER = CharTokenizer("\n -abcdeé")


def make_run(path: Path, documents: str | None = None, *, classifier: bool = False) -> str:
    """A run of random weights that writes TOKENIZER's characters; gives its path."""
    encoder = EncoderConfig(TOKENIZER.vocab_size, "lstm", num_layers=2, hidden_size=6, embedding_size=4)
    model = ClassifierConfig(encoder, 2) if classifier else LanguageModelConfig(encoder)
    data = {"fingerprint": "x", "documents": documents, "text_column": "text", "encoding": "utf-8"}
    config = {"kind": CLASSIFIER if classifier else LANGUAGE_MODEL, "model": asdict(model), "data": data}
    run = create_run(path, config, TOKENIZER, ["x", "y"] if classifier else None)
    random = np.random.default_rng(0)
    run.save_weights({name: random.normal(0, 1, shape).astype("f") for name, shape in weight_shapes(model).items()})
    return str(path)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_run(tmp_path_factory.mktemp("runs") / "stream")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_run(tmp_path_factory.mktemp("runs") / "documents", "line")


def sample(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["sample", *arguments])


def score(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["score", *arguments])


def written(*arguments: str) -> str:
    result = sample(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_prompt_and_text_are_all_there_is_on_standard_output(stream: str) -> None:
    result = sample("abc é", "-m", stream, "--length", "40", "--seed", "1")
    assert result.exit_code == 0
    assert result.stdout.startswith("abc é")
    assert len(result.stdout.removesuffix("\n")) in (45, 44)  # a text that ends with a line break gets no other
    assert result.stderr == ""


def test_a_seed_writes_the_same_text_and_verbose_says_which_it_was(stream: str) -> None:
    first = sample("-m", stream, "--verbose")
    seed = first.stderr.split("seed ")[1].split(":")[0]
    assert "500 characters in" in first.stderr
    assert written("-m", stream, "--seed", seed) == first.stdout
    assert written("-m", stream, "--seed", str(int(seed) + 1)) != first.stdout


def test_temperature_zero_needs_no_seed(stream: str) -> None:
    assert written("-m", stream, "-t", "0") == written("-m", stream, "-t", "0")


def test_samples_come_one_after_another(stream: str) -> None:
    rule = "-" * 40
    texts = written("ab", "-m", stream, "-n", "3", "-l", "30", "--seed", "2", "--forbid", "-").split(rule + "\n")
    assert len(texts) == 3
    assert all(text.startswith("ab") and text.endswith("\n") for text in texts)
    assert len(set(texts)) == 3


def test_documents_come_one_a_line(documents: str) -> None:
    text = written("-m", documents, "-n", "5", "--forbid", r"\n", "--seed", "2")
    assert len(text.splitlines()) == 5
    ends = [json.loads(line)["end"] for line in written("-m", documents, "-n", "5", "--json").splitlines()]
    assert ends == ["document"] * 5


def test_a_text_that_ends_with_a_line_break_gets_no_other(documents: str) -> None:
    options = ("-m", documents, "--allow", r"\n", "--logit-bias", r"\n=5", "--seed", "1")
    text = json.loads(written(*options, "--json"))["text"]
    assert text
    assert written(*options) == text


def test_json_tells_all_of_each_text(stream: str) -> None:
    options = ("ab", "-m", stream, "-n", "2", "-l", "25", "--seed", "3", "--allow", r"abc\n")
    records = [json.loads(line) for line in written(*options, "--json").splitlines()]
    plain = written(*options).split("-" * 40 + "\n")
    for record, text in zip(records, plain, strict=True):
        assert (record["prompt"] + record["text"]).removesuffix("\n") == text.removesuffix("\n")
        assert record["tokens"] == 25
        assert record["end"] == "length"
        assert record["log_probability"] < 0
        assert record["seconds"] > 0
        assert record["seed"] == 3
        assert record["model"] == stream


def test_stop_allow_and_bias_know_line_breaks(stream: str) -> None:
    assert "\n" not in written("-m", stream, "--stop", r"\n", "-l", "100000").removesuffix("\n")
    assert set(written("-m", stream, "--allow", r"a\n")) == {"a", "\n"}
    assert set(written("-m", stream, "--logit-bias", "e=1000")) == {"e", "\n"}
    cancelled = ("--logit-bias", "e=1000", "--logit-bias", "e=-1000", "--seed", "1")
    assert written("-m", stream, *cancelled) == written("-m", stream, "--seed", "1")


def test_every_sampling_option_reaches_the_sampler(stream: str) -> None:
    greedy = written("-m", stream, "-t", "0", "-l", "60")
    for option, value in (("--top-k", "1"), ("--top-p", "0.0001"), ("--min-p", "1"), ("-t", "0.001")):
        assert written("-m", stream, option, value, "-l", "60") == greedy
    plain = written("-m", stream, "--seed", "5")
    for options in (("--typical", "0.3"), ("--repetition-penalty", "3")):
        assert written("-m", stream, "--seed", "5", *options) != plain
    penalty = ("-m", stream, "--seed", "5", "--repetition-penalty", "3")
    assert written(*penalty, "--repetition-window", "1") != written(*penalty)


def test_help_names_the_defaults_that_hold() -> None:
    help_text = " ".join(written("--help").split())
    assert f"0 the likeliest. [default: {Sampling().temperature}]" in help_text
    assert f"just written. [default: {Sampling().repetition_window}]" in help_text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--temperature", "-1"], "temperature is -1.0"),
        (["--top-p", "1.5"], "top-p is 1.5"),
        (["--length", "0"], "length is 0"),
        (["-n", "0"], "0 samples"),
        (["-t", "0", "--top-k", "3"], "leave out one of the two"),
        (["--allow", ""], "every symbol of the model is forbidden"),
        (["--allow", "ab", "--forbid", "b"], "cannot be both allowed and forbidden"),
        (["--logit-bias", "ab=1"], "'ab' cannot be set"),
        (["--logit-bias", "e=1e308"], "must be a number from -10000 to 10000"),
        (["abzé№"], "characters the model never saw, 'z', '№'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(stream: str, options: list[str], sentence: str) -> None:
    result = sample("-m", stream, *options)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_wrong_command_line_is_code_2(stream: str) -> None:
    for options in (["--logit-bias", "e"], ["--logit-bias", "e=much"]):
        result = sample("-m", stream, *options)
        assert (result.exit_code, result.stdout) == (2, "") and "--logit-bias" in result.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("--score", "x"), "--score is a command of its own now: chargen score FILE"),
        (("--interactive",), "--interactive is a command of its own now: chargen write\n"),
        (("--co-write",), "--co-write is a command of its own now: chargen write --choose\n"),
    ],
)
def test_options_that_became_commands_say_so(stream: str, old: tuple[str, ...], new: str) -> None:
    result = sample("-m", stream, *old)
    assert result.exit_code == 2 and new in result.stderr


def test_a_classifier_is_sent_to_classify(tmp_path: Path) -> None:
    result = sample("-m", make_run(tmp_path / "labels", classifier=True))
    assert result.exit_code == 1
    assert "chargen classify" in result.stderr


def test_score_prints_a_line_a_symbol(stream: str, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("ab\nc?é", encoding="utf-8")
    result = score("-m", stream, str(file))
    assert result.exit_code == 0
    assert CliRunner().invoke(main, ["score", "-m", stream], input="ab\nc?é").stdout == result.stdout
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [json.loads(symbol) for _, symbol in rows] == ["a", "b", "\n", "c", "\ufffd", "é"]
    nats = -sum(float(value) for value, _ in rows) / 6
    found = re.search(r"6 characters, (.+) nats or (.+) bits", result.stderr)
    assert found
    assert [float(number) for number in found.groups()] == pytest.approx([nats, nats / math.log(2)], abs=1e-3)
    assert "never saw them: 1 characters" in result.stderr
    record = json.loads(score("-m", stream, str(file), "--json").stdout)
    assert record["text"] == "ab\nc?é"
    assert record["log_probability"] == pytest.approx(-6 * nats, abs=1e-3)
    assert record["tokens"] == 6
    assert [symbol for symbol, _ in record["symbols"]] == ["a", "b", "\n", "c", "\ufffd", "é"]


def test_score_reads_documents_as_documents(documents: str, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("abc\nde\n", encoding="utf-8")
    records = [json.loads(line) for line in score("-m", documents, str(file), "--json").stdout.splitlines()]
    assert [[symbol for symbol, _ in record["symbols"]] for record in records] == [
        ["a", "b", "c", ""],
        ["d", "e", ""],
    ]


def test_a_reader_that_leaves_ends_it_quietly(stream: str) -> None:
    with start_python("-m", "chargen", "sample", "-m", stream, "--length", "10000000") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(10)) == 10
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_a_narrow_encoding_does_not_end_the_text(stream: str) -> None:
    command = ["-m", "chargen", "sample", "é", "-m", stream, "--allow", "é", "--length", "3"]
    environment = {"PYTHONIOENCODING": "ascii", "PATH": ""}
    assert run_python(*command, env=environment, check=True).stdout == "????\n"


def test_sampling_and_its_help_import_no_torch(stream: str) -> None:
    heavy = {"torch", "sentencepiece", "sklearn"}
    for arguments, slow in (["sample", "--help"], heavy | {"numpy"}), (["sample", "-m", stream], heavy):
        code = (
            "import sys\nfrom chargen.cli import main\n"
            f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code\n"
            f"slow = {slow}\n"
            "assert not slow & sys.modules.keys(), slow & sys.modules.keys()"
        )
        run_python("-c", code, check=True)


def test_both_engines_write_the_same(stream: str) -> None:
    options = ("abc", "-m", stream, "-l", "200", "--seed", "5")
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
    stream: str,
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
    records = [json.loads(line) for line in written("-m", stream, "--json", *arguments).splitlines()]
    assert made == expected
    assert {len(record["text"]) for record in records} == {int(arguments[3])}


def test_a_beam_writes_the_likeliest(stream: str) -> None:
    beam = json.loads(written("ab", "-m", stream, "--beam", "8", "-l", "12", "--json"))
    assert len(beam["text"]) == 12
    assert written("ab", "-m", stream, "--beam", "8", "-l", "12") == "ab" + beam["text"] + "\n"
    greedy = json.loads(written("ab", "-m", stream, "--beam", "1", "-l", "12", "--json"))
    assert beam["log_probability"] > greedy["log_probability"] - 1e-6


def test_an_end_symbol_can_be_kept_out(documents: str, stream: str) -> None:
    record = json.loads(written("-m", documents, "--end", "length", "-l", "300", "--json"))
    assert (record["end"], len(record["text"])) == ("length", 300)
    assert json.loads(written("-m", documents, "--end", "document", "--json"))["end"] == "document"
    refused = sample("-m", stream, "--end", "document")
    assert refused.exit_code == 1
    assert "where nothing ends" in refused.stderr


@pytest.fixture
def copier(tmp_path: Path) -> str:
    """A run whose training text is there."""
    path = make_run(tmp_path / "run")
    text = tmp_path / "text.txt"
    text.write_text(written("-m", path, "-l", "300", "--seed", "1")[100:260])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["options"] = {"inputs": [str(text)]}
    config["data"]["fingerprint"] = hashlib.sha256(text.read_bytes()).hexdigest()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    return path


def test_originality_is_of_what_is_written(copier: str) -> None:
    copied = sample("-m", copier, "-l", "300", "--seed", "1", "--originality")
    assert "copied: 53.3% of 300 characters" in copied.stderr and "the longest of 160" in copied.stderr
    other = sample("-m", copier, "-l", "300", "--seed", "2", "--originality", "--copied-length", "40")
    assert "copied: 0.0% of 300 characters are in verbatim runs of 40 or more" in other.stderr
    marked = sample("-m", copier, "-l", "300", "--seed", "1", "--show-copied")
    assert marked.stdout.count("\x1b[7m") == 1
    assert re.sub(r"\x1b\[\d+m", "", marked.stdout) == copied.stdout
    both = written("-m", copier, "-l", "300", "-n", "2", "--seed", "1", "--originality", "--json").splitlines()
    assert {"copied", "longest_copied"} <= json.loads(both[0]).keys()
    alone = json.loads(written("-m", copier, "-l", "300", "--seed", "1", "--originality", "--json"))
    assert alone["copied"] == pytest.approx(160 / 300)
    assert len(alone["longest_copied"]) == 160


def test_originality_needs_the_training_text_and_says_so_before_it_writes(copier: str) -> None:
    text = Path(json.loads((Path(copier) / "config.json").read_text())["options"]["inputs"][0])
    for spoil, sentence in ((lambda: text.write_text("x"), "has changed since"), (text.unlink, "there is no file")):
        spoil()
        refused = sample("-m", copier, "--originality")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert sentence in refused.stderr


PAINT = re.compile(r"\x1b\[[\d;]+m")


def painted(text: str) -> list[tuple[str, str]]:
    """Each character with the colour that it has."""
    result, colour = [], ""
    for part in re.split(r"(\x1b\[[\d;]+m)", text):
        if PAINT.fullmatch(part):
            colour = part if "48;5" in part else "" if part == "\x1b[0m" else colour
        else:
            result += [(character, colour) for character in part]
    return result


def test_heat_colours_what_surprises(stream: str) -> None:
    options = ("-m", stream, "-l", "200", "--seed", "1", "-t", "3")
    hot = painted(written(*options, "--heat"))
    assert "".join(character for character, _ in hot) == written(*options)
    assert len({colour for _, colour in hot}) > 2
    # A stop text that never comes holds characters back, and they keep their colours.
    assert painted(written(*options, "--heat", "--stop", "abcdeabcde")) == hot


def test_heat_is_hotter_the_more_it_surprises(stream: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abc dé eca", encoding="utf-8")
    hot = painted(score("-m", stream, str(path), "--heat").stdout)
    assert "".join(character for character, _ in hot) == "abc dé eca\n"
    symbols = json.loads(score("-m", stream, str(path), "--json").stdout)["symbols"]
    for (character, colour), (symbol, value) in zip(hot, symbols, strict=False):
        expected = next(
            (number for least, number in ((6, 196), (4, 208), (2.5, 220), (1.2, 229)) if -value >= least), 0
        )
        assert character == symbol
        assert f";{expected}m" in f"{colour};0m".replace("\x1b[30m", "")


def turns(path: str, typed: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["write", "-m", path, *arguments], input=typed)


def test_turns_go_from_standard_input_to_standard_output(stream: str) -> None:
    options = ("-l", "30", "--seed", "1", "--forbid", r"\n")
    result = turns(stream, "abc\ncannot read z\nde\n", *options)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [len(line) for line in lines] == [30, 30]
    assert "> " in result.stderr and "never saw" in result.stderr
    assert turns(stream, "abc\nde\n", *options).stdout == result.stdout
    assert turns(stream, "de\n", "abc", *options).stdout == result.stdout  # the prompt is the first line
    stopped = turns(stream, "abc\n", "--stop", lines[0][10:13], *options).stdout
    assert stopped == lines[0][: lines[0].index(lines[0][10:13])] + "\n"


@pytest.mark.parametrize("bad", [("-l", "0"), ("--stop", ""), ("z",)])
def test_a_turn_that_cannot_be_is_refused_before_anything_is_typed(stream: str, bad: tuple[str, ...]) -> None:
    result = turns(stream, "abc\n", *bad)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "> " not in result.stderr


def test_co_writing_takes_numbers_and_texts(stream: str) -> None:
    result = turns(stream, "cde\n", "ab", "--choose")
    assert (result.exit_code, result.stdout) == (0, "abcde\n")
    menus = [
        [json.loads(line.split("%  ")[1].replace("'", '"')) for line in menu.splitlines() if "%" in line]
        for menu in result.stderr.split("+ ")
    ]
    for number, expected in (("2", menus[1][1]), ("", menus[1][0]), (r"a\nb", "a\nb")):
        assert turns(stream, f"cde\n{number}\n", "ab", "--choose").stdout.removesuffix("\n") == (
            f"abcde{expected}".removesuffix("\n")
        )
    refused = turns(stream, "", "z", "--choose")
    assert (refused.exit_code, refused.stdout) == (1, "")


def test_co_writing_gives_the_text_whatever_ends_it(stream: str) -> None:
    code = (
        "import sys; from chargen.cli import main\n"
        "class Typed:\n"
        "    lines = iter(['cde\\n'])\n"
        "    def readline(self):\n"
        "        for line in self.lines: return line\n"
        "        raise KeyboardInterrupt\n"
        "sys.stdin = Typed()\n"
        f"main(['write', 'ab', '-m', {stream!r}, '--choose'])"
    )
    ended = run_python("-c", code)
    assert (ended.returncode, ended.stdout) == (130, "abcde\n")


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
    stream: str, arguments: tuple[str, ...], expected: str
) -> None:
    result = sample("-m", stream, *arguments)
    assert result.exit_code == 2
    assert expected in result.stderr


def test_what_has_no_use_where_a_person_chooses_is_told(stream: str) -> None:
    result = turns(stream, "", "--choose", "--seed", "1")
    assert result.exit_code == 2 and "--choose lets you write, so --seed has no use" in result.stderr
    result = score("-m", stream, "x", "--json", "--heat")
    assert result.exit_code == 2 and "--json prints JSON, so --heat has no use" in result.stderr


@pytest.mark.parametrize("arguments", [("--beam", "0"), ("--originality", "--copied-length", "0")])
def test_numbers_that_cannot_be_are_refused(copier: str, arguments: tuple[str, ...]) -> None:
    result = sample("-m", copier, *arguments)
    assert result.exit_code == 1
    assert "at least 1" in result.stderr

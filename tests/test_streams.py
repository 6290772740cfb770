"""Standard streams of any encoding, closed and full ones: JSON stays whole, text is replaced and counted."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from builders import write_run
from click.testing import CliRunner, Result
from commands import SMALL, SMALL_CLASSIFIER, call
from processes import run_python

from chargen.cli import main
from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.text.tokenizers.char import CharTokenizer

GREEK = "αβγ ж é\n"
ODD = os.fsdecode(b"caf\xe9") if sys.platform == "linux" else "café"  # a name that is no UTF-8, where one can be
JSON_COMMANDS = {
    "sample": ("sample", "-m", "greek", "--seed", "1", "-l", "20", "--json"),
    "beam": ("sample", "-m", "greek", "--beam", "2", "-l", "20", "--json"),
    "score": ("score", "-m", "greek", "greek.txt", "--json"),
    "stats": ("corpus", "stats", "greek.txt", "--json"),
    "classify": ("classify", "-m", "words", "αβγ", "--json"),
    "whole files": ("classify", "-m", "words", "--file", "words", "--json"),
    "evaluate": ("evaluate", "-m", "words", "--mistakes", "3", "--explain", "--json"),
}
TEXT_COMMANDS = {
    "sample": ("sample", "-m", "greek", "--seed", "1", "-l", "20"),
    "stats": ("corpus", "stats", "greek.txt"),
    "whole files": ("classify", "-m", "words", "--file", "words"),
    "evaluate": ("evaluate", "-m", "words"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a language model of Greek and a classifier whose labels are names of folders."""
    folder = tmp_path_factory.mktemp("odd")
    tokenizer = CharTokenizer("".join(sorted(set(GREEK))))
    config = LanguageModelConfig(EncoderConfig(tokenizer.vocab_size, "gru", 1, 6, 4))
    write_run(folder / "checkpoints" / "greek", config, tokenizer, encoding="utf-8", documents=None)
    (folder / "greek.txt").write_text(GREEK * 9, encoding="utf-8")
    for label, word in ((ODD, "αβγ"), ("καλό", "жжж")):
        (folder / "words" / label).mkdir(parents=True)
        for number in range(12):
            (folder / "words" / label / f"{label}{number}.txt").write_text(f"{word} {number}", encoding="utf-8")
    call("train", str(folder / "words"), *SMALL_CLASSIFIER, "-o", str(folder / "checkpoints" / "words"))
    return folder


@pytest.fixture
def folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`made`, as the current folder."""
    monkeypatch.chdir(made)
    return made


def run(encoding: str, *arguments: str) -> Result:
    """What a command writes to streams of an encoding."""
    done = CliRunner(charset=encoding).invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("command", JSON_COMMANDS)
def test_json_is_the_same_in_every_encoding(folder: Path, command: str) -> None:
    def answers(encoding: str) -> list[dict[str, object]]:
        done = run(encoding, *JSON_COMMANDS[command])
        assert encoding == "utf-8" or done.stdout.isascii()
        assert "written as ?" not in done.stderr
        return [json.loads(line) | {"seconds": 0} for line in done.stdout.splitlines()]

    expected = answers("utf-8")
    assert expected
    assert [answers(encoding) for encoding in ("ascii", "latin-1", "cp1252")] == [expected] * 3


def test_tokens_of_a_score_are_json_too(folder: Path) -> None:
    for encoding in ("utf-8", "ascii"):
        lines = run(encoding, "score", "-m", "greek", "greek.txt").stdout.splitlines()
        assert "".join(json.loads(line.partition("\t")[2]) for line in lines) == GREEK * 9


@pytest.mark.parametrize("command", TEXT_COMMANDS)
def test_text_is_replaced_and_counted(folder: Path, command: str) -> None:
    whole = run("utf-8", *TEXT_COMMANDS[command]).stdout
    for encoding in ("ascii", "latin-1", "cp1252"):
        done = run(encoding, *TEXT_COMMANDS[command])
        assert len(done.stdout) == len(whole)
        lost = done.stdout.count("?")
        assert lost and f"written as ?, since {encoding} does not have them: {lost:,} characters" in done.stderr


def test_names_that_are_no_text_are_replaced_in_text_and_kept_in_json(folder: Path) -> None:
    done = run("utf-8", *TEXT_COMMANDS["whole files"])
    assert len(done.stdout.splitlines()) == 24
    if ODD != "café":
        assert "since utf-8 does not have them" in done.stderr
    files = [json.loads(line)["file"] for line in run("ascii", *JSON_COMMANDS["whole files"]).stdout.splitlines()]
    assert {Path(file).parent.name for file in files} == {ODD, "καλό"} and all(Path(file).is_file() for file in files)


@pytest.mark.parametrize("command", [(), ("train",), ("sample",), ("classify",), ("evaluate",), ("corpus", "stats")])
def test_help_can_be_read_in_every_encoding(command: tuple[str, ...]) -> None:
    assert "Usage:" in run("latin-1", *command, "--help").stdout


@pytest.mark.parametrize("command", ["chargen", "chargen --help", "chargen evaluate", "chargen sample -m none"])
def test_closed_streams_are_no_trouble(folder: Path, command: str) -> None:
    for closed in ("stdin", "stdout", "stderr", "stdin = sys.stdout = sys.stderr"):
        code = f"import sys; sys.{closed} = None; from chargen.cli import main; main(prog_name='chargen')"
        done = run_python("-c", code, *command.split()[1:])
        assert done.returncode in (0, 1, 2) and "Traceback" not in done.stderr and "unexpectedly" not in done.stderr
        assert closed == "stdin" or (done.stderr if closed == "stderr" else done.stdout) == ""


def test_a_training_needs_no_stream(folder: Path) -> None:
    code = "import sys; sys.stdin = sys.stdout = sys.stderr = None; from chargen.cli import main; main()"
    done = run_python("-c", code, "train", "greek.txt", "--steps", "2", *SMALL, "-o", "silent")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
@pytest.mark.parametrize("command", ["help", "evaluate"])
def test_a_full_disk_is_one_sentence(folder: Path, command: str) -> None:
    arguments = {**TEXT_COMMANDS, "help": ("--help",)}[command]
    code = "import sys; sys.stdout = open('/dev/full', 'w'); from chargen.cli import main; main(prog_name='chargen')"
    done = run_python("-c", code, *arguments)
    assert done.returncode == 1 and "chargen: no space left" in done.stderr and "Exception" not in done.stderr


def test_all_output_goes_through_one_place() -> None:
    """`click.echo` would write UTF-8 into an ASCII stream, and control characters to a terminal."""
    commands = Path(__file__).parents[1] / "chargen" / "cli"
    assert [path.name for path in commands.glob("*.py") if "click.echo" in path.read_text("utf-8")] == ["output.py"]

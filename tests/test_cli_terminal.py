"""A terminal belongs to the person: nothing that chargen shows steers it, and what it suggests can be pasted."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import CompletionItem
from commands import call, refused
from hypothesis import given
from hypothesis import strategies as st

from chargen.cli import showing
from chargen.cli.completion import RunName
from chargen.cli.output import CONTROLS, json_line, visible
from chargen.errors import shell_word
from chargen.generation.generate import Piece

BASH = None if sys.platform == "win32" else shutil.which("bash")
ODD = os.fsdecode(b"caf\xe9") if sys.platform == "linux" else "café"  # a name that is no UTF-8, where one can be
NAMES = ["my book (1)", "it's", 'a "b"', "-x", "--help", "$(touch PWNED)", "a;b", "a\x1b[31m", ODD]
if sys.platform == "win32":
    NAMES = ["my book (1)", "it's", "-x", "--help", "$(touch PWNED)", "a;b", ODD]  # others cannot be there


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(st.text())
def test_visible_text_has_no_controls_and_json_comes_back(text: str) -> None:
    assert not CONTROLS.search(visible(text))
    if not CONTROLS.search(text):
        assert visible(text) == text
    assert json.loads(json_line({"text": text})) == {"text": text} and not CONTROLS.search(json_line([text]))


@pytest.mark.parametrize("raw", [False, True])
def test_generated_text_is_spelled_out_at_a_terminal_alone(raw: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [Piece(0, 1, "a\x07\x1b[2J", None, 0.0), Piece(0, 2, "b\n", "length", 0.0)]
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stdout", stream)
        assert showing.print_text(pieces, "\x0e", "", raw=raw) == ["a\x07\x1b[2Jb\n"]
        plain = raw or not stream.isatty()
        assert stream.getvalue() == ("\x0ea\x07\x1b[2Jb\n" if plain else "\\x0ea\\x07\\x1b[2Jb\n")


def test_a_message_spells_out_what_a_name_holds(workplace: Path) -> None:
    said = call("sample", "-m", "x\x1b[31m", code=1).stderr
    assert "\x1b" not in said and "x\\x1b[31m" in said


def test_only_names_that_a_shell_takes_literally_are_offered(workplace: Path) -> None:
    for name in ("plain", "x$(touch PWNED)", "a;b", "two words", "it's"):
        (Path("checkpoints") / name).mkdir(parents=True)
        (Path("checkpoints") / name / "config.json").write_text("{}")
    offered = RunName().shell_complete(None, None, "")  # type: ignore[arg-type]
    assert [item.value for item in offered if isinstance(item, CompletionItem)] == ["plain"]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_shell_reads_a_word_as_it_was(text: str) -> None:
    word = shell_word(text)
    assert word.isprintable()
    if not word.startswith("$"):
        assert shlex.split(word) == [text]


@pytest.mark.skipif(not BASH, reason="no bash")
def test_bash_reads_every_byte_of_a_name() -> None:
    name = bytes(range(1, 256))
    done = subprocess.run([BASH or "", "-c", f"printf %s {shell_word(os.fsdecode(name))}"], capture_output=True)
    assert done.stdout == name


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_next_can_be_pasted(workplace: Path, name: str) -> None:
    text = Path(name + ".txt")
    text.write_text(Path("book.txt").read_text())
    short = ("--steps", "2", "--hidden-size", "8", "--device", "cpu")
    told = call("train", *short, "--out", f"checkpoints/{name}", "--", text.name).stderr
    pasted = _pasted(told.splitlines()[-1].removeprefix("next: "))
    assert pasted == ["chargen", "sample", "-m", name]
    assert call(*pasted[1:], "--length", "5").exit_code == 0
    refusal = refused("classify", "-m", name, "text")
    assert _pasted(refusal.split("`")[1].partition(" makes")[0])[-1] == name and not Path("PWNED").exists()
    wrong = refused("train", "book.txt", "--resume", "--out", f"checkpoints/{name}", code=2)
    assert _pasted("x --from" + wrong.rstrip().rpartition("--from")[2])[-1] == name


def test_a_run_named_by_a_text_is_found_by_what_comes_next(workplace: Path) -> None:
    Path("-two  words-.txt").write_text(Path("book.txt").read_text())
    told = call("train", "--steps", "2", "--hidden-size", "8", "--device", "cpu", "--", "-two  words-.txt").stderr
    assert call(*_pasted(told.splitlines()[-1].removeprefix("next: "))[1:], "--length", "5").exit_code == 0


def _pasted(command: str) -> list[str]:
    """The words of a command, as a shell splits them."""
    if "$'" not in command:
        return shlex.split(command)
    if not BASH:
        pytest.skip("no bash")
    done = subprocess.run([BASH, "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True)
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]

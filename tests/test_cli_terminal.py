"""A terminal belongs to the person: nothing that chargen shows steers it, and what it suggests can be pasted."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import pytest
from click.shell_completion import CompletionItem
from commands import call
from hypothesis import given
from hypothesis import strategies as st

from chargen.cli import showing
from chargen.cli.completion import RunName
from chargen.cli.output import CONTROLS, json_line, visible
from chargen.generation.generate import Piece


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


def test_what_comes_next_can_be_pasted(workplace: Path) -> None:
    Path("my book (1).txt").write_text(Path("book.txt").read_text())
    told = call("train", "my book (1).txt", "--steps", "2", "--size", "tiny", "--device", "cpu").stderr
    pasted = told.splitlines()[-1].removeprefix("next: ")
    assert shlex.split(pasted) == ["chargen", "sample", "-m", "my book (1)"]
    assert call(*shlex.split(pasted)[1:], "--length", "5").exit_code == 0

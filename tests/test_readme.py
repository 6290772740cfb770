"""The README's and the guide's Python runs as it stands there; their command lines exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from snippets import ROOT, blocks, command_lines, parse

from chargen.cli import COMMANDS

README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARGEN_DATA", str(tmp_path / "data"))
    Path("book.txt").write_text("Once upon a time there was a small model.\n" * 100)
    Path("reviews.csv").write_text("text,label\n" + "what a film,good\nwhat a bore,bad\n" * 40)


def run(snippet: str) -> None:
    """Run a snippet, with seconds of training where it has minutes."""
    short, count = re.subn(r"minutes=\d+", "steps=30, hidden_size=16, batch_size=4", snippet)
    assert count
    exec(short, {})


def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = blocks(README, "python")
    run(snippet)
    text, label = capsys.readouterr().out.rstrip("\n").rsplit("\n", 1)
    assert text.startswith("Once upon") and label in "+-"


def test_the_python_of_the_guide_runs(capsys: pytest.CaptureFixture[str]) -> None:
    from_python, from_sklearn = blocks(GUIDE, "python")
    run(from_python)
    text, bits, inspected, label = capsys.readouterr().out.rstrip("\n").rsplit("\n", 3)
    assert text.startswith("Once upon")
    assert float(bits) > 0 and float(inspected.split()[0]) > 0
    assert label in ("good", "bad")
    run(from_sklearn)
    predicted, accuracy = capsys.readouterr().out.splitlines()
    assert predicted in ("['+'] (1, 32)", "['-'] (1, 32)")
    assert 0 <= float(accuracy) <= 1
    assert Path("checkpoints/films/config.json").exists()


def test_every_command_of_the_readme_exists() -> None:
    lines = list(command_lines(README))
    for arguments in lines:
        try:
            parse(arguments)
        except click.UsageError as error:
            pytest.fail(f"chargen {' '.join(arguments)}: {error.format_message()}")
    assert {arguments[0] for arguments in lines} == COMMANDS.keys() - {"corpus"}


def test_the_first_two_blocks_are_what_ci_runs() -> None:
    first, second = (block.splitlines()[0] for block in blocks(README, "sh")[:2])
    assert first.startswith("pip install -c constraints.txt . && chargen train --minutes 2 ")
    assert first.endswith("&& chargen sample")
    assert second == "pip install -c constraints.txt -e '.[test]' && pytest -q"

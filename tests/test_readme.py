"""The README's Python runs as it stands there, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from chargen.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_snippets_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("Once upon a time there was a small model.\n" * 100)
    Path("reviews.csv").write_text("text,label\n" + "what a film,good\nwhat a bore,bad\n" * 40)
    first, second = (
        re.sub(r"minutes=\d+", "steps=30, hidden_size=16, batch_size=4", snippet)
        for snippet in re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    )
    exec(first, {})
    text, score, label = capsys.readouterr().out.rsplit("\n", 3)[:3]
    assert text.startswith("Once upon")
    assert float(score) < 0
    assert label in ("good", "bad")
    exec(second, {})
    predicted, accuracy = capsys.readouterr().out.splitlines()
    assert predicted in ("['+'] (1, 32)", "['-'] (1, 32)")
    assert 0 <= float(accuracy) <= 1


def test_every_command_of_the_readme_parses() -> None:
    commands = [line.split("#")[0].split() for line in re.findall(r"chargen (.+)", README) if line]
    verbs = {words[0] for words in commands} & {"train", "sample", "classify", "evaluate", "corpus"}
    assert verbs == {"train", "sample", "classify", "evaluate", "corpus"}
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL):
        for verb, rest in re.findall(r"chargen (\w+)([^\n&#]*)", block):
            shown = CliRunner().invoke(main, [verb, "--help"]).output
            for option in re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", rest):
                assert option in shown, f"chargen {verb} {option}"

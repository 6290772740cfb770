"""What is shown of a text besides itself: how much of it is copied, and what surprises in it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from builders import edit_json, write_language_model
from commands import sample, score, written


@pytest.fixture
def copier(tmp_path: Path) -> str:
    """A run whose training text is there."""
    path = write_language_model(tmp_path / "run")
    text = tmp_path / "text.txt"
    text.write_text(written("-m", path, "-l", "300", "--seed", "1")[100:260])

    def edit(config: dict[str, Any]) -> None:
        config["options"] = {"inputs": [str(text)]}
        config["data"]["fingerprint"] = hashlib.sha256(text.read_bytes()).hexdigest()

    edit_json(tmp_path / "run" / "config.json", edit)
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
    for spoil, sentence in ((lambda: text.write_text("x"), "has changed since"), (text.unlink, "own text")):
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


def test_heat_colours_what_surprises(text_run: str) -> None:
    options = ("-m", text_run, "-l", "200", "--seed", "1", "-t", "3")
    hot = painted(written(*options, "--heat"))
    assert "".join(character for character, _ in hot) == written(*options)
    assert len({colour for _, colour in hot}) > 2
    # A stop text that never comes holds characters back, and they keep their colours.
    assert painted(written(*options, "--heat", "--stop", "abcdeabcde")) == hot


def test_heat_is_hotter_the_more_it_surprises(text_run: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abc dé eca", encoding="utf-8")
    hot = painted(score("-m", text_run, str(path), "--heat").stdout)
    assert "".join(character for character, _ in hot) == "abc dé eca\n"
    symbols = json.loads(score("-m", text_run, str(path), "--json").stdout)["symbols"]
    for (character, colour), (symbol, value) in zip(hot, symbols, strict=False):
        expected = next(
            (number for least, number in ((6, 196), (4, 208), (2.5, 220), (1.2, 229)) if -value >= least), 0
        )
        assert character == symbol
        assert f";{expected}m" in f"{colour};0m".replace("\x1b[30m", "")


@pytest.mark.parametrize("arguments", [("--beam", "0"), ("--originality", "--copied-length", "0")])
def test_numbers_that_cannot_be_are_refused(copier: str, arguments: tuple[str, ...]) -> None:
    result = sample("-m", copier, *arguments)
    assert result.exit_code == 1
    assert "at least 1" in result.stderr

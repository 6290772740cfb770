"""The benchmarks that train cells and recipes run to their end, on a text of a few lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """The folder that CHARGEN_BENCH_DATA names."""
    text = "once upon a time there was a fox that sat on a box.\n" * 400
    (tmp_path / "ptb").mkdir()
    for name in ("tinyshakespeare.txt", "ptb/train.txt", "ptb/valid.txt"):
        (tmp_path / name).write_text(text)
    return tmp_path


def run(texts: Path, *command: str) -> str:
    environment = os.environ | {"CHARGEN_BENCH_DATA": str(texts)}
    program, *arguments = command
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / program), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_recipes(texts: Path) -> None:
    header, line = run(texts, "recipes.py", "--steps", "2", "fp32", "--seed", "1").splitlines()
    assert header.startswith("variation") and line.startswith("fp32") and " gru 2x256 " in line


def test_cells_goes_on_from_its_results(texts: Path) -> None:
    results = texts / "results.jsonl"
    command = ("cells.py", "mlstm", "--text", "tinyshakespeare", "--results", str(results), "--steps", "2")
    run(texts, *command, "--tune")
    tuned = results.read_text()
    assert {json.loads(line)["rate"] for line in tuned.splitlines()} >= {0.006, 0.012, 0.024}
    shown = run(texts, *command, "--minutes", "0.01")
    assert results.read_text().startswith(tuned)
    assert sum(json.loads(line)["seed"] > 0 for line in results.read_text().splitlines()) == 2
    assert "mlstm " in shown and run(texts, *command, "--minutes", "0.01", "--show") in shown


def test_tuned_cells(texts: Path) -> None:
    results = texts / "results.jsonl"
    command = ("tuned_cells.py", "gru", "--results", str(results), "--trials", "2", "--steps", "1")
    shown = run(texts, *command, "--final-steps", "2")
    assert "gru: best after 2 steps" in shown
    assert [json.loads(line)["seed"] for line in results.read_text().splitlines()] == [0, 0, 0, 1, 2]

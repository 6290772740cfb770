"""What the shell offers, asked as the shell asks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from processes import run_python


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("plays", "poems"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "config.json").write_text("{}")
    (tmp_path / "checkpoints" / "no-run").mkdir()
    (tmp_path / "book.txt").write_text("text")
    return tmp_path


def offered(folder: Path, line: str) -> list[tuple[str, str]]:
    """Kind and value of what bash is offered at the end of a line."""
    words = ["chargen", *line.split(" ")]
    asked = {"_CHARGEN_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    code = "from chargen.cli import main; main(prog_name='chargen')"
    done = run_python("-X", "importtime", "-c", code, cwd=folder, env=os.environ | asked)
    imported = {row.rpartition("|")[2].strip() for row in done.stderr.splitlines()}
    assert "click" in imported and not imported & {"numpy", "torch"}  # which would make it slow
    return [(kind, value) for kind, _, value in (row.partition(",") for row in done.stdout.splitlines())]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sa", [("plain", "sample")]),
        ("sample --tempera", [("plain", "--temperature")]),
        ("sample -m p", [("plain", "plays"), ("plain", "poems")]),
        ("evaluate -m pl", [("plain", "plays")]),
        ("train new.txt --from po", [("plain", "poems")]),
        ("classify -m ../", [("dir", "../")]),
        ("train boo", [("file", "boo")]),
        ("train tinys", [("plain", "tinyshakespeare")]),
        ("train ", [("file", "")]),
    ],
)
def test_what_is_offered(folder: Path, line: str, expected: list[tuple[str, str]]) -> None:
    assert offered(folder, line) == expected

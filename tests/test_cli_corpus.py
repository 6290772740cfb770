from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chargen.cli import main
from chargen.text import corpora
from chargen.text.download import Progress


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder of corpora, and downloads that give two words."""

    def download(address: str, path: Path, *, progress: Progress, **_: object) -> None:
        path.write_text(" two words \n")
        progress(11, 11)

    monkeypatch.setattr(corpora, "download", download)
    monkeypatch.setenv("CHARGEN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["corpus", *arguments], input=stdin)


def row(name: str) -> str:
    (line,) = (line for line in run("list").stdout.splitlines() if line.startswith(f"{name} "))
    return line


def test_list_tells_what_is_fetched_and_where(data: Path) -> None:
    assert row("NAME").split() == ["NAME", "KIND", "SIZE", "FETCHED", "WHAT", "WHERE"]
    assert row("tinyshakespeare").split()[1:5] == ["text", "1.1", "MB", "no"]
    assert row("tinyshakespeare").endswith("raw.githubusercontent.com")
    assert run("fetch", "sst2").exit_code == 0
    assert row("sst2").split()[:5] == ["sst2", "labelled", "0.0", "MB", "yes"]
    assert row("sst2").endswith(str(data / "sst2"))


def test_fetch_prints_the_paths_and_nothing_else(data: Path) -> None:
    result = run("fetch", "tinyshakespeare", "ptb-char")
    files = ["tinyshakespeare/tinyshakespeare.txt", *(f"ptb-char/{part}.txt" for part in ("train", "valid", "test"))]
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [str(data / file) for file in files]
    assert (data / "ptb-char/train.txt").read_text() == "two words\n"


def test_fetch_of_an_unknown_name_fetches_nothing(data: Path) -> None:
    result = run("fetch", "tinyshakespeare", "bigshakespeare")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("chargen: there is no corpus 'bigshakespeare': choose one of python-docs,")
    assert not data.exists()


def test_stats_of_files_and_of_standard_input(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("banana\nand\n")
    result = run("stats", str(tmp_path / "text"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[:6] == [
        "characters        11",
        "lines             2",
        "longest line      6 characters",
        "distinct symbols  5",
        r"most frequent     'a' 36.4%  'n' 27.3%  '\n' 18.2%  'b' 9.1%  'd' 9.1%",
        r"least frequent    'd' 1  'b' 1  '\n' 2  'n' 3  'a' 4",
    ]
    assert run("stats", "-", stdin="banana\nand\n").stdout == result.stdout


def test_stats_as_json_has_every_symbol(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("Größe".encode("latin-1"))
    found = json.loads(run("stats", str(tmp_path / "text"), "--encoding", "latin-1", "--json").stdout)
    assert found["characters"] == found["longest_line"] == 5
    assert found["counts"] == dict.fromkeys("Größe", 1)
    assert found["xz_bits_per_character"] > 8


def test_stats_of_a_corpus_that_is_not_here_says_how_to_fetch_it() -> None:
    result = run("stats", "sst2")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "chargen corpus fetch sst2" in result.stderr
    run("fetch", "sst2")
    assert run("stats", "sst2").stdout.startswith("characters        12\n")

"""Nothing in the tests is timed: a busy machine must not fail a property. Each process has one thread."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

from pathlib import Path

import hypothesis
import pytest
from builders import TEXT, settings_for, write_language_model, write_table, write_text

from chargen.text.corpus import CorpusSettings

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what is kept between runs of chargen is, in this test."""
    monkeypatch.setenv("CHARGEN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a text, book.txt, and a labelled table, reviews.csv; data/ will be there too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARGEN_DATA", raising=False)
    write_text(tmp_path / "book.txt")
    write_table(tmp_path / "reviews.csv")
    return tmp_path


@pytest.fixture
def text(tmp_path: Path) -> str:
    return write_text(tmp_path / "text.txt")


@pytest.fixture
def settings(tmp_path: Path) -> CorpusSettings:
    """What to encode: a file of TEXT."""
    return settings_for(tmp_path, TEXT)


@pytest.fixture
def table(tmp_path: Path) -> str:
    return write_table(tmp_path / "table.csv")


@pytest.fixture(scope="session")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that writes one text without an end; only to be read."""
    return write_language_model(tmp_path_factory.mktemp("runs") / "text")


@pytest.fixture(scope="session")
def documents_run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that writes documents, one a line; only to be read."""
    return write_language_model(tmp_path_factory.mktemp("runs") / "documents", "line")

from __future__ import annotations

import contextlib
import csv
import platform
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chargen.errors import ChargenError
from chargen.text import builtin, corpora
from chargen.text.corpora import CORPORA, Download, data_folder, fetch
from chargen.text.labelled import read_labelled
from chargen.text.sources import read_text, resolve

VERSION = platform.python_version()


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where corpora go in these tests; built-in ones are made once."""
    patch = pytest.MonkeyPatch()
    patch.setenv("CHARGEN_DATA", str(tmp_path_factory.mktemp("data")))
    yield
    patch.undo()


def test_the_data_folder_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHARGEN_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.delenv("CHARGEN_DATA")
    assert data_folder() == Path("data")


@pytest.mark.parametrize("name", ["python-docs", "python-source"])
def test_built_in_texts_are_made_when_first_read(name: str) -> None:
    (source,) = resolve([name])
    assert source.path == data_folder() / name / f"{name}-{VERSION}.txt"
    text = "".join(read_text([source]))
    assert text.isascii() and len(text) > 1_000_000
    assert [path.name for path in source.path.parent.iterdir()] == [source.path.name]


def test_docs_have_topics_and_headed_docstrings_and_repeat_no_paragraph() -> None:
    text = fetch("python-docs")[0].read_text()
    assert 'The "if" statement' in text
    assert "\ntextwrap.dedent(text)\n\nRemove any common leading whitespace" in text
    paragraphs = Counter(paragraph for paragraph in text.split("\n\n") if len(paragraph) > 100)
    assert paragraphs.most_common(1)[0][1] == 1


def test_source_is_the_library_without_tests() -> None:
    text = fetch("python-source")[0].read_text()
    assert "\ndef dedent(text):\n" in text
    assert "class IsolatedAsyncioTestCase" in text  # unittest is part of the library
    assert "from test.support import" not in text


def test_lines_are_balanced_distinct_and_stripped_of_what_gives_them_away() -> None:
    lines = read_labelled(["python-lines"])
    assert Counter(lines.labels) == dict.fromkeys(builtin.LABELS, builtin.LINES_PER_LABEL)
    assert len(set(lines.texts)) == len(lines.texts)
    assert not any(text.startswith(" ") for text in lines.texts)
    assert ("#", "comment") not in {(text[0], label) for text, label in zip(lines.texts, lines.labels, strict=True)}
    with fetch("python-lines")[0].open(newline="") as file:
        assert next(csv.reader(file)) == ["text", "label"]


def test_each_kind_of_line_is_told_apart() -> None:
    source = '''"""Module words."""
# a comment
x = 1  # and code
def function():
    \'\'\'First line.

    Second line.\'\'\'
    text = """not
    a docstring"""
    return "# not a comment"
'''
    found = {text: label for text, label in builtin._labelled_lines(source) if text}
    assert found == {
        "Module words.": "docstring",
        "First line.": "docstring",
        "Second line.": "docstring",
        "a comment": "comment",
        "def function():": "code",
        'return "# not a comment"': "code",
    }


def test_a_python_without_its_source_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("CHARGEN_DATA", str(tmp_path / "data"))
    with pytest.raises(ChargenError, match="this Python has no source of its library"):
        resolve(["python-source"])
    assert list((tmp_path / "data/python-source").iterdir()) == []


def pretend(monkeypatch: pytest.MonkeyPatch, content: dict[str, bytes]) -> list[str]:
    """Let downloads come from `content`, by the last part of the address; returns what will have been asked."""
    asked: list[str] = []

    def download(address: str, path: Path, **_: object) -> None:
        asked.append(address)
        path.write_bytes(content[address.rpartition("/")[2]])

    monkeypatch.setattr(corpora, "download", download)
    return asked


def test_fetched_files_are_prepared_and_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {f"ptb.{part}.txt": f" {part} words \n".encode() for part in ("train", "valid", "test")}
    asked = pretend(monkeypatch, content)
    with pytest.raises(ChargenError, match=r"ptb-char is not in .* yet: chargen corpus fetch ptb-char"):
        resolve(["ptb-char"])
    paths = fetch("ptb-char")
    assert [path.read_text() for path in paths] == ["train words\n", "valid words\n", "test words\n"]
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)
    assert fetch("ptb-char") == paths and len(asked) == 3
    assert [source.path for source in resolve(["ptb-char"])] == paths[:1]


def test_a_corpus_fetched_twice_at_once_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    both = threading.Barrier(2)

    def download(address: str, path: Path, **_: object) -> None:
        asked.append(address)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.3)  # both come here, unless one waits for the other
        path.write_text("To be")

    monkeypatch.setattr(corpora, "download", download)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(fetch, ["tinyshakespeare"] * 2)
    assert first == second and first[0].read_text() == "To be"
    assert len(asked) == 1 and list(first[0].parent.iterdir()) == first


def test_archives_are_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "text8.zip", "w") as archive:
        archive.writestr("text8", "a b c")
    pretend(monkeypatch, {"text8.zip": (tmp_path / "text8.zip").read_bytes()})
    (path,) = fetch("text8")
    assert (path.name, path.read_text()) == ("text8.txt", "a b c")
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_prepared_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {"enwik8.zip": b"no archive"})
    with pytest.raises(zipfile.BadZipFile):
        fetch("enwik8")
    assert list((data_folder() / "enwik8").iterdir()) == []


def test_a_file_in_the_way_wins_over_a_corpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("python-docs").write_text("mine")
    assert "".join(read_text(resolve(["python-docs"]))) == "mine"


def test_kinds_and_names_are_checked() -> None:
    with pytest.raises(ChargenError, match="sst2 is labelled: use it with --task classify"):
        resolve(["sst2"])
    with pytest.raises(ChargenError, match="python-docs is text: use it without --task classify"):
        read_labelled(["python-docs"])
    with pytest.raises(ChargenError, match=r"no corpus 'text9': choose one of python-docs, .*text8"):
        fetch("text9")


def test_every_download_is_pinned() -> None:
    downloads = [file for corpus in CORPORA.values() for file in corpus.files if isinstance(file, Download)]
    assert len({file.address for file in downloads}) == len(downloads) == 11
    for file in downloads:
        algorithm, _, digest = file.digest.partition(":")
        assert len(bytes.fromhex(digest)) == {"sha256": 32, "md5": 16}[algorithm]

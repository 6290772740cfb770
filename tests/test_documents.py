from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargen.errors import ChargenError
from chargen.text import documents as module
from chargen.text import sources
from chargen.text.documents import read_documents, read_lines
from chargen.text.sources import Source


def write(path: Path, text: str) -> Source:
    path.write_bytes(text.encode())
    return Source(path.name, path)


def documents(path: Path, text: str, mode: str, text_column: str = "text") -> list[str]:
    return list(read_documents([write(path, text)], mode, text_column=text_column))


def test_lines_keep_their_spaces_and_end_with_the_file(tmp_path: Path) -> None:
    files = [write(tmp_path / "a", " one \r\n\n \t\ntwo"), write(tmp_path / "b", "three\n")]
    assert list(read_documents(files, "line")) == [" one ", "two", "three"]


def test_blank_lines_part_documents(tmp_path: Path) -> None:
    text = "\n\nroses are red\n  violets are blue\n \t\n\nthe end\n"
    expected = ["roses are red\n  violets are blue", "the end"]
    assert documents(tmp_path / "poems", text, "blank-line") == expected


def test_a_file_is_a_document_and_an_empty_one_is_none(tmp_path: Path) -> None:
    texts = {"a": "\none\n\ntwo\n", "b": "", "c": " \n", "d": "three"}
    files = [write(tmp_path / name, text) for name, text in texts.items()]
    assert list(read_documents(files, "file")) == ["one\n\ntwo", "three"]


def test_json_lines_are_strings_or_have_a_column(tmp_path: Path) -> None:
    text = '"one\\ntwo"\n\n{"text": "three"}\n{"text": ""}\n'
    assert documents(tmp_path / "a", text, "jsonl") == ["one\ntwo", "three"]
    assert documents(tmp_path / "b", '{"title": "four"}', "jsonl", text_column="title") == ["four"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"title": "a", "body": "b"}', "line 2, has title, body, but no text in 'text': name it with --text-column"),
        ('{"text": 3}', "line 2, has text, but no text in 'text'"),
        ("[1, 2]", r"line 2, is \[1, 2\], but no text"),
        ("{broken", "line 2, is not JSON"),
        ("[" * 100_000, r"line 2, is not JSON \(it is nested too deeply\)"),
        ('{"text": ' + "9" * 5000 + "}", r"line 2, is not JSON \(an integer has too many digits\)"),
        (r'"half \ud83d"', "line 2, has half a surrogate pair at character 5"),
    ],
)
def test_bad_records_are_named_with_their_line(tmp_path: Path, line: str, sentence: str) -> None:
    with pytest.raises(ChargenError, match=f"data.jsonl, {sentence}"):
        documents(tmp_path / "data.jsonl", f'"fine"\n{line}\n', "jsonl")


@pytest.mark.parametrize("mode", ["line", "blank-line", "file", "jsonl"])
def test_nothing_left_is_an_error(tmp_path: Path, mode: str) -> None:
    with pytest.raises(ChargenError, match="there is no text in blank"):
        documents(tmp_path / "blank", "\n  \n", mode)


@pytest.mark.parametrize(
    ("mode", "text", "sentence"),
    [
        (
            "line",
            "a\n\n" + "b" * 101 + "\nc\n",
            r"long, line 3, has 10\d characters or more, .* at most 100: break it",
        ),
        ("jsonl", '"a"\n"' + "b" * 100 + '"', "long, line 2, has 10"),
        ("file", "a\n" * 51, "long has 10"),
        ("blank-line", "a\n\n" + "b\n" * 52, "long, line 53, ends a paragraph that has 101 characters or more"),
    ],
)
@pytest.mark.parametrize("size", [1, 7])
def test_a_document_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, text: str, sentence: str, size: int
) -> None:
    monkeypatch.setattr(sources, "BLOCK", size)
    monkeypatch.setattr(module, "LONGEST", 100)
    with pytest.raises(ChargenError, match=sentence):
        documents(tmp_path / "long", text, mode)
    monkeypatch.setattr(module, "LONGEST", 103)
    assert documents(tmp_path / "long", text, mode)


def test_a_small_file_that_holds_a_line_of_gigabytes_needs_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    with gzip.open(tmp_path / "bomb.gz", "wb", compresslevel=1) as file:
        for _ in range(200):
            file.write(b"a" * (1 << 20))
    tracemalloc.start()
    with pytest.raises(ChargenError, match=r"bomb\.gz, line 1, has 6[78],\d+,\d+ characters or more"):
        list(read_documents([Source("bomb.gz", tmp_path / "bomb.gz")], "line"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000


def test_an_unknown_mode_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ChargenError, match="unknown documents 'page': choose one of line, blank-line, file, jsonl"):
        documents(tmp_path / "a", "text", "page")


@given(lines=st.lists(st.text(alphabet="aé\v\x1c\u2028", max_size=12), min_size=1), size=st.integers(1, 5))
def test_lines_end_at_line_feeds_alone_wherever_blocks_end(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], size: int
) -> None:
    source = write(tmp_path_factory.getbasetemp() / "lines", "\n".join([*lines, "last"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "BLOCK", size)
        assert list(read_lines(source)) == [*lines, "last"]


@given(texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=1))
def test_json_lines_hold_any_text(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    text = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    assert documents(tmp_path_factory.getbasetemp() / "any.jsonl", text, "jsonl") == texts

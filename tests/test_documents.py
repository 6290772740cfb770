from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargen.errors import ChargenError
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

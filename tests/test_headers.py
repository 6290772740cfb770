"""Whether the first row of a table names its columns, rows as spreadsheets write them, and long cells."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from chargen.errors import ChargenError
from chargen.text import documents, tables
from chargen.text.columns import Columns
from chargen.text.labelled import LabelledSet, read_labelled

ROWS = "pos,a good film all in all\nneg,a bad film as such\npos,a fine film after all\nneg,a poor film to watch\n"
TEXTS = ["a good film all in all", "a bad film as such", "a fine film after all", "a poor film to watch"]
FOUR = LabelledSet(TEXTS, ["pos", "neg", "pos", "neg"])


def read(path: Path, content: str, **options: Any) -> LabelledSet:
    path.write_text(content, newline="")
    return read_labelled([str(path)], **options)


def test_an_example_whose_label_occurs_once_is_no_header(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "odd,this is the only one\n" + ROWS, to_split=False)
    assert found.texts == ["this is the only one", *TEXTS] and found.label_names == ["neg", "odd", "pos"]
    assert found.reading.columns == Columns(("2",), "1", False, ",")
    numbers = "".join(f"{number % 2},word {number}\n" for number in range(6))
    assert len(read(tmp_path / "b.csv", "2,words\n" + numbers, to_split=False).texts) == 7


@pytest.mark.parametrize(
    "content",
    [
        "aim,utterance\n" + ROWS,
        "aim,utterance\n1,good\n0,bad\n1,fine\n0,poor\n",
        "origin,surname\nGreek,Pappas\nCzech,Novak\nGreek,Kouris\nCzech,Hus\n",
    ],
)
def test_a_first_row_unlike_the_others_is_a_header_and_said_to_be_one(tmp_path: Path, content: str) -> None:
    found = read(tmp_path / "a.csv", content)
    assert len(found.texts) == 4 and "(the first row names the columns)" in found.reading.notes[0]


def test_a_first_row_that_could_be_either_is_questioned(tmp_path: Path) -> None:
    path, content = tmp_path / "a.csv", "origin,surname\ngreek,pappas\nczech,novak\ngreek,kouris\nczech,hus\n"
    sentence = (
        "first row of .*a.csv .origin, surname. names the columns or is an example: .* 'origin' in .*, 1 in the"
    )
    with pytest.raises(ChargenError, match=sentence):
        read(path, content)
    assert len(read(path, content, label_column="origin").texts) == 4
    assert len(read(path, content, label_column="1", to_split=False).texts) == 5
    assert len(read(path, content, for_training=False, strict=False).texts) == 4  # as old runs did


def test_a_header_that_comes_again_is_left_out(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", f"label,text\n{ROWS}label,text\n{ROWS}label,text\n")
    assert found.texts == TEXTS * 2
    assert f"2 rows like the header left out of {tmp_path / 'a.csv'}" in found.reading.notes


def test_blank_rows_may_have_any_width(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "label;text\r\n" + ROWS.replace(",", ";") + ";\r\n;;;\r\n;;;;;;\r\n")
    assert found == FOUR and found.reading.rows_dropped == 3
    with pytest.raises(ChargenError, match="line 6, has 3 cells, but the first row has 2"):
        read(tmp_path / "a.csv", f"label,text\n{ROWS}pos,a,b\n")


def test_a_first_line_may_name_the_delimiter(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "\ufeffsep=;\r\nlabel;text\r\n" + ROWS.replace(",", ";"))
    assert found == FOUR and found.reading.columns == Columns(("text",), "label", True, ";")
    with pytest.raises(ChargenError, match="line 3, has no label"):
        read(tmp_path / "a.csv", "sep=;\nlabel;text\n;good\npos;fine\nneg;bad\n")


def test_quotes_after_spaces_quote(tmp_path: Path) -> None:
    quoted = "".join(f'"{label}", "{text}"\n' for label, text in zip(FOUR.labels, TEXTS, strict=True))
    assert read(tmp_path / "a.csv", "label, text\n" + quoted) == FOUR
    commas = read(tmp_path / "b.csv", 'label, text\npos, "good, really"\nneg, "bad, so bad"\n', for_training=False)
    assert commas.texts == ["good, really", "bad, so bad"]
    kept = read(tmp_path / "c.csv", 'label,text\npos," ""good"" he said"\nneg, bad\n', for_training=False)
    assert kept.texts == [' "good" he said', " bad"]


def test_cells_of_parquet_are_read_by_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": [*TEXTS, "a" * 99, None], "label": ["pos", "neg"] * 3, "n": range(6)}).write_parquet(path)
    whole = read_labelled([str(path)])
    monkeypatch.setattr(tables, "SLICE", 3)
    for most in (110, 1000):
        monkeypatch.setattr(documents, "LONGEST", most)
        assert read_labelled([str(path)]) == whole and len(whole.texts) == 5
    monkeypatch.setattr(documents, "LONGEST", 60)
    with pytest.raises(ChargenError, match=r"a\.parquet, row 5, has 102 characters or more"):
        read_labelled([str(path)])


def test_a_packed_parquet_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pl.DataFrame({"text": TEXTS, "label": FOUR.labels}).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    assert read_labelled([str(tmp_path / "a.parquet.gz")]) == FOUR
    monkeypatch.setattr(tables, "MOST_PACKED", 100)
    with pytest.raises(ChargenError, match="has more than 100 bytes when it is unpacked"):
        read_labelled([str(tmp_path / "a.parquet.gz")])

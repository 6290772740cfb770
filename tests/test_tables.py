"""Odd tables, as people have them: which columns are read, what is said of it, and what is refused."""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from chargen.errors import ChargenError
from chargen.runs.files import read_record
from chargen.text import documents, sources
from chargen.text.columns import Columns
from chargen.text.labelled import LabelledSet, read_labelled
from chargen.text.sources import resolve
from chargen.text.tables import open_table

FOUR = LabelledSet(["good film", "bad film", "fine film", "poor film"], ["pos", "neg", "pos", "neg"])
RECORDS = [{"text": text, "label": label} for text, label in zip(FOUR.texts, FOUR.labels, strict=True)]


def read(path: Path, content: str | bytes, **options: Any) -> LabelledSet:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_labelled([str(path)], **options)


def table(delimiter: str = ",", header: str = "text,label") -> str:
    rows = [f"{text},{label}" for text, label in zip(FOUR.texts, FOUR.labels, strict=True)]
    return "".join(row.replace(",", delimiter) + "\n" for row in (header, *rows))


@pytest.mark.parametrize(("delimiter", "name"), [(";", ";"), ("\t", "tab"), ("|", "|")])
def test_another_delimiter_is_found_and_said(tmp_path: Path, delimiter: str, name: str) -> None:
    found = read(tmp_path / "a.csv", table(delimiter))
    assert found == FOUR
    assert found.reading.columns == Columns(("text",), "label", True, delimiter)
    assert found.reading.notes == (f"reading text from column 'text' and labels from 'label' (delimiter {name})",)
    assert read(tmp_path / "b.tsv", "\ufeff" + table(delimiter)) == FOUR


def test_commas_in_texts_do_not_hide_a_semicolon(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "text;label\ngood, really;x\nbad;y\nso, so;x\npoor;y\n")
    assert found.texts == ["good, really", "bad", "so, so", "poor"]


@pytest.mark.parametrize(("name", "delimiter"), [("a.tsv", "\t"), ("a.csv", ","), ("a.csv", ";")])
def test_quotes_that_span_rows_are_characters(tmp_path: Path, name: str, delimiter: str) -> None:
    rows = 'text\tlabel\n"one\tx\ntwo"\ty\nthree\tx\nfour\ty\n"five"\tx\n'.replace("\t", delimiter)
    found = read(tmp_path / name, rows, for_training=False)
    assert found.texts == ['"one', 'two"', "three", "four", '"five"']
    assert found.labels == ["x", "y", "x", "y", "x"]
    assert "quotation marks are part of the cells" in found.reading.notes[0]


def test_a_row_that_goes_on_over_many_lines_is_said(tmp_path: Path) -> None:
    rows = [f"film {number},{'xy'[number % 2]}" for number in range(60)]
    rows[3] = f'"well, a {rows[3]}'  # a quotation mark that is closed many rows later, though others quote rightly
    rows[40] = 'film 40",y'
    rows[50] = '"so, so",x'
    found = read(tmp_path / "a.csv", "text,label\n" + "\n".join(rows) + "\n", for_training=False)
    assert len(found.texts) == 23
    assert "one row goes on from line 5 to 42: is a quotation mark missing" in found.reading.notes[0]


@pytest.mark.parametrize(("name", "delimiter"), [("a.tsv", "\t"), ("a.csv", ",")])
def test_a_quoted_cell_may_have_delimiters_and_line_breaks(tmp_path: Path, name: str, delimiter: str) -> None:
    rows = 'text\tlabel\n"one\ttwo\nthree"\tx\nfour\ty\nfive\tx\nsix\ty\n'.replace("\t", delimiter)
    assert read(tmp_path / name, rows).texts == [f"one{delimiter}two\nthree", "four", "five", "six"]


def test_json_arrays_hold_what_json_lines_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    assert read(tmp_path / "lines.json", lines) == FOUR
    for block in (1, 7, 1 << 20):
        monkeypatch.setattr(sources, "BLOCK", block)
        for indent in (None, 2):
            assert read(tmp_path / "a.json", json.dumps(RECORDS, indent=indent) + "\n") == FOUR
    assert read(tmp_path / "nameless", json.dumps(RECORDS, indent=2)) == FOUR
    assert read(tmp_path / "nameless", "[a],x\n[b],y\n[c],x\n[d],y\n").texts == ["[a]", "[b]", "[c]", "[d]"]
    both = read_labelled([str(tmp_path / "a.json"), str(tmp_path / "lines.json")])
    assert both.texts == FOUR.texts * 2
    assert read(tmp_path / "a.json.gz", gzip.compress(json.dumps(RECORDS).encode())) == FOUR


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "a.json is empty"),
        ("text,label\na,b\n", "a.json, line 1, is not JSON"),
        ("[1, 2]", "a.json, row 1, is not a JSON object"),
        ('[{"text": "a", "label": "b"}, {"text"', "a.json, row 2, is not JSON"),
        ('[{"text": "a", "label": "b"} {}]', r"a.json, row 2, is not JSON \(Expecting ',' delimiter\)"),
        ('[{"text": "a", "label": "b"}] x', "a.json goes on after its JSON array"),
        ('[{"text": "a", "label": "b"},]', "a.json, row 2, is not JSON"),
        ('[{"text": "\\ud83d", "label": "b"}]', "a.json, row 1, has half a surrogate pair"),
        ("[" * 100_000, r"a.json, row 1, is not JSON \(it is nested too deeply\)"),
        ("[" + "9" * 5000 + "]", r"a.json, row 1, is not JSON \(an integer has too many digits\)"),
    ],
)
def test_broken_json_arrays_get_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ChargenError, match=sentence):
        read(tmp_path / "a.json", text)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (
            "a.csv",
            'text,label\na,b\n"' + "c\n" * 60 + '",b\n',
            r"a\.csv is not valid CSV \(line \d+: a cell of more than 100",
        ),
        ("a.csv", "text,label\n" + "c" * 101 + ",b\n", r"a\.csv, line 2, has \d+ characters or more"),
        (
            "a.json",
            '[{"text": "a", "label": "' + "c" * 101 + '"}]',
            r"a\.json, row 1, is not JSON \(.*\), or has \d+ char",
        ),
        ("a.jsonl", '{"text": "' + "c" * 101 + '"}', r"a\.jsonl, line 1, has \d+ characters or more"),
    ],
)
def test_a_cell_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, sentence: str
) -> None:
    monkeypatch.setattr(sources, "BLOCK", 7)
    monkeypatch.setattr(documents, "LONGEST", 100)
    with pytest.raises(ChargenError, match=sentence):
        read(tmp_path / name, text)


def test_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame(RECORDS).with_columns(pl.col("label").cast(pl.Categorical))
    frame.write_parquet(tmp_path / "a.parquet")
    assert read_labelled([str(tmp_path / "a.parquet")]) == FOUR
    content = (tmp_path / "a.parquet").read_bytes()
    assert read(tmp_path / "a.pq.gz", gzip.compress(content)) == FOUR
    assert read(tmp_path / "nameless", content) == FOUR
    for number, broken in enumerate((b"", content[:-20], content[:8] + b"\xff" * 60 + content[68:])):
        with pytest.raises(ChargenError, match=r"\.parquet is damaged, or no Parquet file at all"):
            read(tmp_path / f"{number}.parquet", broken)
    with pytest.raises(ChargenError, match=r"holds tables: name one of them, such as .*0\.parquet"):
        (tmp_path / "nameless").unlink()
        read_labelled([str(tmp_path)])


def test_numbers_and_nothing_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": ["a", None, "c"], "label": [0, None, 1]}).write_parquet(path)
    found = read_labelled([str(path)], for_training=False)
    assert (found.labels, found.reading.rows_dropped) == (["0", "1"], 1)
    for values in ([0.5, float("nan")], [1, None]):
        pl.DataFrame({"text": ["a", "b"], "label": values}).write_parquet(path)
        with pytest.raises(ChargenError, match=r"a.parquet, row 2, has no label in 'label': add it"):
            read_labelled([str(path)])
    pl.DataFrame({"text": ["a", "b"], "label": [["x", "y"], ["x"]]}).write_parquet(path)
    with pytest.raises(ChargenError, match="several labels per text are not supported"):
        read_labelled([str(path)])


def test_lists_and_objects_are_no_texts_and_no_labels(tmp_path: Path) -> None:
    nested = '{"data": {"text": "a"}, "label": "x"}\n{"data": {"text": "b"}, "label": "y"}\n'
    with pytest.raises(ChargenError, match=r"a.jsonl, line 1: the text in 'data' is an object: name a column"):
        read(tmp_path / "a.jsonl", nested)
    several = '{"text": "a", "label": "x"}\n{"text": "b", "label": ["x", "y"]}\n'
    with pytest.raises(ChargenError, match=r"line 2: the label in 'label' is a list: several labels per text are"):
        read(tmp_path / "a.jsonl", several)
    beside = '{"meta": {"by": "somebody with a long name"}, "words": "so good", "mood": "x"}\n'
    found = read(tmp_path / "a.jsonl", beside + beside.replace("x", "y"), for_training=False, label_column="mood")
    assert found.texts == ["so good", "so good"]


def test_rows_left_out_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", table() + ",\n ,\n,pos\n")
    assert found == FOUR
    assert found.reading.rows_dropped == 3
    path = tmp_path / "a.csv"
    assert found.reading.notes[1:] == (f"2 empty rows left out of {path}", f"1 row without text left out of {path}")
    with pytest.raises(ChargenError, match=r"a.csv, line 3, has no label in 'label'"):
        read(path, "text,label\ngood,pos\nbad, \n")
    with pytest.raises(ChargenError, match=r"a.jsonl, line 2, has no label in 'label'"):
        read(tmp_path / "a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b", "label": NaN}\n')


SPAM = "text,spam,reply\n" + "".join(f"win cash {n},{n % 2},{n // 2 % 2}\n" for n in range(8))
TWEETS = "id,lang,tweet,polarity\n" + "".join(
    f"{n},{('en', 'de')[n % 2]},what a day number {n},{('pos', 'neg')[n // 2 % 2]}\n" for n in range(8)
)
PAIRS = "question,answer,label\n" + "".join(f"what is it {n},something or so {n},{n % 2}\n" for n in range(4))


@pytest.mark.parametrize(
    ("content", "what", "names", "chosen"),
    [
        (SPAM, "label", "'spam' and 'reply'", "reply"),
        (TWEETS, "label", "'lang' and 'polarity'", "polarity"),
        (PAIRS, "text", "'question' and 'answer'", "question"),
        (SPAM.replace("spam,reply", "topic,category"), "label", "'topic' and 'category'", "category"),
        (PAIRS.replace("question,answer", "review,comment"), "text", "'review' and 'comment'", "comment"),
    ],
)
def test_columns_that_fit_equally_well_are_refused(
    tmp_path: Path, content: str, what: str, names: str, chosen: str
) -> None:
    path = tmp_path / "a.csv"
    sentence = f"the columns {names} of {path} fit equally well as {what}s: name one with --{what}-column"
    with pytest.raises(ChargenError) as error:
        read(path, content)
    assert str(error.value) == sentence
    found = read(path, content, **{f"{what}_column": chosen}).reading.columns
    assert found and chosen in (*found.text, found.label)
    assert read(path, content, strict=False).texts  # as runs of old, which recorded no columns, did it


def test_the_plain_names_win(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", SPAM.replace("text,spam,reply", "Text,sentiment,Label"))
    assert found.labels == [str(n // 2 % 2) for n in range(8)]


def test_a_long_label_is_no_text(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "words,label\nok,entirely positive\nno,rather negative\n", for_training=False)
    assert found.texts == ["ok", "no"]


def test_names_are_known_by_what_repeats(tmp_path: Path) -> None:
    names = "name,origin\nKim,South Korean\nLee,South Korean\nMay,Englishwoman\nFox,Englishwoman\n"
    assert read(tmp_path / "a.csv", names).texts == ["Kim", "Lee", "May", "Fox"]


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        ("text,text,label\na,b,x\n", {}, "has 2 columns 'text': rename all but one"),
        ("text,text,label\na,b,x\n", {"text_column": "text"}, "has 2 columns 'text': rename all but one"),
        ("text,label\na,x\n", {"label_column": "text"}, "cannot have both texts and labels"),
        ("mood,words\n", {}, "there is no example in"),
        ("text,label\na\0,x\n", {}, "is a binary file"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, content: str, options: dict[str, str], sentence: str) -> None:
    with pytest.raises(ChargenError, match=sentence):
        read(tmp_path / "a.csv", content, **options)


def test_a_first_row_whose_label_has_a_usual_name_is_no_header(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "it is so,y\nit is not,n\nyes it is,y\nno no,n\n")
    assert found.labels == ["y", "n", "y", "n"]


def test_a_number_names_a_column_where_it_is_also_a_label(tmp_path: Path) -> None:
    rows = "1,good film\n2,bad film\n1,fine film\n2,poor film\n"
    assert read(tmp_path / "a.csv", rows, label_column="1").labels == ["1", "2", "1", "2"]
    assert read(tmp_path / "b.csv", "1,2\n" + rows, label_column="1", text_column="2").texts == FOUR.texts


def test_several_columns_of_text_are_joined_by_a_line_break(tmp_path: Path) -> None:
    content = "title,body,label\nA,good,x\n,fine,x\nB,,y\n,,y\nC,bad,y\nD,poor,y\n"
    found = read(tmp_path / "a.csv", content, text_column=("title", "body"))
    assert found.texts == ["A\ngood", "fine", "B", "C\nbad", "D\npoor"]
    assert found.reading.notes[0] == "reading text from columns 'title' and 'body' and labels from 'label'"
    assert read(tmp_path / "a.csv", content, text_column="body").texts == ["good", "fine", "bad", "poor"]


def test_recorded_columns_are_read_again(tmp_path: Path) -> None:
    first = read(tmp_path / "a.csv", SPAM, label_column="reply")
    recorded = first.reading.columns
    assert recorded and read_record(Columns, json.loads(json.dumps(asdict(recorded))), "columns") == recorded
    again = read(tmp_path / "b.csv", SPAM.replace("text,spam,reply", "spam,text,reply"), columns=recorded)
    assert again.labels == first.labels and again.texts[0] == "0"
    semicolons = read(tmp_path / "c.csv", SPAM.replace(",", ";"), columns=recorded)
    assert semicolons == first
    with pytest.raises(ChargenError, match=r"d\.csv has no column 'reply': name one of text, label with --label-col"):
        read(tmp_path / "d.csv", table(), columns=recorded)
    assert read(tmp_path / "d.csv", table(), columns=recorded, label_column="label") == FOUR
    numbered = read(tmp_path / "e.csv", table().partition("\n")[2]).reading.columns
    assert numbered == Columns(("1",), "2", False, ",")
    one = "good film,pos\n"  # a single row tells nothing by itself
    assert read(tmp_path / "f.csv", one, columns=numbered, for_training=False).texts == ["good film"]
    with pytest.raises(ChargenError, match=r"a\.csv has no column '2': name one of text, spam, reply"):
        read_labelled([str(tmp_path / "a.csv")], columns=numbered)


def test_inputs_have_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(SPAM)
    (tmp_path / "b.csv").write_text(table())
    both = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    with pytest.raises(ChargenError, match=r"b\.csv has no column 'spam'"):
        read_labelled(both, label_column="spam")
    with pytest.raises(ChargenError, match=r"a\.csv has no column 'label'"):
        read_labelled(both[::-1])


def test_a_single_example_is_enough_where_nothing_is_split(tmp_path: Path) -> None:
    with pytest.raises(ChargenError, match="the label 'odd' has a single example"):
        read(tmp_path / "a.csv", table() + "strange,odd\n")
    assert read(tmp_path / "a.csv", table() + "strange,odd\n", to_split=False).label_names == ["neg", "odd", "pos"]


def test_parquet_without_polars_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ChargenError, match=r"a\.parquet needs the polars package: pip install 'chargen\[parquet\]'"):
        read_labelled([str(tmp_path / "a.parquet")])


def test_blank_lines_between_rows_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,x\n\n\nb,x\n\nc,y\nd,y\n\n\n")
    assert open_table(resolve([str(path)])[0]).blank == 3
    found = read_labelled([str(path)])
    assert len(found.texts) == 4 and found.reading.rows_dropped == 3
    assert f"3 empty rows left out of {path}" in found.reading.notes


def test_a_first_row_whose_cells_come_again_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,pos\ngood film,pos\nbad film,neg\npoor,neg\n")
    found = read_labelled([str(path)])
    assert (
        found.texts[0] == "x"
        and found.labels[0] == "pos"
        and found.reading.columns == Columns(("1",), "2", header=False, delimiter=",")
    )


def test_a_recorded_lack_of_a_header_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("body,pos\ngood film,neg\nfine,pos\n")
    columns = Columns(("1",), "2", header=False, delimiter=",")
    assert read_labelled([str(path)], columns=columns, for_training=False).texts == ["body", "good film", "fine"]


def test_columns_of_one_name_are_to_be_renamed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,text,label\na,b,x\nc,d,y\n")
    with pytest.raises(ChargenError, match=r"a.csv has 2 columns 'text': rename all but one"):
        read_labelled([str(path)])

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargen.errors import ChargenError
from chargen.text.labelled import LabelledSet, encode_example, groups_of, read_labelled, stratified_split
from chargen.text.tokenizers.base import Ids
from chargen.text.tokenizers.char import CharTokenizer

GOOD_BAD = LabelledSet(["so good", "so bad, really", 'a "fine" one'], ["pos", "neg", "pos"])


def read(path: Path, text: str, **options: Any) -> LabelledSet:
    """The set in a file with this text; labels may come once only."""
    path.write_bytes(text.encode())
    return read_labelled([str(path)], for_training=False, **options)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("usual.csv", 'label,sentence\npos,so good\nneg,"so bad, really"\npos,"a ""fine"" one"\n'),
        ("marked.csv", '\ufefftext,label\r\nso good,pos\r\n"so bad, really",neg\r\n"a ""fine"" one",pos\r\n'),
        ("plain.csv", 'pos,so good\nneg,"so bad, really"\n\npos,"a ""fine"" one"\n'),
        ("other.csv", 'Mood,Id,Words\npos,1,so good\nneg,2,"so bad, really"\npos,3,"a ""fine"" one"\n'),
        ("spaced.csv", 'label,text\n pos ,so good\nneg,"so bad, really"\npos,"a ""fine"" one"\nneg,\n'),
        ("quoted.tsv", 'text\tlabel\nso good\tpos\nso bad, really\tneg\n"a ""fine"" one"\tpos\n'),
        ("quoteless.tsv", 'so good\tpos\nso bad, really\tneg\na "fine" one\tpos\n'),
        (
            "lines.jsonl",
            '{"text": "so good", "label": "pos"}\n{"label": "neg", "text": "so bad, really"}\n'
            '{"text": "a \\"fine\\" one", "label": "pos", "id": 7}\n{"text": null, "label": "pos"}\n',
        ),
    ],
)
def test_tables_of_many_shapes_hold_the_same_set(tmp_path: Path, name: str, text: str) -> None:
    assert read(tmp_path / name, text) == GOOD_BAD


def test_quotes_that_open_nothing_are_characters_in_a_tsv(tmp_path: Path) -> None:
    found = read(tmp_path / "data.tsv", 'label\ttext\npos\t"so" good\nneg\t"so bad\n')
    assert found.texts == ['"so" good', '"so bad']


def test_columns_without_header_are_numbered_and_the_longest_is_the_text(tmp_path: Path) -> None:
    rows = '"3","Title","A long text, of news"\n"4","Other","Another long text"\n"3","More","And more of it"\n'
    found = read(tmp_path / "news.csv", rows)
    assert (found.texts[0], found.labels) == ("A long text, of news", ["3", "4", "3"])
    assert read(tmp_path / "news.csv", rows, text_column="2").texts == ["Title", "Other", "More"]
    with pytest.raises(ChargenError, match="no column '4'"):
        read(tmp_path / "news.csv", rows, label_column="4")


def test_columns_can_be_named_against_the_usual_names(tmp_path: Path) -> None:
    rows = "label,text,lang,title\n1,a b c,en,T\n2,d e f,de,U\n"
    found = read(tmp_path / "data.csv", rows, text_column="title", label_column="lang")
    assert found == LabelledSet(["T", "U"], ["en", "de"])


def test_an_absent_column_lists_those_there_are(tmp_path: Path) -> None:
    for name, text in (("a.csv", "mood,words\npos,good\n"), ("a.jsonl", '{"mood": "pos", "words": "good"}\n')):
        with pytest.raises(ChargenError, match=f"{name} has no column 'label': name one of mood, words with --label"):
            read(tmp_path / name, text, label_column="label")
    with pytest.raises(ChargenError, match=r"cannot tell which column of .* name one of id, no, words"):
        read(tmp_path / "b.csv", "id,no,words\n1,a,good\n2,b,bad\n3,c,fine\n")


def test_numbers_and_truth_values_are_labels(tmp_path: Path) -> None:
    found = read(tmp_path / "a.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": true}\n')
    assert found.labels == ["0", "true"]


def test_cells_may_be_long_and_have_line_breaks(tmp_path: Path) -> None:
    long = "word " * 60_000
    found = read(tmp_path / "a.csv", f'label,text\npos,"{long}"\nneg,"one\r\ntwo\n\nthree"\n')
    assert found.texts == [long, "one\ntwo\n\nthree"]


@given(
    rows=st.lists(st.tuples(st.text("a \n\"',\té", min_size=1).filter(str.strip), st.sampled_from("xy")), min_size=1)
)
def test_what_csv_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        table = io.StringIO()
        csv.writer(table, delimiter=delimiter, lineterminator="\n").writerows([("text", "label"), *rows])
        found = read(tmp_path_factory.getbasetemp() / f"any{suffix}", table.getvalue())
        assert list(zip(found.texts, found.labels, strict=True)) == rows


def test_compressed_and_streamed_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [{"text": text, "label": label} for text, label in zip(GOOD_BAD.texts, GOOD_BAD.labels, strict=True)]
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    (tmp_path / "set.jsonl.gz").write_bytes(gzip.compress(lines))
    assert read_labelled([str(tmp_path / "set.jsonl.gz")], for_training=False) == GOOD_BAD
    for content in (lines, b'pos\tso good\nneg\tso bad, really\npos\ta "fine" one\n'):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert read_labelled(["-"], for_training=False) == GOOD_BAD


def test_folders_by_file_and_by_folder(tmp_path: Path) -> None:
    (tmp_path / "names").mkdir()
    (tmp_path / "names/Greek.txt").write_text("Pappas\n\nKouris\n")
    (tmp_path / "names/Czech.txt").write_text(" Novak \nHus")
    expected = LabelledSet(["Novak", "Hus", "Pappas", "Kouris"], ["Czech", "Czech", "Greek", "Greek"])
    assert read_labelled([str(tmp_path / "names")]) == expected
    assert read_labelled([str(tmp_path / "names/*.txt")]) == expected
    assert expected.label_names == ["Czech", "Greek"]
    for name, text in (("pos/1.txt", "Good\n\nfilm\n"), ("pos/2.txt", "Fine"), ("neg/deep/1.txt", "Bad\n")):
        (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / name).write_text(text)
    found = read_labelled([str(tmp_path / "films")], for_training=False)
    assert found == LabelledSet(["Bad", "Good\n\nfilm", "Fine"], ["neg", "pos", "pos"])
    assert found.reading.whole_files and not read_labelled([str(tmp_path / "names")]).reading.whole_files
    both = read_labelled([str(tmp_path / "films"), str(tmp_path / "names")], for_training=False)
    assert not both.reading.whole_files


def lay(folder: Path, *names: str, text: str = "so good\n") -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return str(folder)


def test_parts_of_a_split_are_no_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imdb = lay(
        tmp_path / "imdb", *(f"{part}/{label}/1.txt" for part in ("train", "test") for label in ("neg", "pos"))
    )
    with pytest.raises(ChargenError, match=r"imdb would give the labels test, train, but these look like parts of"):
        read_labelled([imdb])
    assert read_labelled([f"{imdb}/test"], for_training=False).label_names == ["neg", "pos"]
    lay(tmp_path / "imdb", "train/unsup/1.txt")
    with pytest.raises(ChargenError, match="train would give the label unsup, but this looks like texts without"):
        read_labelled([f"{imdb}/train"])
    files = lay(tmp_path / "files", "Train.txt", "dev.txt")
    for inputs in ([files], [f"{files}/Train.txt"], [f"{files}/*.txt"], [f"{files}/dev.txt", f"{files}/Train.txt"]):
        for training in (True, False):
            with pytest.raises(ChargenError, match="these look like parts of a split: name the labelled texts"):
                read_labelled(inputs, for_training=training)
    vehicles = lay(tmp_path / "vehicles", "train.txt", "plane.txt")
    assert read_labelled([vehicles], for_training=False).label_names == ["plane", "train"]


@pytest.mark.parametrize("name", ["train.txt", "cooking.train", "cooking"])
def test_labels_in_front_of_lines_are_read(tmp_path: Path, name: str) -> None:
    found = read(tmp_path / name, '__label__pos so good\n\n__label__neg  so bad, really \n__label__pos a "fine" one')
    assert found == GOOD_BAD and found.reading.rows_dropped == 1
    assert found.reading.notes[0] == "reading labels from __label__ in front of each line"
    for line in ("no label", "__label__ fine", "__label__pos __label__neg fine", "__label__"):
        with pytest.raises(ChargenError, match=f"{name}, line 2, does not begin with one label, such as __label__x"):
            read(tmp_path / name, f"__label__pos so good\n{line}\n")


@pytest.mark.parametrize("start", ["\ufeff", "\n \n"])
def test_labels_in_front_may_follow_a_mark_or_blank_lines_and_precede_a_tab(tmp_path: Path, start: str) -> None:
    lines = '__label__pos\tso good\n__label__neg so bad, really\n__label__pos a "fine" one'
    found = read(tmp_path / "a.txt", start + lines)
    assert found == GOOD_BAD


def test_labels_in_front_of_some_lines_are_questioned(tmp_path: Path) -> None:
    with pytest.raises(ChargenError, match=r"a\.txt, line 2, begins with __label__, but the first line does not"):
        read(tmp_path / "a.txt", "so good\n__label__neg so bad\n")


def test_texts_without_label_can_be_left_out(tmp_path: Path) -> None:
    table = 'label,text\npos,so good\n,none\nneg,"so bad, really"\npos,"a ""fine"" one"\n'
    lines = '__label__pos so good\nnone\n\n__label__neg so bad, really\n__label__pos a "fine" one\n'
    for name, content in (("a.csv", table), ("a.txt", lines)):
        with pytest.raises(ChargenError, match="or leave out such texts with --skip-unlabelled"):
            read(tmp_path / name, content)
        found = read(tmp_path / name, content, skip_unlabelled=True)
        assert found == GOOD_BAD and found.reading.unlabelled == 1
        assert f"1 text without label left out of {tmp_path / name}" in found.reading.notes
    films = lay(tmp_path / "films", "pos/1.txt", "neg/1.txt", "unsup/1.txt", "unsup/2.txt")
    found = read_labelled([films], for_training=False, skip_unlabelled=True)
    assert found.label_names == ["neg", "pos"] and found.reading.unlabelled == 2


def test_what_macos_adds_is_no_label(tmp_path: Path) -> None:
    films = lay(tmp_path / "films", "pos/1.txt", "neg/1.txt", "__MACOSX/1.txt", "neg/__MACOSX/1.txt", "neg/.DS_Store")
    assert read_labelled([films], for_training=False).labels == ["neg", "pos"]


def test_tables_without_their_suffix_are_questioned(tmp_path: Path) -> None:
    with pytest.raises(ChargenError, match=r"a\.txt looks like a table, since each line has 2 cells with tabs"):
        read(tmp_path / "a.txt", "pos\tso good\nneg\tso bad\n")
    with pytest.raises(ChargenError, match=r"labelled 'b', the name of the file: .* a table ends in \.csv"):
        (tmp_path / "b.txt").write_text("pos,so good\nneg,so bad\n")
        read_labelled([str(tmp_path / "b.txt")])


@pytest.mark.parametrize("labels", [("['a', 'b']", "['b']"), ('[""a"", ""b""]', "[]"), ("[27 3]", "[2]")])
def test_lists_in_cells_are_no_labels(tmp_path: Path, labels: tuple[str, str]) -> None:
    rows = "".join(f'good {number},"{labels[number % 2]}"\n' for number in range(6))
    with pytest.raises(ChargenError, match=r"the labels in 'label' of .*a\.csv are lists, such as \["):
        read(tmp_path / "a.csv", "text,label\n" + rows)
    tags = "".join(f"good {number},[{'AB'[number % 2]}]\n" for number in range(6))
    assert read(tmp_path / "a.csv", "text,label\n" + tags).label_names == ["[A]", "[B]"]


def test_measured_numbers_are_no_labels(tmp_path: Path) -> None:
    rows = "".join(f"some words {n}\t{n % 3}\t{n % 7},{n % 5}\t{n % 7}.{n % 5}\n" for n in range(60))
    found = read(tmp_path / "a.tsv", f"words\tstars\tsize\tshare\n{rows}")
    assert found.label_names == ["0", "1", "2"]
    assert "labels from 'stars', leaving out 'size', 'share'" in found.reading.notes[0]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.csv", "", "there is no text|a.csv is empty"),
        ("a.csv", "label,text\n", "there is no example in .*a.csv"),
        ("a.csv", "just\none column\n", "a.csv has only one column"),
        ("a.csv", "label,text\npos,good\n,bad\n", "a.csv, line 3, has no label in 'label': add it"),
        ("a.csv", "label,text\npos,good, really\n", "a.csv, line 2, has 3 cells, but the first row has 2"),
        ("a.csv", 'label,text\npos,"good\nneg,bad\n', r"a.csv is not valid CSV \(line 3: unexpected end of data\)"),
        ("a.jsonl", '{"text": "a", "label": "b"}\n[1]\n', "a.jsonl, line 2, is not a JSON object"),
        ("a.jsonl", '{"text": "a", "label": "b"}\n{\n', "a.jsonl, line 2, is not JSON"),
    ],
)
def test_bad_tables_get_one_sentence(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    with pytest.raises(ChargenError, match=sentence):
        read(tmp_path / name, text)


def test_bytes_of_another_encoding_get_file_and_offset(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("label,text\npos,gr\xf6\xdfer\nneg,klein\n".encode("latin-1"))
    with pytest.raises(ChargenError, match=r"a\.csv is not valid utf-8: byte 0xf6 at offset 17"):
        read_labelled([str(tmp_path / "a.csv")])
    assert read_labelled([str(tmp_path / "a.csv")], encoding="latin-1", for_training=False).texts[0] == "größer"


def test_a_set_to_learn_from_needs_two_labels_of_two_examples(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("label,text\npos,good\npos,fine\n")
    with pytest.raises(ChargenError, match=r"all examples in .*a.csv are labelled 'pos': .* at least two labels"):
        read_labelled([str(path)])
    path.write_text("label,text\npos,good\npos,fine\nneg,bad\n")
    with pytest.raises(ChargenError, match=r"the label 'neg' has a single example in .*a.csv"):
        read_labelled([str(path)])
    assert len(read_labelled([str(path)], for_training=False).texts) == 3


def test_a_folder_of_tables_asks_which(tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text("label,text\n")
    with pytest.raises(ChargenError, match=r"holds tables: name one of them, such as .*dev\.csv"):
        read_labelled([str(tmp_path)])


@given(
    counts=st.dictionaries(st.sampled_from("abcd"), st.integers(2, 20), min_size=1),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
)
def test_a_split_keeps_each_label_on_both_sides_in_proportion(
    counts: dict[str, int], fraction: float, seed: int
) -> None:
    labels = [label for label, count in counts.items() for _ in range(count)]
    train, held_out = stratified_split(labels, fraction, seed)
    assert sorted(train + held_out) == list(range(len(labels)))
    assert (train, held_out) == (sorted(train), sorted(held_out))
    for label, count in counts.items():
        held = sum(labels[index] == label for index in held_out)
        assert 1 <= held < count
        assert abs(held - fraction * count) <= 1
    assert stratified_split(labels, fraction, seed) == (train, held_out)


def test_a_split_is_the_same_on_every_python_and_another_for_another_seed() -> None:
    labels = list("abababababbb")
    assert stratified_split(labels, 0.3, seed=1) == ([1, 2, 3, 4, 5, 6, 9, 10], [0, 7, 8, 11])
    assert stratified_split(labels, 0.3, seed=2) == ([0, 1, 2, 3, 5, 7, 8, 10], [4, 6, 9, 11])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=2, max_size=60), st.integers(0, 5))
def test_a_group_stays_on_one_side_unless_a_label_would_be_missing(rows: list[tuple[str, int]], seed: int) -> None:
    rows += [(label, 100 + i) for i, label in enumerate("aaaabbbbcccc")]
    labels, groups = [label for label, _ in rows], [group for _, group in rows]
    train, held_out = stratified_split(labels, 0.3, seed, groups)
    assert sorted(train + held_out) == list(range(len(rows)))
    assert {labels[index] for index in train} == {labels[index] for index in held_out} == set("abc")
    assert not {groups[index] for index in train} & {groups[index] for index in held_out}
    one_group_a_label = stratified_split(list("aaabbb"), 0.3, seed, [0, 0, 0, 1, 1, 1])
    assert {"aaabbb"[index] for index in one_group_a_label[1]} == {"a", "b"}


def test_texts_of_the_same_words_are_a_group_and_copies_are_not() -> None:
    assert groups_of(["The cat sat.", "dog", "the  SAT, cat", "dog", "!", "?", ""]) == [
        *("cat sat the", 1, "cat sat the", 3, 4, 5, 6)
    ]


def test_a_split_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ChargenError, match="the label 'b' has a single example"):
        stratified_split(["a", "a", "b"], 0.5)
    for fraction in (0.0, 1.0):
        with pytest.raises(ChargenError, match=f"fraction held out is {fraction}, but must be between 0 and 1"):
            stratified_split(["a", "a"], fraction)


def test_an_archive_is_read_as_a_folder_is(tmp_path: Path) -> None:
    def pack(*names: str) -> str:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name in names:
                archive.writestr(name, f"text of {name}\n")
        return str(tmp_path / "a.zip")

    for top in ("", "films/"):
        found = read_labelled([pack(*(f"{top}{label}/{n}.txt" for label in ("neg", "pos") for n in "12"))])
        assert found.labels == ["neg", "neg", "pos", "pos"] and found.reading.whole_files
    assert read_labelled([pack("neg.txt", "pos.txt")], for_training=False).label_names == ["neg", "pos"]
    with pytest.raises(ChargenError, match=r"a\.zip would give the labels test, train, but these look like parts of"):
        read_labelled([pack("a/train/1.txt", "a/test/1.txt")])
    unlabelled = pack("neg/1.txt", "pos/1.txt", "unsup/1.txt")
    with pytest.raises(ChargenError, match="would give the label unsup"):
        read_labelled([unlabelled])
    assert read_labelled([unlabelled], skip_unlabelled=True, for_training=False).label_names == ["neg", "pos"]


def test_no_more_of_a_long_text_is_encoded_than_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = CharTokenizer.encode

    def counted(self: CharTokenizer, text: str) -> Ids:
        encoded.append(len(text))
        return encode(self, text)

    monkeypatch.setattr(CharTokenizer, "encode", counted)
    ids = encode_example(CharTokenizer("ab"), "ab" * 10**6, framed=True, max_length=1000)
    assert ids.tolist() == [1, *[3, 4] * 499, 3] and sum(encoded) < 10**5

"""Labelled tables through the command line: what a run records, what measures and labels by it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from builders import edit_json
from commands import SMALL_CLASSIFIER, call
from safetensors.numpy import load_file, save_file

from chargen.cli.output import escape, unescape
from chargen.runs.folder import load_run
from chargen.training.options import ClassifierOptions, LanguageModelOptions, from_record, to_record

ROWS = [(f"{word} {n}", str(int(word == "good")), str(n % 2)) for n in range(12) for word in ("good", "poor")]


def write(name: str, *rows: tuple[str, ...], delimiter: str = ",") -> str:
    with Path(name).open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return name


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("mail.csv", ("text", "spam", "reply"), *ROWS)


@pytest.fixture
def run() -> Path:
    """A run that reads texts from `text` and labels from `spam`."""
    call("train", "mail.csv", "--label-column", "spam", *SMALL_CLASSIFIER, "-o", "mail")
    return Path("mail")


def make_old(run: Path, **options: Any) -> None:
    """Make the run one that recorded no columns, with other options."""

    def edit(config: dict[str, Any]) -> None:
        for name in ("columns", "columns_known", "label_counts", "rows_dropped"):
            config["data"].pop(name, None)
        config["options"] |= options

    edit_json(run / "config.json", edit)


def test_training_records_what_it_read_and_refuses_to_choose() -> None:
    sentence = call("train", "mail.csv", *SMALL_CLASSIFIER, code=1).stderr
    assert sentence == (
        "chargen: the columns 'spam' and 'reply' of mail.csv fit equally well as labels: "
        "name one with --label-column\n"
    )
    write("mail.csv", ("text", "spam", "reply"), *ROWS, ("", "", ""), delimiter=";")
    told = call("train", "mail.csv", "--label-column", "spam", *SMALL_CLASSIFIER[:-1], "-o", "mail").stderr
    assert "reading text from column 'text' and labels from 'spam', leaving out 'reply' (delimiter ;)" in told
    assert "1 empty row left out of mail.csv" in told
    data = load_run(Path("mail")).config["data"]
    assert data["columns"] == {"text": ["text"], "label": "spam", "header": True, "delimiter": ";"}
    assert (sum(data["label_counts"].values()), set(data["label_counts"])) == (data["examples"], {"0", "1"})
    assert data["rows_dropped"] == 1


def test_measuring_reads_the_columns_of_training(run: Path) -> None:
    write("test.csv", ("reply", "spam", "text"), *(row[::-1] for row in ROWS), ("1", "1", ""))
    measured = call("evaluate", "-m", "./mail", "test.csv", "--json")
    figures = json.loads(measured.stdout)
    assert [row["examples"] for row in figures["labels"]] == [12, 12] and figures["rows_dropped"] == 1
    assert measured.stderr == "rows without text, left out: 1\n"
    write("other.csv", ("words", "mood"), ("good", "1"))
    assert call("evaluate", "-m", "./mail", "other.csv", code=1).stderr == (
        "chargen: other.csv has no column 'spam': name one of words, mood with --label-column\n"
    )
    call("evaluate", "-m", "./mail", "other.csv", "--label-column", "mood", "--text-column", "words")
    call("evaluate", "-m", "./mail", "test.csv", "--label-column", "reply")
    Path("bare.csv").write_text("good film,1\npoor film,0\n")
    bare = call("evaluate", "-m", "./mail", "bare.csv", "--text-column", "1", "--label-column", "2", "--json").stdout
    assert json.loads(bare)["examples"] == 2
    call("evaluate", "-m", "./mail")


def test_measuring_an_old_run_reads_what_was_named_and_guesses_the_rest(run: Path) -> None:
    write("one.csv", ("text", "spam", "reply"), *((text, "1", label) for text, _, label in ROWS))
    for named, expected in (("spam", [0, 24]), (None, [12, 12])):
        make_old(run, label_column=named)
        figures = json.loads(call("evaluate", "-m", "./mail", "one.csv", "--json").stdout)
        assert [row["examples"] for row in figures["labels"]] == expected


def test_validation_reads_the_columns_of_training() -> None:
    write("val.csv", ("reply", "text", "spam"), *((reply, text, spam) for text, spam, reply in ROWS))
    call("train", "mail.csv", "--label-column", "spam", "--val", "val.csv", *SMALL_CLASSIFIER, "-o", "mail")
    write("val.csv", ("words", "spam"), ("good", "1"))
    refusal = call(
        "train", "mail.csv", "--label-column", "spam", "--val", "val.csv", *SMALL_CLASSIFIER, "-o", "new", code=1
    )
    assert "val.csv has no column 'text': name one of words, spam with --text-column" in refusal.stderr
    assert not Path("new").exists()


def test_old_runs_go_on_with_the_columns_that_they_guessed(run: Path) -> None:
    make_old(run, label_column=None, text_column=None)
    call("train", "--resume", "-o", "mail", "--steps", "5")
    call("evaluate", "-m", "./mail")
    assert load_run(run).summary()["steps"] == 5


def test_new_runs_go_on_with_the_columns_that_they_recorded(run: Path) -> None:
    edit_json(run / "config.json", lambda config: config["options"].update(label_column=None))
    call("train", "--resume", "-o", "mail", "--steps", "5")


def test_a_label_with_one_example_is_named_where_another_set_validates() -> None:
    write("lone.csv", ("text", "label"), *((text, label) for text, label, _ in ROWS), ("hm", "odd"))
    assert "'odd' has a single example" in call("train", "lone.csv", *SMALL_CLASSIFIER, code=1).stderr
    write("val.csv", ("text", "label"), *((text, label) for text, label, _ in ROWS))
    told = call("train", "lone.csv", "--val", "val.csv", *SMALL_CLASSIFIER[:-1])
    assert "labels with a single example to learn from: 'odd'" in told.stderr
    refusal = call("train", "val.csv", "--val", "lone.csv", *SMALL_CLASSIFIER, "-o", "x", code=1)
    assert "no text to train on is labelled 'odd'" in refusal.stderr


def test_texts_of_several_columns() -> None:
    write("mail.csv", ("title", "body", "label"), *(("Re", text, label) for text, label, _ in ROWS))
    columns = ("--text-column", "title", "--text-column", "body")
    call("train", "mail.csv", *columns, *SMALL_CLASSIFIER, "-o", "mail")
    config = load_run(Path("mail")).config
    assert config["options"]["text_column"] == config["data"]["columns"]["text"] == ["title", "body"]
    shown = call("classify", "-m", "./mail", "--file", "mail.csv", "--json").stdout
    texts = [json.loads(line)["text"] for line in shown.splitlines()]
    assert texts == [f"Re\n{text}" for text, _, _ in ROWS]
    call("evaluate", "-m", "./mail", "mail.csv", *columns)
    Path("book.txt").write_text("a b c\n" * 200)
    refusal = call("train", "book.txt", "--documents", "jsonl", *columns, code=1)
    assert "a language model reads one text column, not 2" in refusal.stderr


def test_a_name_of_a_column_may_be_one_several_or_none() -> None:
    for given, kept in (("a", ("a",)), (["a", "b"], ("a", "b")), (None, ()), ((), ())):
        options = from_record(ClassifierOptions, {"inputs": ["x"], "text_column": given})
        assert options.text_column == kept
        assert from_record(ClassifierOptions, json.loads(json.dumps(to_record(options)))) == options
    told = from_record(LanguageModelOptions, {"inputs": ["x"], "documents": "jsonl", "text_column": ["body"]})
    assert told.text_column == "body"


ODD = ('a\tb\nc, "d"; e', "1")


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(("name", "delimiter"), [("new.csv", ","), ("new.csv", ";"), ("new.tsv", "\t")])
def test_a_labelled_table_keeps_its_columns(name: str, delimiter: str) -> None:
    write(name, ("text", "label"), ODD, ("", "2"), ("good", "3"), delimiter=delimiter)
    shown = call("classify", "-m", "./mail", "--file", name)
    rows = list(csv.reader(io.StringIO(shown.stdout), delimiter=delimiter))
    assert rows[0] == ["text", "label", "predicted_label", "probability"]
    assert [tuple(row[:2]) for row in rows[1:]] == [ODD, ("", "2"), ("good", "3")]
    assert rows[1][2] in ("0", "1") and 0.5 <= float(rows[1][3]) <= 1
    assert rows[2][2:] == ["", ""] and "blank texts, which get no label: 1" in shown.stderr


@pytest.mark.usefixtures("run")
def test_other_tables_become_json_lines() -> None:
    records = [{"text": ODD[0], "id": 7, "tags": ["é"]}, {"text": "good", "id": 8, "probability": 1.5}]
    Path("new.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    Path("new.json").write_text(json.dumps(records))
    pl.DataFrame(records).write_parquet("new.parquet")
    for name in ("new.jsonl", "new.json", "new.parquet"):
        found = [json.loads(line) for line in call("classify", "-m", "./mail", "--file", name).stdout.splitlines()]
        assert [(row["text"], row["id"]) for row in found] == [(ODD[0], 7), ("good", 8)]
        assert [(row["tags"], row["probability"]) for row in found] == [(["é"], None), (None, 1.5)]
        assert all(row["label"] in ("0", "1") and row["predicted_probability"] >= 0.5 for row in found)
    judged = map(json.loads, call("classify", "-m", "./mail", "--file", "new.json", "--json").stdout.splitlines())
    assert all(list(record) == ["text", "label", "probabilities", "familiar"] for record in judged)


@pytest.mark.usefixtures("run")
def test_quotation_marks_that_are_characters_stay_so() -> None:
    Path("new.tsv").write_text('text\tid\n"so good\t1\nso "bad"\t2\n')
    lines = call("classify", "-m", "./mail", "--file", "new.tsv").stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [["text", "id"], ['"so good', "1"], ['so "bad"', "2"]]


@pytest.mark.usefixtures("run")
def test_tables_that_do_not_fit_are_refused_before_anything_is_written() -> None:
    write("new.csv", ("words", "id"), ("good", "1"))
    assert call("classify", "-m", "./mail", "--file", "new.csv", code=1).stderr == (
        "chargen: new.csv has no column 'text': name one of words, id with --text-column\n"
    )
    named = call("classify", "-m", "./mail", "--file", "new.csv", "--text-column", "words")
    assert len(named.stdout.splitlines()) == 2
    Path("bare.csv").write_text("good film,7\npoor film,8\n")
    assert "bare.csv has no column 'text'" in call("classify", "-m", "./mail", "--file", "bare.csv", code=1).stderr
    numbered = call("classify", "-m", "./mail", "--file", "bare.csv", "--text-column", "1").stdout.splitlines()
    assert [line.rsplit(",", 2)[0] for line in numbered] == ["good film,7", "poor film,8"]
    Path("bad.jsonl").write_text('{"text": "a"}\n{"text": \n')
    assert "bad.jsonl, line 2, is not JSON" in call("classify", "-m", "./mail", "--file", "bad.jsonl", code=1).stderr
    Path("bad.csv").write_text("text,id\na,1\nb,2,3\n")
    assert "bad.csv, line 3, has 3 cells" in call("classify", "-m", "./mail", "--file", "bad.csv", code=1).stderr
    both = ("--file", "mail.csv", "--file", "new.csv")
    assert "has no column 'text'" in call("classify", "-m", "./mail", *both, code=1).stderr
    Path("new.txt").write_text("good\n")
    mixed = ("classify", "-m", "./mail", "--file", "mail.csv", "--file", "new.txt")
    assert "not tables with the same columns: label one file at a time, or use --json" in call(*mixed, code=1).stderr
    assert len(call(*mixed, "--json").stdout.splitlines()) == len(ROWS) + 1
    for wrong, why in ((("good",), "has no use without --file"), (("--file", "new.txt"), "is for tables")):
        refusal = call("classify", "-m", "./mail", "--text-column", "x", *wrong, code=2)
        assert f"--text-column {why}" in refusal.stderr


def test_a_run_from_a_folder_asks_for_the_column_unless_it_is_clear() -> None:
    Path("moods").mkdir()
    Path("moods/good.txt").write_text("".join(f"fine {n}\n" for n in range(6)))
    Path("moods/ba\td.txt").write_text("".join(f"poor {n}\n" for n in range(6)))
    call("train", "moods", *SMALL_CLASSIFIER, "-o", "moods-run")
    assert load_run(Path("moods-run")).config["data"]["columns"] is None
    write("new.csv", ("words", "id"), ("good", "1"))
    refusal = call("classify", "-m", "./moods-run", "--file", "new.csv", code=1).stderr
    assert "cannot tell which column of new.csv has the texts: name one of words, id with --text-column" in refusal
    write("clear.csv", ("sentence", "id"), ("good", "1"))
    assert call("classify", "-m", "./moods-run", "--file", "clear.csv").stdout.startswith("sentence,id,label,prob")
    lines = call("classify", "-m", "./moods-run", "good", "poor 1").stdout.splitlines()
    labels = {line.split("	")[0] for line in lines}
    assert labels <= {"good", "ba\\td"}


@pytest.mark.parametrize("text", ["", "a\tb\nc", r"C:\new\temp", "\\\n"])
def test_escaped_labels_can_be_read_back(text: str) -> None:
    assert unescape(escape(text)) == text
    assert not set(escape(text)) & {"\t", "\n"}


def test_a_run_of_whole_files_labels_whole_files() -> None:
    for number in range(8):
        for label, word in (("good", "fine"), ("bad", "poor")):
            path = Path(f"films/{label}/{number}.txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{word} film\n\nnumber {number}, {word}\n")
    call("train", "films", *SMALL_CLASSIFIER, "-o", "films-run")
    assert load_run(Path("films-run")).config["data"]["whole_files"]
    shown = call("classify", "-m", "./films-run", "--file", "films", "--file", "films/bad/0.txt").stdout.splitlines()
    names = [line.split("\t")[0] for line in shown]
    assert len(names) == 17 and names[0] == "films/bad/0.txt" == names[-1] and shown[0] == shown[-1]
    piped = call("classify", "-m", "./films-run", given="fine film\n\nnumber 1, fine\n").stdout
    assert piped.startswith("standard input\t") and piped.count("\n") == 1
    record = json.loads(call("classify", "-m", "./films-run", "--file", "films/good/1.txt", "--json").stdout)
    assert record["file"] == "films/good/1.txt" and record["text"] == "fine film\n\nnumber 1, fine"


@pytest.mark.usefixtures("run")
def test_what_is_blank_gets_no_label(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("good film\n\n  \nbad film\n")
    shown = call("classify", "-m", "./mail", "--file", str(tmp_path / "lines.txt"))
    lines = shown.stdout.split("\n")
    assert lines[1:3] == ["\t", "\t"] and lines[0][:1] in "01" and lines[3][:1] in "01"
    assert "blank texts, which get no label: 2" in shown.stderr
    assert call("classify", "-m", "./mail", "").stdout == "\t\n"
    assert json.loads(call("classify", "-m", "./mail", "--json", "").stdout)["label"] is None


@pytest.mark.parametrize(
    "labels", ['["0", "1", "2"]', '["1", "0"]', '["1", "1"]', '{"0": 1, "1": 2}', "5", "[0, 1]", '["0"]']
)
def test_labels_that_do_not_fit_the_run_are_refused(run: Path, labels: str) -> None:
    (run / "labels.json").write_text(labels)
    edit_json(run / "config.json", lambda config: None)  # without a checksum of the labels
    assert "labels.json" in (told := call("classify", "-m", "./mail", "good", code=1).stderr)
    assert "the run is damaged" in told and "Traceback" not in told


def test_parts_that_are_missing_are_told(run: Path) -> None:
    (run / "ngrams.safetensors").unlink()
    for command in (("classify", "-m", "./mail", "good"), ("evaluate", "-m", "./mail"),
                    ("train", "--resume", "-o", "mail", "--steps", "5")):  # fmt: skip
        assert "mail lacks ngrams.safetensors: it is no whole run" in call(*command, code=1).stderr
    (run / "labels.json").unlink()
    assert call("classify", "-m", "./mail", "good", code=1).stderr == (
        "chargen: mail lacks labels.json: it is no whole run of chargen; train it again\n"
    )


def test_scales_that_are_missing_are_told(run: Path) -> None:
    weights = load_file(run / "model.safetensors")
    del weights["scales"]
    save_file(weights, run / "model.safetensors")
    assert (
        "model.safetensors has no two scales: the run is damaged"
        in call("classify", "-m", "./mail", "x", code=1).stderr
    )


@pytest.mark.usefixtures("run")
def test_numbers_that_json_lacks_are_null() -> None:
    Path("new.jsonl").write_text('{"text": "good", "w": [NaN, 1.5, {"a": Infinity}], "z": -Infinity}\n')
    (line,) = call("classify", "-m", "./mail", "--file", "new.jsonl").stdout.splitlines()
    record = json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert record["w"] == [None, 1.5, {"a": None}] and record["z"] is None


def test_labels_in_front_of_lines_are_left_out_and_compared(run: Path) -> None:
    Path("lines.txt").write_text("__label__1 good 1\n__label__0 good 2\n__label__0 __label__1 good 3\n\ngood 4\n")
    shown = call("classify", "-m", "./mail", "--file", "lines.txt", "--json")
    assert [json.loads(line)["text"] for line in shown.stdout.splitlines()] == [
        "good 1",
        "good 2",
        "good 3",
        "",
        "good 4",
    ]
    plain = call("classify", "-m", "./mail", "--json", given="good 1\ngood 2\ngood 3\n\ngood 4\n")
    assert plain.stdout == shown.stdout
    right = [json.loads(line)["label"] for line in shown.stdout.splitlines()]
    agreed = (right[0] == "1") + (right[1] == "0") + 1
    assert f"labels in front of the lines, left out of the texts: {agreed} of 3 (" in shown.stderr
    assert "labels in front" not in plain.stderr


def test_a_hyphen_is_standard_input_and_any_cpu_the_cpu(run: Path) -> None:
    assert call("classify", "-m", "./mail", "good 1", "--device", "cpu:7").stdout.startswith(("0", "1"))
    assert (
        call("classify", "-m", "./mail", "-", given="good 1\n").stdout
        == call("classify", "-m", "./mail", "good 1").stdout
    )


def test_long_texts_are_labelled_in_smaller_batches(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = call("classify", "-m", "./mail", "--file", "mail.csv").stdout
    monkeypatch.setattr("chargen.cli.classify.BATCH_CHARACTERS", 12)
    assert call("classify", "-m", "./mail", "--file", "mail.csv").stdout == whole


def test_texts_without_label_are_left_out_of_a_measure_too(run: Path) -> None:
    write("some.csv", ("text", "spam"), *((text, label) for text, label, _ in ROWS), ("none", ""))
    assert "some.csv, line 26, has no label" in call("evaluate", "-m", "./mail", "some.csv", code=1).stderr
    measured = call("evaluate", "-m", "./mail", "some.csv", "--skip-unlabelled", "--json")
    assert json.loads(measured.stdout)["unlabelled"] == 1 and json.loads(measured.stdout)["examples"] == len(ROWS)
    assert "texts without label, left out: 1" in measured.stderr

"""`chargen train`, `evaluate` and `classify` as a user meets them."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from processes import run_python, start_python

from chargen.cli import main
from chargen.cli.train import command as train_command
from chargen.cli.training_bar import progress_line as progress_of
from chargen.runs.folder import load_run
from chargen.text.labelled_data import LabelledSettings, load_labelled
from chargen.training.events import Step
from chargen.training.options import ClassifierOptions, LanguageModelOptions
from chargen.training.recipes import language_model_recipe

SENTENCE = "the cat sat on the mat, and the dog ran after the hat.\n"
SMALL = (
    "--num-layers",
    "1",
    "--hidden-size",
    "16",
    "--embedding-size",
    "8",
    "--batch-size",
    "4",
    "--sequence-length",
    "8",
    "--device",
    "cpu",
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARGEN_DATA", raising=False)
    Path("book.txt").write_text(SENTENCE * 40)
    lines = [f"{word} {number},{label}" for number in range(30) for word, label in (("good", "pos"), ("bad", "neg"))]
    Path("reviews.csv").write_text("text,label\n" + "\n".join(lines) + "\n")


def call(*arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=given)


def done(*arguments: str, given: str | bytes | None = None) -> Result:
    result = call(*arguments, given=given)
    assert result.exit_code == 0, result.output
    return result


def refused(*arguments: str, code: int = 1, given: str | bytes | None = None) -> str:
    """The one sentence on standard error of a command that cannot be done."""
    result = call(*arguments, given=given)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_train_sample_evaluate(tmp_path: Path) -> None:
    trained = done("train", "book.txt", "--steps", "40", *SMALL)
    assert trained.stdout == ""
    assert "nats per token" in trained.stderr and "bits per character" in trained.stderr
    assert trained.stderr.strip().endswith("next: chargen sample -m book")
    assert done("sample", "the", "--length", "30").stdout.startswith("the")
    figures = json.loads(done("evaluate", "--json").stdout)
    assert figures["nats_per_token"] == pytest.approx(
        load_run(Path("checkpoints/book")).summary()["val_loss"], rel=1e-4
    )
    assert figures["xz_bits_per_character"] > 0
    shown = done("evaluate", "book.txt").stdout
    assert "2,199 characters" in shown and "perplexity" in shown and "xz" in shown


def test_a_budget_in_minutes_is_planned_by_what_is_measured_and_steps_are_not() -> None:
    done("train", "book.txt", "--steps", "3", *SMALL, "--out", "first")
    assert not Path("data/speeds.json").exists()
    planned = done(
        "train", "book.txt", "--minutes", "0.01", "--epochs", "1000", "--hidden-size", "16", "--out", "second"
    )
    told = re.search(
        r"gru 1x16 reads about ([\d,]+) tokens a second here, so .* epochs in 0.01 minutes", planned.stderr
    )
    assert told
    speeds = json.loads(Path("data/speeds.json").read_text())
    assert round(float(told[1].replace(",", ""))) in [round(speed) for speed in speeds.values()]


def test_a_run_may_go_on_in_another_precision() -> None:
    done("train", "book.txt", "--steps", "3", *SMALL, "--precision", "bf16")
    done("train", "book.txt", "--resume", "--steps", "5", "--precision", "fp32")
    run = load_run(Path("checkpoints/book"))
    assert (run.summary()["steps"], run.config["options"]["precision"]) == (5, "fp32")


def test_shards_are_recorded_and_no_more_than_the_streams() -> None:
    done("train", "book.txt", "--steps", "3", *SMALL, "--shards", "3", "--out", "three")
    assert load_run(Path("three")).config["options"]["shards"] == 3
    told = done("train", "book.txt", "--steps", "3", *SMALL, "--shards", "9", "--out", "nine")
    assert "4 streams make 4 shards at most" in told.stderr
    assert load_run(Path("nine")).config["options"]["shards"] == 4
    replayed = ("--config", "nine/config.json", "--batch-size", "2", "--out", "two")
    done("train", *replayed)
    assert load_run(Path("two")).config["options"]["shards"] == 1  # one core in the tests
    assert "shards is 0" in refused("train", "book.txt", "--shards", "0")


def test_evaluations_come_with_a_sample() -> None:
    trained = done("train", "book.txt", "--steps", "20", *SMALL)
    assert trained.stderr.count("\nstep ") == 10
    assert "\n    " in trained.stderr
    quiet = done("train", "book.txt", "--steps", "20", "--quiet", "--overwrite", *SMALL)
    assert len(quiet.stderr.splitlines()) == 2


def test_train_classify_evaluate() -> None:
    trained = done(
        "train",
        "reviews.csv",
        "--task",
        "classify",
        "--steps",
        "60",
        "--hidden-size",
        "16",
        "--batch-size",
        "8",
        "--tokenizer",
        "char",
    )
    assert "accuracy 1.0000" in trained.stderr and "chargen classify -m reviews" in trained.stderr
    lines = done("classify", "good 7", "bad 8").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["pos", "neg"]
    assert all(0.5 < float(line.split("\t")[1]) <= 1 for line in lines)
    Path("new.txt").write_text("bad 1\ngood 2\n")
    assert done("classify", "--file", "new.txt").stdout.split()[::2] == ["neg", "pos"]
    record = json.loads(done("classify", "--json", given="good 3\n").stdout)
    assert record["label"] == "pos" and sum(record["probabilities"].values()) == pytest.approx(1)
    assert list(record["probabilities"]) == ["pos", "neg"]
    assert "never saw them: 1 characters" in done("classify", "good é").stderr
    figures = json.loads(done("evaluate", "reviews.csv", "--json").stdout)
    assert (figures["accuracy"], figures["examples"]) == (1.0, 60)
    shown = done("evaluate").stdout
    assert "macro-F1           1.0000" in shown and "precision" in shown and "taken for" in shown


def test_a_model_that_adapts_reads_better_and_needs_its_training_text() -> None:
    done("train", "book.txt", "--steps", "20", *SMALL)
    Path("other.txt").write_text("a hat on a cat on a mat.\n" * 60)
    plain, dynamic = (
        json.loads(done("evaluate", "other.txt", "--json", *more).stdout)["bits_per_character"]
        for more in ((), ("--dynamic", "--dynamic-rate", "0.003"))
    )
    assert dynamic < plain
    assert "has no use without --dynamic" in refused("evaluate", "--dynamic-rate", "0.1", code=2)
    assert "rate must be above 0" in refused("evaluate", "other.txt", "--dynamic", "--dynamic-rate", "-1")
    Path("book.txt").unlink()
    assert "'book.txt'" in refused("evaluate", "other.txt", "--dynamic")


def test_a_classifier_from_a_language_model() -> None:
    done("train", "book.txt", "--steps", "20", *SMALL)
    shown = done("train", "reviews.csv", "--task", "classify", "--from", "book", "--steps", "10")
    assert "are new to book" in shown.stderr
    assert load_run(Path("checkpoints/reviews")).config["model"]["encoder"]["hidden_size"] == 16


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe", "unigram"])
def test_each_tokenizer_trains_and_samples(tokenizer: str) -> None:
    done("train", "book.txt", "--tokenizer", tokenizer, "--steps", "5", *SMALL)
    assert len(done("sample", "the", "-l", "20").stdout.removesuffix("\n")) >= 22


def test_standard_input_is_a_text() -> None:
    done("train", "-", "--steps", "5", *SMALL, given=SENTENCE * 40)
    assert Path("checkpoints/stdin/config.json").exists()
    assert "standard input, which is gone" in refused("evaluate")
    assert json.loads(done("evaluate", "book.txt", "--json").stdout)["tokens"] == 2199
    resumed = done("train", "-", "--resume", "--steps", "7", given=SENTENCE * 40)
    assert "going on from step 5" in resumed.stderr


def test_a_folder_is_found_by_its_path_not_by_another_runs_name() -> None:
    done("train", "book.txt", "--steps", "3", *SMALL)
    shown = done("train", "book.txt", "--steps", "4", "--out", "book", *SMALL)
    assert "next: chargen sample -m ./book" in shown.stderr
    assert "going on from step 4" in done("train", "--resume", "--out", "book", "--steps", "5").stderr
    assert [json.loads(done("evaluate", "-m", name, "--json").stdout)["model"] for name in ("book", "./book")] == [
        "book",
        "./book",
    ]


def test_with_nothing_named_it_trains_on_the_python_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chargen.text.builtin.python_docs", lambda: iter([SENTENCE] * 40))
    done("train", "--steps", "2", *SMALL)
    assert Path("checkpoints/python-docs/config.json").exists()


def test_resume_goes_on_and_config_replays() -> None:
    done("train", "book.txt", "--steps", "10", *SMALL)
    resumed = done("train", "book.txt", "--resume", "--steps", "15")
    assert "going on from step 10" in resumed.stderr
    run = load_run(Path("checkpoints/book"))
    assert run.summary()["steps"] == 15
    config = "checkpoints/book/config.json"
    done("train", "--config", config, "--out", "again", "--precision", run.config["options"]["precision"])
    assert load_run(Path("again")).summary()["steps"] == 15
    done("train", "--config", config, "--out", "third", "--precision", run.config["options"]["precision"])
    again, third = (load_run(Path(name)).weights() for name in ("again", "third"))
    assert all((again[name] == third[name]).all() for name in again)
    done("train", "--config", config, "--out", "longer", "--epochs", "0.5", "--hidden-size", "6")
    longer = load_run(Path("longer")).config["options"]
    assert (longer["steps"], longer["epochs"], longer["hidden_size"], longer["sequence_length"]) == (None, 0.5, 6, 8)
    done("train", "--config", config, "--out", "tied", "--steps", "2", "--tied", "--optimizer", "adamw")
    tied = load_run(Path("tied")).config["options"]
    assert (tied["num_layers"], tied["hidden_size"], tied["embedding_size"], tied["batch_size"]) == (1, 16, 16, 4)
    adamw = language_model_recipe(LanguageModelOptions(inputs=("x",), optimizer="adamw"), 10**6, 65, lambda _: 1e4)
    assert (tied["learning_rate"], tied["weight_decay"]) == (adamw.learning_rate, adamw.weight_decay)
    narrow = (
        "--config",
        "tied/config.json",
        "--steps",
        "1",
        "--hidden-size",
        "8",
        "--documents",
        "line",
        "--overwrite",
    )
    done("train", *narrow, "--out", "narrow")
    assert load_run(Path("narrow")).config["options"]["embedding_size"] == 8
    tuned = ("--config", "tied/config.json", "--steps", "1", "--from", "book")
    done("train", *tuned, "--out", "tuned")
    tuned_options = load_run(Path("tuned")).config["options"]
    assert (tuned_options["tied"], tuned_options["embedding_size"]) == (False, 8)
    assert tuned_options["learning_rate"] < adamw.learning_rate
    done(
        "train", "--config", "tied/config.json", "--steps", "1", "--size", "auto", "--out", "anew"
    )  # also typed again
    assert load_run(Path("anew")).config["options"]["hidden_size"] == 128
    assert "--hidden-size cannot change" in refused("train", "book.txt", "--resume", "--hidden-size", "3", code=2)
    assert "--overwrite has no use with it" in refused("train", "--resume", "--overwrite", code=2)


def test_an_existing_run_is_not_overwritten() -> None:
    done("train", "book.txt", "--steps", "5", *SMALL)
    sentence = refused("train", "book.txt", "--steps", "5", *SMALL)
    assert "already holds a run: --resume continues it" in sentence
    assert len(sentence.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("train", "nothing.txt"), "there is no file, folder or corpus 'nothing.txt'"),
        (("train", "empty.txt"), "no text in empty.txt"),
        (("train", "tiny.txt"), "too few to train"),
        (("train", "latin.txt"), "byte 0xe9 at offset 3"),
        (("train", "binary.txt"), "is a binary file"),
        (("train", "book.txt", "--minutes", "0"), "minutes is 0.0"),
        (("train", "book.txt", "--size", "giant"), "unknown size 'giant'"),
        (("train", "book.txt", "--device", "cuda:77"), "cannot be used"),
        (("train", "book.txt", "--from", "nowhere"), "no run called 'nowhere'"),
        (("train", "--config", "book.txt"), "is no config.json of a run"),
        (("train", "--resume"), "no run under checkpoints/ yet"),
        (("train", "reviews.csv", "--task", "classify", "--label-column", "stars"), "no column 'stars'"),
        (("train", "one.csv", "--task", "classify"), "all examples in one.csv are labelled 'pos'"),
        (("train", "lonely.csv", "--task", "classify"), "the label 'neg' has a single example"),
        (("train", "book.txt", "--tokenizer", "bpe", "--vocab-size", "9"), "too small for bpe"),
        (("sample", "-m", "nowhere"), "no run called 'nowhere'"),
        (("classify", "-m", "nowhere", "x"), "no run called 'nowhere'"),
        (("evaluate",), "no run under checkpoints/ yet"),
        (("train", "book.txt", "--text-column", "body"), "for documents in JSON lines"),
        (("train", "book.txt", "--epochs", "inf"), "epochs is inf"),
        (("sample", "-m", "foreign"), "does not describe a run of chargen"),
    ],
)
def test_bad_input_gets_one_sentence(arguments: tuple[str, ...], expected: str) -> None:
    Path("empty.txt").write_text("")
    Path("tiny.txt").write_text("short")
    Path("latin.txt").write_bytes("café".encode("latin-1") * 50)
    Path("binary.txt").write_bytes(bytes(range(256)) * 10)
    Path("one.csv").write_text("text,label\na,pos\nb,pos\n")
    Path("lonely.csv").write_text("text,label\na,pos\nb,pos\nc,neg\n")
    Path("foreign").mkdir()
    Path("foreign/config.json").write_text('{"model_type": "bert"}')
    sentence = refused(*arguments)
    assert expected in sentence
    assert len(sentence.splitlines()) == 1
    assert not Path("checkpoints").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("train", "reviews.csv", "--task", "classify", "--documents", "line"),
            "--documents is not for a classifier",
        ),
        (("train", "book.txt", "--label-column", "x"), "--label-column is not for a language model"),
        (("train", "book.txt", "--cell", "qrnn"), "Invalid value for '--cell'"),
        (("train", "book.txt", "--minutes", "soon"), "Invalid value for '--minutes'"),
        (("classify", "x", "--file", "book.txt"), "--file names the texts, so TEXT has no use with it"),
        (("polish",), "No such command"),
    ],
)
def test_a_wrong_command_line_is_code_2(arguments: tuple[str, ...], expected: str) -> None:
    assert expected in refused(*arguments, code=2)


def test_runs_of_the_other_kind_are_refused() -> None:
    done("train", "book.txt", "--steps", "3", *SMALL)
    done("train", "reviews.csv", "--task", "classify", "--steps", "3", "--hidden-size", "4")
    assert "is a classifier and writes no text" in refused("sample", "-m", "reviews")
    assert "is a language model and knows no labels" in refused("classify", "-m", "book", "x")
    assert "which reads no label column" in refused("evaluate", "-m", "book", "--label-column", "x")
    assert "only a language model adapts" in refused("evaluate", "-m", "reviews", "--dynamic")


def test_a_resumed_run_is_the_one_that_was_meant() -> None:
    done("train", "book.txt", "--steps", "3", *SMALL)
    done("train", "reviews.csv", "--task", "classify", "--steps", "3", "--hidden-size", "4")
    assert "to checkpoints/reviews" in done("train", "--resume", "--steps", "4").stderr  # the newest of either kind
    assert "to checkpoints/book" in done("train", "--resume", "--task", "language-model", "--steps", "4").stderr
    assert "to checkpoints/book" in done("train", "./book.txt", "--resume", "--steps", "5").stderr
    Path("other.txt").write_text(SENTENCE * 30)
    other = ("train", "other.txt", "--resume", "--out", "checkpoints/book")
    assert "book was trained on book.txt, and --resume goes on with that" in refused(*other, code=2)
    config = ("--config", "checkpoints/book/config.json", "--out", "new")
    for arguments in (("--resume", "--out", "checkpoints/book"), config):
        sentence = refused("train", "--task", "classify", *arguments, code=2)
        assert "is a language model, which contradicts --task: leave --task out" in sentence


def test_a_text_that_was_edited_is_not_the_one_that_was_held_out() -> None:
    done("train", "book.txt", "--steps", "3", *SMALL)
    done("train", "reviews.csv", "--task", "classify", "--steps", "3", "--hidden-size", "4")
    done("evaluate", "-m", "book")
    done("evaluate", "-m", "reviews")
    config = Path("checkpoints/book/config.json")
    record = json.loads(config.read_text())
    del record["data"]["validation"]  # as the first runs were written
    config.write_text(json.dumps(record))
    done("evaluate", "-m", "book")
    Path("book.txt").write_text("Q!" + SENTENCE * 40)
    Path("reviews.csv").write_text(Path("reviews.csv").read_text() + "good 31,pos\n")
    Path("other.txt").write_text(SENTENCE * 30)
    for name, file in (("book", "book.txt"), ("reviews", "reviews.csv")):
        assert f"the text in {file} has changed since {name} was trained with it" in refused("evaluate", "-m", name)
    assert "has changed since" in refused("evaluate", "-m", "book", "other.txt", "--dynamic")
    held_out = load_labelled(LabelledSettings(("reviews.csv",))).validation.texts[0]
    done("train", "reviews.csv", "--task", "classify", "--steps", "3", "--hidden-size", "4", "--overwrite")
    Path("reviews.csv").write_text(Path("reviews.csv").read_text().replace(f"{held_out},", f"{held_out}!,"))
    assert "the text in reviews.csv has changed since" in refused("evaluate", "-m", "reviews")
    done("evaluate", "-m", "book", "other.txt")


def test_adapting_reads_the_training_text_as_training_did() -> None:
    Path("book.txt").write_text(SENTENCE.replace("cat", "kätzchen") * 40, encoding="utf-8")
    Path("other.txt").write_text(SENTENCE.replace("cat", "kätzchen") * 30, encoding="latin-1")
    done("train", "book.txt", "--steps", "3", *SMALL)
    done("evaluate", "other.txt", "--encoding", "latin-1", "--dynamic")
    done("train", "-", "--out", "piped", "--steps", "3", *SMALL, given=SENTENCE * 40)
    sentence = refused("evaluate", "-m", "./piped", "book.txt", "--dynamic")
    assert "was trained on standard input, which is gone: name a text, or leave out what needs" in sentence


def test_the_record_says_what_was_chosen() -> None:
    done("train", "book.txt", "--steps", "3", *SMALL)
    options = load_run(Path("checkpoints/book")).config["options"]
    assert (options["tokenizer"], options["precision"] in ("fp32", "bf16")) == ("char", True)


def test_a_file_where_the_folder_should_be_is_said() -> None:
    Path("checkpoints").write_text("a file where the folder should be")
    sentence = refused("train", "book.txt", "--steps", "3", *SMALL)
    assert sentence.splitlines()[-1] == "chargen: file exists: checkpoints (name another folder with --out)"


def test_a_folder_one_may_not_write_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> str:
        raise PermissionError(13, "Permission denied", "checkpoints/.book")

    monkeypatch.setattr("tempfile.mkdtemp", forbidden)
    sentence = refused("train", "book.txt", "--steps", "3", *SMALL)
    assert "permission denied: checkpoints/.book (choose a folder" in sentence.splitlines()[-1]


def test_what_nobody_thought_of_is_one_sentence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("out of luck\nand more")

    monkeypatch.setattr("chargen.runs.search.find_run", broken)
    assert refused("sample") == (
        "chargen: this failed unexpectedly (RuntimeError: out of luck): see where with chargen --debug\n"
    )


def of_torch() -> None:
    torch.empty(2**60)


def of_python() -> None:
    bytearray(2**60)


def of_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("greedy", [of_torch, of_python, of_a_gpu])
def test_too_little_memory_is_said(greedy: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chargen.runs.search.find_run", lambda *_: greedy())
    assert "there is not enough memory: train with a smaller --batch-size" in refused("sample")


def test_the_time_left_is_that_of_all_sittings() -> None:
    assert progress_of(Step(6, 1.0, 1.5, 0.01, 0.6, 360.0, 6000), 1.0).startswith(
        "06:00<04:00, loss 1.000, 1.500 bits"
    )
    assert progress_of(Step(9, 1.0, None, 0.01, 1.1, 400.0, 6000), 1.0).startswith("06:40<00:00, loss 1.000, 15 tok")


def test_a_traceback_only_with_debug() -> None:
    result = call("--debug", "train", "nothing.txt")
    assert result.exit_code == 1 and "Traceback" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_and_says_how_to_resume(number: signal.Signals) -> None:
    with start_python("-m", "chargen", "train", "book.txt", "--steps", "20000", *SMALL) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("step "):
                break
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "chargen train --resume --out checkpoints/book" in rest
    run = load_run(Path("checkpoints/book"))
    assert run.summary()["stopped"] == "interrupted"
    step = run.summary()["steps"]
    assert step > 0
    assert f"going on from step {step:,}" in done("train", "--resume", "--steps", str(step + 5)).stderr
    assert done("sample", "-l", "5").exit_code == 0


def test_every_option_of_a_training_can_be_typed_and_nothing_else() -> None:
    typed = {parameter.name for parameter in train_command.params}
    fields_of = {field.name for kind in (LanguageModelOptions, ClassifierOptions) for field in fields(kind)}
    of_the_command = {"task", "out", "overwrite", "resume", "config", "quiet", "log"}
    assert typed == fields_of | of_the_command


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Children can be interrupted, also where the tests cannot, as in a script's background job."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_writing_can_be_interrupted() -> None:
    done("train", "book.txt", "--steps", "3", *SMALL)
    with start_python("-m", "chargen", "sample", "--length", "100000000") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1000)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.stderr.read() == ""
    assert process.returncode == 130


def test_help_is_instant_and_complete() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from chargen.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(main, ['train', '--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'sentencepiece', 'sklearn', 'numpy', 'polars') if name in sys.modules])"
    )
    assert run_python("-c", code).stdout.strip() == "[]"

"""What a run says of itself: its name, labels, figures and inputs, what they are without a folder, and damage."""

from __future__ import annotations

import json
import pickle
import stat
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import edit_json, random_weights, write_run

from chargen.errors import ChargenError
from chargen.models.config import ClassifierConfig, EncoderConfig, LanguageModelConfig, ModelConfig
from chargen.models.ngrams import NgramClassifier
from chargen.runs import create
from chargen.runs.create import create_run, refuse_existing
from chargen.runs.folder import CONFIDENCE, NGRAMS, RIGHT, SCALES, STATE, Run, load_run
from chargen.runs.inputs import OwnTexts, check_unchanged, own_texts
from chargen.runs.memory import in_memory
from chargen.text.records import DataRecord, LabelledRecord, TextRecord
from chargen.text.tokenizers.char import CharTokenizer

TOKENIZER = CharTokenizer("ab")
MODEL = LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, "rnn", 1, 5, 4))
LABELLED = ClassifierConfig(EncoderConfig(TOKENIZER.vocab_size, "rnn", 1, 5, 4), 2)


def language_model(path: Path, **data: Any) -> Run:
    return write_run(path, MODEL, TOKENIZER, **data)


def classifier(path: Path, **data: Any) -> Run:
    return write_run(path, LABELLED, TOKENIZER, labels=["x", "y"], **data)


def changed(run: Run, **changes: Any) -> Run:
    """The run with other entries in its config.json; those that are None are not there."""
    config = {name: value for name, value in {**run.config, **changes}.items() if value is not None}
    return run.save_config(config)


def test_a_run_is_called_by_its_name_or_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert language_model(Path("checkpoints/one")).name == "one"
    assert Run((tmp_path / "checkpoints/one"), {}).name == "one"
    assert language_model(Path("two")).name == "./two"
    assert language_model(Path("deep/three")).name == "deep/three"


def test_a_new_run_says_how_it_is_read(tmp_path: Path) -> None:
    config = json.loads((language_model(tmp_path / "run").path / "config.json").read_text())
    assert config["format_version"] == 1
    assert config["tokenizer"] == {"kind": "char", "file": "tokenizer.json", "vocab_size": 5}


def test_everybody_may_look_into_a_new_folder_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    run = language_model(tmp_path / "deep" / "deeper" / "run")
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o755
    write_run(run.path, LABELLED, TOKENIZER, labels=["x", "y"], overwrite=True)
    assert [path.name for path in run.path.parent.iterdir()] == ["run"]
    assert load_run(run.path).kind == "classifier"


def test_a_new_run_that_cannot_be_written_leaves_the_old_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = language_model(tmp_path / "run")

    def full(descriptor: int) -> None:
        assert len(list(tmp_path.glob(".*"))) == 1  # it is filled beside its place
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for path in (run.path, tmp_path / "new"):
        with pytest.raises(OSError, match="No space left"):
            write_run(path, LABELLED, TOKENIZER, labels=["x", "y"], overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert load_run(run.path).kind == "language-model"


def test_a_run_that_is_replaced_waits_under_a_hidden_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = language_model(tmp_path / "run")
    removed: list[Path] = []
    monkeypatch.setattr("shutil.rmtree", removed.append)  # as where it is killed before
    write_run(run.path, LABELLED, TOKENIZER, labels=["x", "y"], overwrite=True)
    assert len(removed) == 1 and removed[0].parent == tmp_path and removed[0].name.startswith(".run.")
    assert load_run(removed[0] / "run").kind == "language-model"


def test_what_may_be_replaced(tmp_path: Path) -> None:
    refuse_existing(tmp_path / "nothing", overwrite=False)
    (tmp_path / "empty").mkdir()
    refuse_existing(tmp_path / "empty", overwrite=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(ChargenError, match="exists and is no run of chargen"):
        refuse_existing(tmp_path / "file", overwrite=True)
    run = changed(language_model(tmp_path / "run"), format_version=99)
    refuse_existing(run.path, overwrite=True)  # of a later version, but a run
    (run.path / "config.json").write_text("[]")
    with pytest.raises(ChargenError, match="exists and is no run of chargen"):
        refuse_existing(run.path, overwrite=True)
    changed(run, format_version=None)
    with pytest.raises(ChargenError, match="exists and is no run of chargen"):
        refuse_existing(run.path, overwrite=True)


def test_how_far_a_run_has_come(tmp_path: Path) -> None:
    run = language_model(tmp_path / "run")
    assert run.has_weights and not run.can_resume
    (run.path / "model.safetensors").unlink()
    run.save_training_state({"a": np.zeros(1)}, {})
    later = load_run(run.path)
    assert later.can_resume and not later.has_weights
    (run.path / "metrics.jsonl").write_text('{"step": 1, "val_loss": 2.5}\nbroken\n')
    with pytest.raises(ChargenError, match=r"line 2 of .*metrics\.jsonl is no evaluation .*: delete the file"):
        run.metrics()
    (run.path / "metrics.jsonl").write_text('{"step": 1, "val_loss": 2.5}\n{"step": 2, "val_loss": 2}\n')
    assert run.metrics() == [{"step": 1, "val_loss": 2.5}, {"step": 2, "val_loss": 2}]


@pytest.mark.parametrize("missing", ["model", "tokenizer"])
def test_a_config_that_lacks_a_part_is_refused(tmp_path: Path, missing: str) -> None:
    run = changed(language_model(tmp_path / "run"), **{missing: None})
    with pytest.raises(ChargenError, match=f"lacks {missing}: the run is damaged"):
        load_run(run.path)


def test_parts_of_a_wrong_form_are_refused(tmp_path: Path) -> None:
    run = language_model(tmp_path / "run")
    for tokenizer in ("char", {}, {"kind": "char"}):
        with pytest.raises(ChargenError, match=r"names no tokenizer .*: the run is damaged"):
            changed(run, tokenizer=tokenizer).tokenizer()
    with pytest.raises(ChargenError, match="has no record of its options"):
        changed(run, options=["steps"]).options  # noqa: B018
    wrong: list[Any] = [[], 5, "text", {"fingerprint": 5}, {"sources": []}]
    for data in wrong:
        with pytest.raises(ChargenError, match="has no data that chargen knows"):
            changed(run, data=data).data(TextRecord)
    with pytest.raises(ChargenError, match="is a language model and knows no labels"):
        run.data(LabelledRecord)
    assert changed(run, options=None).options == {}


# --- what a classifier has besides


@pytest.mark.parametrize(
    "labels", ['["x"]', '["x", "y", "z"]', '["x", "x"]', '["x", 1]', '"xy"', '{"x": 1, "y": 2}', "null"]
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, labels: str) -> None:
    run = classifier(tmp_path / "run")
    (run.path / "labels.json").write_text(labels)
    with pytest.raises(ChargenError, match="its checksum is another one"):
        run.labels()
    edit_json(run.path / "config.json", lambda config: None)
    run = load_run(run.path)
    with pytest.raises(ChargenError, match=r"has no list of 2 different labels|is no list of labels"):
        run.labels()


def test_labels_are_those_that_were_counted_in_their_order(tmp_path: Path) -> None:
    assert classifier(tmp_path / "one", label_counts={"x": 3, "y": 4}).labels() == ["x", "y"]
    other = classifier(tmp_path / "other", label_counts={"y": 4, "x": 3})
    with pytest.raises(ChargenError, match=r"differs from the labels in config\.json"):
        other.labels()


def test_n_grams_that_options_name_must_be_there(tmp_path: Path) -> None:
    run = classifier(tmp_path / "run")
    assert run.ngrams() is None and changed(run, options={"ngrams": False}).ngrams() is None
    with pytest.raises(ChargenError, match=f"lacks {NGRAMS}: it is no whole run"):
        changed(run, options={"ngrams": True}).ngrams()


def test_n_grams_are_written_with_a_new_run_and_read_as_they_were(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = {
        "buckets": np.array([3, 5, 9], np.int32),
        "rarity": random.random(3, np.float32),
        "weight": random.random((3, 2), np.float32),
        "bias": random.random(2, np.float32),
        "strange": np.array([0.5], np.float32),
        "strength": np.array([2.0], np.float32),
    }
    config = {"kind": "classifier", "model": asdict(LABELLED), "data": {"fingerprint": "x"}}
    path = tmp_path / "run"
    run = create_run(path, config, TOKENIZER, ["x", "y"], NgramClassifier.of(arrays, 2))
    run.save_weights(random_weights(LABELLED))
    for one in (run, in_memory(run)):
        found = one.ngrams()
        assert found is not None and found.arrays().keys() == arrays.keys()
        for name, array in found.arrays().items():
            np.testing.assert_array_equal(array, arrays[name])
    with pytest.raises(ChargenError, match="already holds a run"):
        create_run(path, config, TOKENIZER, ["x", "y"])


def test_names_in_files_are_those_of_every_version() -> None:
    assert (SCALES, CONFIDENCE, RIGHT) == ("scales", "held_out.confidence", "held_out.right")
    assert (NGRAMS, STATE) == ("ngrams.safetensors", "training/state.safetensors")


def test_scales_are_recorded_or_those_of_a_network_alone(tmp_path: Path) -> None:
    run = classifier(tmp_path / "run")
    assert run.scales().tolist() == [1, 0]  # of a version without n-grams
    later = changed(run, options={"ngrams": False})
    with pytest.raises(ChargenError, match=f"has no two {SCALES}"):
        later.scales()
    weights = random_weights(LABELLED)
    for wrong in (np.zeros(3), np.zeros((2, 1))):
        run.save_weights(weights | {SCALES: wrong})
        with pytest.raises(ChargenError, match=f"has no two {SCALES}"):
            run.scales()
    run.save_weights(weights | {SCALES: np.array([2.0, 3.0])})
    assert run.scales().tolist() == later.scales().tolist() == [2, 3]
    assert run.weights().keys() == weights.keys()  # which the scales are none of


def test_what_was_held_out(tmp_path: Path) -> None:
    run = classifier(tmp_path / "run")
    confidence, right = run.held_out()
    assert confidence.shape == right.shape == (0,) and right.dtype == bool
    beside = {CONFIDENCE: np.array([0.5, 0.9]), RIGHT: np.array([0, 1], np.uint8)}
    run.save_weights(random_weights(LABELLED) | beside)
    confidence, right = run.held_out()
    assert confidence.tolist() == [0.5, 0.9] and right.tolist() == [False, True]
    assert run.weights().keys() == random_weights(LABELLED).keys()


@pytest.mark.parametrize(
    ("confidence", "right"), [([0.5], [1, 0]), ([[0.5]], [[1]]), (0.5, 1), ([2.0], [1]), ([np.nan], [1])]
)
def test_what_was_held_out_is_checked(tmp_path: Path, confidence: Any, right: Any) -> None:
    run = classifier(tmp_path / "run")
    beside: dict[str, np.ndarray] = {CONFIDENCE: np.array(confidence, np.float32), RIGHT: np.array(right, np.uint8)}
    run.save_weights(run.weights() | beside)
    with pytest.raises(ChargenError, match="has no probabilities of texts"):
        run.held_out()


@pytest.mark.parametrize("scales", [[1.0], [1.0, np.nan], [np.inf, 0.0], [1.0, -1.0]])
def test_impossible_scales_are_refused(tmp_path: Path, scales: list[float]) -> None:
    run = classifier(tmp_path / "run")
    run.save_weights(run.weights() | {SCALES: np.array(scales)})
    with pytest.raises(ChargenError, match="has no two scales"):
        run.scales()


# --- inputs


def test_inputs_are_gone_where_they_were_standard_input(tmp_path: Path) -> None:
    run = language_model(tmp_path / "run")
    assert own_texts(run) == ((), ())
    with pytest.raises(ChargenError, match="was trained on standard input, which is gone"):
        own_texts(changed(run, options={"inputs": ["a", "-"]}))


@pytest.mark.parametrize(
    ("then", "now", "named"),
    [
        (("t", "v"), ("t", "v"), None),
        (("t", "v"), ("other", "v"), "a.txt, b.txt"),
        (("t", "v"), ("t", "other"), "v.txt"),
        (("t", None), ("t", "v"), None),  # an early version recorded none
        (("t", "v"), ("t", None), None),
    ],
)
def test_data_that_changed_are_named(
    tmp_path: Path, then: tuple[str, str | None], now: tuple[str, str | None], named: str | None
) -> None:
    run = language_model(tmp_path / "run", fingerprint=then[0], validation=then[1])
    run = changed(run, versions={"chargen": "0.9"})
    record, own = DataRecord(fingerprint=now[0], validation=now[1]), OwnTexts(("a.txt", "b.txt"), ("v.txt",))
    if named is None:
        check_unchanged(run, record, own)
    else:
        with pytest.raises(ChargenError, match=f"the text in {named} has changed since .* or chargen 0.9 read it"):
            check_unchanged(run, record, own)


def test_what_was_held_out_of_the_inputs_is_named_by_them(tmp_path: Path) -> None:
    run = language_model(tmp_path / "run", fingerprint="t", validation="v")
    with pytest.raises(ChargenError, match=r"the text in a\.txt has changed since"):
        check_unchanged(run, DataRecord(fingerprint="t", validation="other"), OwnTexts(("a.txt",), ()))


# --- without a folder


def test_a_run_in_memory_is_the_run(tmp_path: Path) -> None:
    run = classifier(tmp_path / "run")
    run.save_summary({"accuracy": 0.5})
    run.save_metrics([{"step": 1, "val_loss": 2.5}])
    run.save_training_state({"a": np.zeros(1)}, {})
    kept = pickle.loads(pickle.dumps(in_memory(run)))
    files = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    for path in sorted(run.path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert (
        kept.labels() == ["x", "y"]
        and kept.summary() == {"accuracy": 0.5}
        and kept.metrics() == [{"step": 1, "val_loss": 2.5}]
    )
    assert kept.tokenizer().to_bytes() == TOKENIZER.to_bytes() and not kept.can_resume and kept.ngrams() is None
    for name, weight in random_weights(LABELLED).items():
        np.testing.assert_array_equal(kept.weights()[name], weight)
    again = create.write_run(kept, tmp_path / "again")
    assert {path.name: path.read_bytes() for path in again.path.iterdir()} == files
    assert again.model_config(ModelConfig) == LABELLED
    with pytest.raises(ChargenError, match="already holds a run"):
        create.write_run(kept, again.path)
    assert create.write_run(kept, again.path, overwrite=True).path == again.path


def test_damage_in_memory_is_said_too(tmp_path: Path) -> None:
    run = classifier(tmp_path / "run")
    kept = in_memory(run)
    kept.files["model.safetensors"] = b"{"
    with pytest.raises(ChargenError, match=r"model\.safetensors is damaged \("):
        kept.weights()
    del kept.files["labels.json"]
    with pytest.raises(ChargenError, match=r"the run lacks labels\.json: it is no whole run"):
        kept.labels()
    (run.path / "model.safetensors").unlink()
    with pytest.raises(ChargenError, match="holds no weights yet"):
        in_memory(run)

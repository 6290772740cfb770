"""`chargen check` finds every damaged file, and every single flipped bit that matters."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import edit_json
from commands import call, invoke

from chargen.errors import ChargenError
from chargen.runs.check import check_run
from chargen.runs.folder import load_run

TENSORS = ("model.safetensors", "ngrams.safetensors", "training/state.safetensors")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check")
    (folder / "rows.csv").write_text(
        "text,label\n" + "".join(f"{'ab'[n % 2]} {n},{'xy'[n % 2]}\n" for n in range(40))
    )
    shape = "--hidden-size 4 --embedding-size 3 --steps 2 --tokenizer char --device cpu --no-adapt --quiet"
    call("train", str(folder / "rows.csv"), "--task", "classify", *shape.split(), "--out", str(folder / "run"))
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def problems(run: Path) -> list[str]:
    return [checked.name for checked in check_run(run) if checked.problem]


def test_a_whole_run_is_whole(run: Path) -> None:
    assert problems(run) == []
    said = call("check", "-m", str(run)).stdout.splitlines()
    assert len(said) == 9 and all(line.startswith("whole") for line in said)


def test_each_file_has_one_checksum(run: Path) -> None:
    assert load_run(run).config["files"].keys() == {"tokenizer.json", "labels.json"}  # others hold their own


@pytest.mark.parametrize("name", [*TENSORS, "tokenizer.json", "labels.json"])
def test_a_flipped_bit_is_found(run: Path, name: str) -> None:
    content = (run / name).read_bytes()
    random = np.random.default_rng(0)
    for place in random.integers(len(content), size=40).tolist():
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        (run / name).write_bytes(damaged)
        assert problems(run), (name, place)
    (run / name).write_bytes(content)
    assert problems(run) == []


def test_a_number_that_was_changed_is_found_in_config_and_summary(run: Path) -> None:
    for name in ("config.json", "summary.json"):
        content = (run / name).read_text()
        digit = next(number for number, letter in enumerate(content) if letter.isdigit() and letter != "9")
        (run / name).write_text(content[:digit] + "9" + content[digit + 1 :])
        assert problems(run) == [name]
        (run / name).write_text(content)


def test_damage_is_said_and_the_exit_code_is_1(run: Path) -> None:
    (run / "labels.json").write_text("[]")
    (run / "summary.json").write_text("{")
    result = invoke("check", "-m", str(run))
    assert result.exit_code == 1 and "damaged  labels.json" in result.stdout and "is not whole" in result.stderr
    (run / "config.json").write_text("{")
    assert invoke("check", "-m", str(run)).stdout.startswith("damaged  config.json")


def test_a_file_without_a_checksum_is_read_as_before(run: Path) -> None:
    edit_json(run / "config.json", lambda config: None)
    assert problems(run) == [] and load_run(run).labels() == ["x", "y"]
    with pytest.raises(ChargenError):
        load_run(run.parent)


def test_what_a_finished_run_lacks_is_said(run: Path) -> None:
    (run / "summary.json").unlink()
    assert problems(run) == [] and "summary.json" not in [name for name, _ in check_run(run)]
    (run / "model.safetensors").unlink()  # the losses in metrics.jsonl are of weights that were kept
    assert problems(run) == ["model.safetensors"]

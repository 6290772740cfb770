"""Files that are written whole or not at all, and what people and readers find in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from chargen.errors import ChargenError
from chargen.runs.files import load_tensors, save_tensors, to_json, write_atomically


def at_flush(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], object]) -> None:
    """Do something with the file's descriptor where its content is forced to the disk."""
    monkeypatch.setattr(os, "fsync", act)


def test_json_is_for_people_too() -> None:
    assert to_json([{"ä": [1, None]}]) == '[\n  {\n    "ä": [\n      1,\n      null\n    ]\n  }\n]\n'.encode()


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "file", b"new")
    write_atomically(tmp_path / "a" / "b" / "file", b"newer")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"newer"


def test_everybody_may_read_and_only_the_owner_write(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"new")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_all_is_on_the_disk_beside_its_place_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    sizes = []

    def look(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        (beside,) = tmp_path.glob(".*")
        assert beside.name.startswith(".file.") and beside.read_bytes() == b"new content"
        assert (tmp_path / "file").read_bytes() == b"old"

    at_flush(monkeypatch, look)
    write_atomically(tmp_path / "file", b"new content")
    assert sizes == [11]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"new content"}


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    for name in (".file.x1y2", ".other.x1y2", "file.x1y2"):
        (tmp_path / name).write_bytes(b"left")
    write_atomically(tmp_path / "file", b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"file", ".other.x1y2", "file.x1y2"}


def test_what_another_process_removed_first_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: [folder / ".file.gone"])
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("gone", [False, True])
def test_a_full_disk_is_told_as_such_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def full(descriptor: int) -> None:
        if gone:  # cleared away by somebody else
            next(tmp_path.glob(".file.*")).unlink()
        raise OSError(28, "No space left on device")

    at_flush(monkeypatch, full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_tensors_of_any_layout_come_back_with_their_facts(tmp_path: Path) -> None:
    tensors: dict[str, np.ndarray] = {
        "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "sparse": np.arange(9, dtype=np.uint8)[::2],
        "scalar": np.array(2.5),
    }
    save_tensors(tmp_path / "file", tensors, {"ä": 1.5, "none": None})
    found, facts = load_tensors(tmp_path / "file")
    assert facts == {"ä": 1.5, "none": None} and found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        np.testing.assert_array_equal(found[name], tensor)


def test_a_file_of_another_program_has_no_facts(tmp_path: Path) -> None:
    save_file({"a": np.zeros(2)}, tmp_path / "file")
    assert load_tensors(tmp_path / "file")[1] == {}


@pytest.mark.parametrize("facts", ["{", None])
def test_a_damaged_file_is_named(tmp_path: Path, facts: str | None) -> None:
    save_file({"a": np.zeros(2)}, tmp_path / "file", metadata={"chargen": facts} if facts else None)
    if facts is None:
        (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes()[:-1])
    with pytest.raises(ChargenError, match=r"file is damaged \(.+\): train the run again"):
        load_tensors(tmp_path / "file")

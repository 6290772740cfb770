"""Encoded texts are kept: found again, never for another text, and made anew when they are damaged."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import TEXT, settings_for

from chargen.errors import ChargenError
from chargen.text import corpus
from chargen.text.corpus import CorpusSettings, encode_corpus
from chargen.text.sources import Source
from chargen.text.tokenizers.base import Tokenizer
from chargen.text.tokenizers.byte import ByteTokenizer
from chargen.text.tokenizers.char import CharTokenizer
from chargen.text.tokenizers.registry import KINDS, train_tokenizer


@pytest.fixture(autouse=True)
def data(data_folder: Path) -> Path:
    return data_folder / "encoded"


def fail(*_: object, **__: object) -> None:
    raise RuntimeError("the disk is full")


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_the_second_time_nothing_is_encoded(
    kind: str, settings: CorpusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, tokenizer=kind)
    first = encode_corpus(settings)
    monkeypatch.setattr(Tokenizer, "cut", fail)
    monkeypatch.setattr(corpus, "train_tokenizer", fail)
    monkeypatch.setattr(corpus, "read_text", fail)
    second = encode_corpus(settings)
    np.testing.assert_array_equal(second.ids, first.ids)
    assert second.ids.dtype == first.ids.dtype
    assert second.tokenizer.to_bytes() == first.tokenizer.to_bytes()
    assert (second.characters, second.fingerprint) == (first.characters, first.fingerprint)


def test_the_same_content_under_another_name_is_not_encoded_again(tmp_path: Path, data: Path) -> None:
    first = encode_corpus(settings_for(tmp_path, TEXT, "one.txt"))
    second = encode_corpus(settings_for(tmp_path, TEXT, "two.txt"))
    assert second.fingerprint == first.fingerprint
    assert second.sources == [str(tmp_path / "two.txt")]
    assert len(list(data.iterdir())) == 1


def test_content_and_every_setting_make_another_corpus(settings: CorpusSettings, tmp_path: Path, data: Path) -> None:
    encode_corpus(settings)
    others: list[tuple[CorpusSettings, Tokenizer | None]] = [
        (replace(settings, tokenizer="byte"), None),
        (replace(settings, vocab_size=5), None),
        (replace(settings, min_frequency=2), None),
        (replace(settings, encoding="latin-1"), None),
        (replace(settings, documents="line"), None),
        (replace(settings, documents="blank-line"), None),
        (settings, ByteTokenizer()),
        (settings, train_tokenizer("char", ["abc"])),
        (settings, train_tokenizer("char", ["abcd"])),
        (settings_for(tmp_path, TEXT + "x"), None),
    ]
    for number, (changed, tokenizer) in enumerate(others, start=2):
        encode_corpus(changed, tokenizer=tokenizer)
        assert len(list(data.iterdir())) == number, changed


def test_a_given_tokenizer_outweighs_the_settings(settings: CorpusSettings, data: Path) -> None:
    tokenizer = train_tokenizer("char", ["abc"])
    encoded = encode_corpus(replace(settings, tokenizer="bpe", vocab_size=300), tokenizer=tokenizer)
    np.testing.assert_array_equal(encoded.ids, tokenizer.encode(TEXT))
    encode_corpus(settings, tokenizer=tokenizer)
    encode_corpus(replace(settings, min_frequency=2), tokenizer=tokenizer)
    assert len(list(data.iterdir())) == 1


def test_a_given_tokenizer_finds_what_it_encoded_when_it_was_made(settings: CorpusSettings, data: Path) -> None:
    made = encode_corpus(settings)
    assert encode_corpus(settings, tokenizer=made.tokenizer).tokenizer.to_bytes() == made.tokenizer.to_bytes()
    assert len(list(data.iterdir())) == 1
    other = train_tokenizer("char", [TEXT + "§"])
    np.testing.assert_array_equal(encode_corpus(settings, tokenizer=other).ids, other.encode(TEXT))
    assert len(list(data.iterdir())) == 2


def test_an_interrupted_encoding_leaves_nothing(
    settings: CorpusSettings, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(CharTokenizer, "to_bytes", fail)  # called when the ids are written
        with pytest.raises(RuntimeError, match="disk is full"):
            encode_corpus(settings)
    assert list(data.iterdir()) == []
    assert encode_corpus(settings).characters == len(TEXT)


def test_what_a_killed_process_left_is_removed_after_a_day(settings: CorpusSettings, data: Path) -> None:
    old, new, whole = data / ".old", data / ".new", data / "whole"
    for folder, hours in ((old, 25), (new, 23), (whole, 25)):
        folder.mkdir(parents=True)
        (folder / "ids").touch()
        os.utime(folder, (time.time() - 3600 * hours,) * 2)
    encode_corpus(settings)
    assert not old.exists() and new.exists() and whole.exists()


@pytest.mark.parametrize("name", ["ids", "tokenizer", "corpus.json"])
@pytest.mark.parametrize("damage", ["", "[]", None])
def test_a_damaged_encoding_is_made_again(
    settings: CorpusSettings, data: Path, name: str, damage: str | None
) -> None:
    first = encode_corpus(settings).ids.tolist()
    (folder,) = data.iterdir()
    if damage is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(damage)
    assert encode_corpus(settings).ids.tolist() == first


def test_other_ids_and_other_facts_are_damage(settings: CorpusSettings, data: Path) -> None:
    first = encode_corpus(settings)
    expected = first.ids.tolist()
    (folder,) = data.iterdir()
    size = (folder / "ids").stat().st_size
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    record = json.loads(kept["corpus.json"])
    assert record["checksum"]
    damages: list[tuple[str, bytes]] = [("ids", bytes(size)), ("ids", b"\xff" * size), ("ids", kept["ids"] + b"\0")]
    damages += [("tokenizer", kept["tokenizer"].replace(b"T", b"t"))]
    damages += [("corpus.json", b"[" * 100_000), ("corpus.json", b'{"tokens": ' + b"[" * 100_000)]
    changes: list[dict[str, Any]] = [
        {"tokens": -1},
        {"tokens": "9"},
        {"tokens": 2},
        {"unknown": []},
        {"characters": 3},
    ]
    damages += [("corpus.json", json.dumps(record | change).encode()) for change in changes]
    del record["checksum"]  # as an earlier version wrote it
    damages.append(("corpus.json", json.dumps(record).encode()))
    for name, content in damages:
        (folder / name).write_bytes(content)
        found = encode_corpus(settings)
        assert (found.ids.tolist(), found.characters, found.unknown) == (expected, len(TEXT), {}), (
            name,
            content[:40],
        )
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept


def test_a_file_in_the_place_of_an_encoding_gives_way(settings: CorpusSettings, data: Path) -> None:
    first = encode_corpus(settings).ids.tolist()
    (folder,) = data.iterdir()
    shutil.rmtree(folder)
    folder.touch()
    assert encode_corpus(settings).ids.tolist() == first and folder.is_dir()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reading", [1, 2, 3])
def test_a_text_that_grows_while_it_is_read_is_refused(
    kind: str, reading: int, settings: CorpusSettings, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, blocks, readings = Path(settings.inputs[0]), Source.blocks, 0

    def blocks_that_grow(source: Source, *arguments: Any, **options: Any) -> Iterator[bytes]:
        nonlocal readings
        yield from blocks(source, *arguments, **options)
        readings += 1
        if readings == reading:
            with path.open("a") as file:
                file.write("The rat.")

    settings = replace(settings, tokenizer=kind)
    with monkeypatch.context() as patch:
        patch.setattr(Source, "blocks", blocks_that_grow)
        if reading == (2 if kind == "byte" else 3):  # it grew when all was read
            assert encode_corpus(settings).characters == len(TEXT)
        elif reading < 3:
            with pytest.raises(ChargenError, match="changed while it was read: run it again"):
                encode_corpus(settings)
            assert list(data.iterdir()) == []
    encoded = encode_corpus(settings)
    assert encoded.tokenizer.decode(encoded.ids) == path.read_text(encoding="utf-8")


def test_the_work_of_a_faster_process_stays(
    settings: CorpusSettings, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = corpus._encode
    kept: list[int] = []

    def encode_too_late(*arguments: Any) -> str:
        read = encode(*arguments)
        partial: Path = arguments[-1]
        published = data / partial.name.strip(".").partition("-")[0]
        shutil.copytree(partial, published)
        kept.append((published / "ids").stat().st_ino)
        return read

    monkeypatch.setattr(corpus, "_encode", encode_too_late)
    assert encode_corpus(settings).characters == len(TEXT)
    (folder,) = data.iterdir()
    assert [(folder / "ids").stat().st_ino] == kept

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
from hypothesis import example, given
from hypothesis import strategies as st

from chargen.errors import ChargenError
from chargen.text import code_points, corpus
from chargen.text.corpus import Corpus, CorpusSettings, encode_corpus
from chargen.text.sources import Source
from chargen.text.tokenizers import pieces
from chargen.text.tokenizers.base import Tokenizer
from chargen.text.tokenizers.byte import ByteTokenizer
from chargen.text.tokenizers.char import CharTokenizer
from chargen.text.tokenizers.registry import KINDS, train_tokenizer

LINES = ["The cat  sat on the mat.", "", "Grüße, 猫!", "  the cat ate the rat"] * 9
TEXT = "\n".join(LINES)


@pytest.fixture(autouse=True)
def data(data_folder: Path) -> Path:
    return data_folder / "encoded"


@pytest.fixture
def settings(tmp_path: Path) -> CorpusSettings:
    return settings_for(tmp_path, TEXT)


def settings_for(folder: Path, text: str, name: str = "text.txt") -> CorpusSettings:
    path = folder / name
    path.write_bytes(text.encode())
    return CorpusSettings(inputs=(str(path),))


def fail(*_: object, **__: object) -> None:
    raise RuntimeError("the disk is full")


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_whole_text(
    kind: str, settings: CorpusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "SEGMENT", 50)
    monkeypatch.setattr(code_points, "SLICE", 50)
    encoded = encode_corpus(replace(settings, tokenizer=kind))
    tokenizer = train_tokenizer(kind, [TEXT])
    assert encoded.tokenizer.to_bytes() == tokenizer.to_bytes()
    np.testing.assert_array_equal(encoded.ids, tokenizer.encode(TEXT))
    assert encoded.characters == tokenizer.count_characters(encoded.ids) == len(TEXT)
    assert encoded.unknown == {}
    assert encoded.sources == list(settings.inputs)
    assert not encoded.documents


@pytest.mark.parametrize("documents", [None, "line"])
@pytest.mark.parametrize("size", [1, 7, 10**9])
def test_ids_are_the_same_however_many_are_written_at_once(
    settings: CorpusSettings, monkeypatch: pytest.MonkeyPatch, size: int, documents: str | None
) -> None:
    settings = replace(settings, documents=documents, min_frequency=10)
    expected = encode_corpus(settings)
    monkeypatch.setattr(corpus, "SLICE", size)
    monkeypatch.setattr(corpus, "VERSION", -size)  # so that it is encoded anew
    found = encode_corpus(settings)
    np.testing.assert_array_equal(found.ids, expected.ids)
    assert (found.characters, found.unknown) == (expected.characters, expected.unknown)


def test_the_vocabulary_is_as_large_as_was_asked(settings: CorpusSettings) -> None:
    assert encode_corpus(replace(settings, tokenizer="bpe", vocab_size=290)).tokenizer.vocab_size == 290
    assert encode_corpus(replace(settings, vocab_size=9)).tokenizer.vocab_size == 9 + 3  # bos, eos, unk
    rare = encode_corpus(replace(settings, min_frequency=10)).tokenizer
    assert rare.unknown(TEXT).keys() == {one for one in TEXT if TEXT.count(one) < 10}


@pytest.mark.parametrize(("distinct", "dtype"), [(253, np.uint8), (254, np.uint16), (2000, np.uint16)])
def test_ids_are_narrow_and_read_only(tmp_path: Path, distinct: int, dtype: type) -> None:
    ids = encode_corpus(settings_for(tmp_path, "".join(map(chr, range(0x4E00, 0x4E00 + distinct))))).ids
    assert ids.dtype == dtype
    assert ids.tolist() == list(range(3, 3 + distinct))
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 1


@pytest.mark.parametrize("kind", KINDS)
def test_documents_begin_and_end(kind: str, settings: CorpusSettings) -> None:
    encoded = encode_corpus(replace(settings, tokenizer=kind, documents="line"))
    tokenizer = encoded.tokenizer
    expected: list[int] = []
    for line in filter(None, LINES):
        expected += [tokenizer.bos_id, *tokenizer.encode(line).tolist(), tokenizer.eos_id]
    assert encoded.ids.tolist() == expected
    assert encoded.characters == tokenizer.count_characters(encoded.ids)
    assert encoded.documents


@pytest.mark.parametrize("documents", [None, "line"])
def test_the_encoding_is_that_of_the_text(tmp_path: Path, documents: str | None) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("déjà".encode("latin-1"))
    encoded = encode_corpus(CorpusSettings(inputs=(str(path),), encoding="latin-1", documents=documents))
    assert encoded.tokenizer.decode(encoded.ids) == "déjà"


def test_documents_of_jsonl_are_in_a_column(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, '{"poem": "a\\nb", "text": "c"}\n')
    encoded = encode_corpus(replace(settings, documents="jsonl", text_column="poem"))
    assert encoded.tokenizer.decode(encoded.ids) == "a\nb"
    other = encode_corpus(replace(settings, documents="jsonl"))
    assert other.tokenizer.decode(other.ids) == "c"


def test_unknown_characters_are_counted(settings: CorpusSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "SLICE", 50)
    monkeypatch.setattr(code_points, "SLICE", 50)
    text = "".join(character for character in TEXT if character not in "üß猫")
    encoded = encode_corpus(settings, tokenizer=train_tokenizer("char", [text]))
    assert encoded.unknown == {"ü": 9, "ß": 9, "猫": 9}
    assert (encoded.ids == encoded.tokenizer.unk_id).sum() == 27
    assert encode_corpus(settings, tokenizer=encoded.tokenizer).unknown == encoded.unknown
    assert list(encode_corpus(settings, tokenizer=train_tokenizer("char", ["a"])).unknown)[:3] == [" ", "t", "e"]
    assert encode_corpus(replace(settings, min_frequency=10)).unknown == encode_corpus(settings).unknown | {
        character: TEXT.count(character) for character in set(TEXT) if TEXT.count(character) < 10
    }


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("documents", [None, "line"])
def test_progress_rises_to_one(kind: str, documents: str | None, tmp_path: Path) -> None:
    told: list[float] = []
    inputs = tuple(settings_for(tmp_path, TEXT, name).inputs[0] for name in "abc")
    settings = CorpusSettings(inputs=inputs, tokenizer=kind, documents=documents)
    encode_corpus(settings, progress=told.append)
    parts = 3 if kind == "byte" else 6  # of equal size, read once or twice
    assert told == [part / parts for part in range(1, parts + 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_there_must_be_text(kind: str, tmp_path: Path, data: Path) -> None:
    with pytest.raises(ChargenError, match=r"no text in .*empty\.txt"):
        encode_corpus(replace(settings_for(tmp_path, "", "empty.txt"), tokenizer=kind))
    assert list(data.iterdir()) == []


@pytest.mark.parametrize(("fraction", "expected"), [(0, 10), (0.1, 9), (0.25, 7), (0.999, 0)])
def test_the_split_of_a_stream_is_contiguous(tmp_path: Path, fraction: float, expected: int) -> None:
    encoded = encode_corpus(settings_for(tmp_path, "abcdefghij"))
    training, validation = encoded.split(fraction)
    assert len(training) == expected
    assert [*training, *validation] == encoded.ids.tolist()


def documents(draw_lengths: list[int]) -> Corpus:
    tokenizer = ByteTokenizer()
    ids = [token for length in draw_lengths for token in [tokenizer.bos_id, *[97] * length, tokenizer.eos_id]]
    return Corpus(np.array(ids, np.uint8), tokenizer, len(ids), {}, "", True, ["text"])


@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=9), fraction=st.floats(0.01, 0.99))
@example(lengths=[1, 1], fraction=0.99)
def test_the_split_of_documents_keeps_each_whole(lengths: list[int], fraction: float) -> None:
    encoded = documents(lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "PAGE", 4)
        training, validation = encoded.split(fraction)
    starts = np.flatnonzero(encoded.ids == encoded.tokenizer.bos_id)[1:]
    after = starts[starts >= int(len(encoded.ids) * (1 - fraction))]
    assert len(training) == (after[0] if len(after) else starts[-1])
    assert [*training, *validation] == encoded.ids.tolist()


def test_splits_that_cannot_be_are_refused() -> None:
    for fraction in (-0.1, 1, float("nan")):
        with pytest.raises(ChargenError, match="validation fraction is"):
            documents([3, 4]).split(fraction)
    with pytest.raises(ChargenError, match="single document"):
        documents([30]).split(0.1)
    assert len(documents([30]).split(0)[0]) == 32


def test_memory_stays_bounded(tmp_path: Path) -> None:
    import tracemalloc

    line = "the quick brown fox jumps over the lazy dog\n"
    settings = settings_for(tmp_path, line * (30_000_000 // len(line)))
    encode_corpus(settings_for(tmp_path, line, "small.txt"))  # imports and the table of code points
    tracemalloc.start()
    encode_corpus(settings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 15_000_000

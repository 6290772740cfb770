"""A text as ids: what they are, in what type, and where it is split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import LINES, TEXT, settings_for
from hypothesis import example, given
from hypothesis import strategies as st

from chargen.errors import ChargenError
from chargen.text import code_points, corpus
from chargen.text.corpus import Corpus, CorpusSettings, encode_corpus
from chargen.text.tokenizers import pieces
from chargen.text.tokenizers.byte import ByteTokenizer
from chargen.text.tokenizers.registry import KINDS, train_tokenizer


@pytest.fixture(autouse=True)
def data(data_folder: Path) -> Path:
    return data_folder / "encoded"


def documents(draw_lengths: list[int]) -> Corpus:
    tokenizer = ByteTokenizer()
    ids = [token for length in draw_lengths for token in [tokenizer.bos_id, *[97] * length, tokenizer.eos_id]]
    return Corpus(np.array(ids, np.uint8), tokenizer, len(ids), {}, "", True, ["text"])


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("documents", [None, "line"])
def test_progress_rises_to_one(kind: str, documents: str | None, settings: CorpusSettings) -> None:
    told: list[float] = []
    settings = replace(settings, inputs=settings.inputs * 3, tokenizer=kind, documents=documents)
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

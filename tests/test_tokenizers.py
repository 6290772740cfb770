from __future__ import annotations

import functools
import io
import json
import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chargen.errors import ChargenError
from chargen.text import code_points
from chargen.text.tokenizers import base, pieces
from chargen.text.tokenizers.base import Tokenizer
from chargen.text.tokenizers.registry import KINDS, load_tokenizer, train_tokenizer

PIECES = ("bpe", "unigram")
TEXT = "The cat  sat on\tthe mat.\n\n    the cat ate the rat; Grüße, 猫!\n" * 9
# What sentencepiece gives a meaning of its own, beside any text at all.
MEANINGFUL = ["\u2581", "\u2585", "\0", "\t", "\n", "\r\n", "  ", "<s>", "</s>", "<unk>", "<0x41>", "\ufeff", "猫"]
any_text = st.lists(st.text() | st.sampled_from(MEANINGFUL)).map("".join)
known_text = st.text(sorted(set(TEXT)))
patient = settings(deadline=None)  # the first example trains


@functools.cache
def trained(kind: str) -> Tokenizer:
    return train_tokenizer(kind, [TEXT])


@pytest.mark.parametrize("kind", ["byte", *PIECES])
@patient
@given(text=any_text)
def test_every_text_comes_back(kind: str, text: str) -> None:
    tokenizer = trained(kind)
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32
    assert tokenizer.decode(ids) == text
    assert tokenizer.count_characters(ids) == len(text)
    assert not {tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id} & set(ids.tolist())
    assert tokenizer.unknown(text) == {}


@patient
@given(text=known_text)
def test_known_characters_come_back(text: str) -> None:
    tokenizer = trained("char")
    ids = tokenizer.encode(text)
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.unknown(text) == {}


@patient
@given(text=any_text)
def test_unknown_characters_are_replaced_and_counted(text: str) -> None:
    tokenizer = trained("char")
    assert tokenizer.decode(tokenizer.encode(text)) == "".join(c if c in TEXT else "\ufffd" for c in text)
    assert tokenizer.unknown(text) == Counter(c for c in text if c not in TEXT)
    assert tokenizer.count_characters(tokenizer.encode(text)) == len(text)


@pytest.mark.parametrize("kind", KINDS)
@patient
@given(data=st.data())
def test_a_stream_spells_what_decode_spells(kind: str, data: st.DataObject) -> None:
    tokenizer = trained(kind)
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    decoder = tokenizer.decoder()
    assert "".join(map(decoder.feed, ids)) + decoder.flush() == tokenizer.decode(ids)
    known = tokenizer.encode("a")[0]
    assert decoder.feed(known) == "a"  # nothing stays behind after a flush


def test_a_stream_holds_back_half_a_character() -> None:
    tokenizer = trained("byte")
    decoder = tokenizer.decoder()
    assert [decoder.feed(token) for token in tokenizer.encode("é猫")] == ["", "é", "", "", "猫"]
    decoder.feed(0xC3)
    assert decoder.flush() == "\ufffd"


@pytest.mark.parametrize("kind", KINDS)
@patient
@given(text=any_text, cuts=st.lists(st.integers(0, 60)))
def test_blocks_do_not_change_the_ids(kind: str, text: str, cuts: list[int]) -> None:
    tokenizer = trained(kind)
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    blocks = [text[start:end] for start, end in pairwise(bounds)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "SEGMENT", 5)
        patch.setattr(code_points, "SLICE", 3)
        parts = list(tokenizer.cut(blocks))
        assert "".join(parts) == text
        assert all(len(part) <= 5 for part in parts)
        assert kind not in PIECES or parts == list(tokenizer.cut([text]))
        joined = [token for part in parts for token in tokenizer.encode(part).tolist()]
        assert joined == tokenizer.encode(text).tolist()


@pytest.mark.parametrize("kind", PIECES)
def test_segments_are_cut_where_no_piece_stands(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(random.Random(0).choices(TEXT.split(), k=200)).replace(";", "\n")
    tokenizer = trained(kind)
    whole = tokenizer.encode(text).tolist()
    monkeypatch.setattr(pieces, "SEGMENT", 40)
    assert tokenizer.encode(text).tolist() == whole


@pytest.mark.parametrize("kind", KINDS)
@patient
@given(text=any_text)
def test_a_saved_tokenizer_is_the_same(kind: str, text: str) -> None:
    tokenizer = trained(kind)
    again = load_tokenizer(kind, tokenizer.to_bytes())
    assert again.kind == kind
    assert again.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert again.vocab_size == tokenizer.vocab_size
    assert (again.bos_id, again.eos_id, again.unk_id) == (tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id)
    assert again.to_bytes() == tokenizer.to_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_special_ids_spell_nothing_and_count_as_agreed(kind: str) -> None:
    tokenizer = trained(kind)
    document = [tokenizer.bos_id, *tokenizer.encode("the cat").tolist(), tokenizer.eos_id]
    assert tokenizer.decode(document) == "the cat"
    assert tokenizer.count_characters(np.array(document)) == len("the cat") + 1
    if tokenizer.unk_id is not None:
        assert tokenizer.decode([tokenizer.unk_id]) == "\ufffd"
        assert tokenizer.count_characters(np.array([tokenizer.unk_id])) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_characters_of_parts_add_up(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "PAGE", 7)
    tokenizer = trained(kind)
    ids = tokenizer.encode(TEXT).astype(np.uint16)
    parts = [tokenizer.count_characters(ids[start : start + 10]) for start in range(0, len(ids), 10)]
    assert sum(parts) == tokenizer.count_characters(ids) == len(TEXT)


def test_char_ids_are_in_order_of_code_points() -> None:
    tokenizer = train_tokenizer("char", ["ba", "cé", "猫a"])
    assert tokenizer.encode("abcé猫x\U0010ffff").tolist() == [3, 4, 5, 6, 7, 0, 0]
    assert tokenizer.vocab_size == 8


def test_char_keeps_the_most_frequent() -> None:
    blocks = ["aaaa", "bbcc", "d"]
    assert train_tokenizer("char", blocks, min_frequency=2).unknown("abcd") == {"d": 1}
    assert train_tokenizer("char", blocks, vocab_size=2).unknown("abcdd") == {"c": 1, "d": 2}


def test_half_a_surrogate_pair_is_no_character() -> None:
    assert train_tokenizer("char", ["a\ud800"]).unknown("a\ud800") == {"\ud800": 1}
    for kind in ("byte", *PIECES):
        with pytest.raises(ChargenError, match="surrogate pair at character 1"):
            trained(kind).encode("a\ud800")


@pytest.mark.parametrize("kind", PIECES)
def test_pieces_save_ids(kind: str) -> None:
    assert len(trained(kind).encode(TEXT)) < len(TEXT)


@pytest.mark.parametrize("kind", PIECES)
def test_line_breaks_and_tabs_stand_apart(kind: str) -> None:
    tokenizer = trained(kind)
    spelled = [tokenizer.decode([token]) for token in tokenizer.encode(TEXT)]
    assert {piece for piece in spelled if set(piece) & set("\n\t")} == {"\n", "\t"}


@pytest.mark.parametrize("kind", PIECES)
@pytest.mark.parametrize("text", ["a", " ", "\n", "\u2581\u2585", "ab" * 30_000, "<s></s>", "猫犬鳥" * 5])
def test_texts_with_few_pieces_give_small_vocabularies(kind: str, text: str) -> None:
    tokenizer = train_tokenizer(kind, [text], vocab_size=10**10)
    assert tokenizer.vocab_size < 300
    assert tokenizer.decode(tokenizer.encode(text + " x")) == text + " x"


@pytest.mark.parametrize("kind", PIECES)
def test_the_vocabulary_is_no_larger_than_asked_for(kind: str) -> None:
    cjk = "".join(random.Random(0).choices([chr(code) for code in range(0x4E00, 0x5200)], k=5000))
    for size in (260, 261, 270, 300):
        assert 260 <= train_tokenizer(kind, [cjk], vocab_size=size).vocab_size <= size
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(1, 8))) for _ in range(500)]
    assert train_tokenizer(kind, [" ".join(rng.choices(words, k=5000))], vocab_size=400).vocab_size == 400
    with pytest.raises(ChargenError, match="259 is too small for"):
        train_tokenizer(kind, [cjk], vocab_size=259)


@pytest.mark.parametrize(
    ("characters", "frequencies", "size"),
    [
        (1_000, [10], 259 + 256),  # small texts: room for the alphabet and some merges
        (500_000, [10], 259 + 1000),  # one piece for each 500 characters
        (10**9, [10], 2000),
        (10**6, [5] * 3000, 259 + 2 * 2999),  # as many again as there are common characters
        (10**6, [10_000] * 2 + [1] * 10, 2000),  # the rarest 0.05 % are not common
    ],
)
def test_the_default_size_suits_the_text(characters: int, frequencies: list[int], size: int) -> None:
    assert pieces._default_size(characters, np.array(frequencies)) == size


@pytest.mark.parametrize("kind", PIECES)
def test_training_is_silent_and_deterministic(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert train_tokenizer(kind, [TEXT]).to_bytes() == trained(kind).to_bytes()
    with pytest.raises(ChargenError):
        load_tokenizer(kind, b"no model")
    assert capfd.readouterr() == ("", "")


def test_the_sample_is_bounded_and_spread_over_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "SAMPLE", 100)
    monkeypatch.setattr(pieces, "STRETCH", 10)
    text = "".join(f"{number:05d}" for number in range(1000))
    stretches, characters = pieces._sample(text[start : start + 35] for start in range(0, 5000, 35))
    assert characters == 5000
    assert 50 <= sum(map(len, stretches)) <= 100
    places = [text.index(stretch) for stretch in stretches]
    gaps = np.diff([*places, 5000])
    assert places[0] == 0 and gaps.max() < 2 * gaps.min()


@pytest.mark.parametrize("kind", ["char", *PIECES])
def test_there_must_be_text(kind: str) -> None:
    for blocks in ([], [""]):
        with pytest.raises(ChargenError, match="no text"):
            train_tokenizer(kind, blocks)


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ChargenError, match="unknown tokenizer 'word': choose one of char, byte, bpe, unigram"):
        train_tokenizer("word", ["a"])
    with pytest.raises(ChargenError, match="256 tokens"):
        train_tokenizer("byte", ["a"], vocab_size=100)
    with pytest.raises(ChargenError, match="minimum frequency is for the tokenizer char"):
        train_tokenizer("bpe", ["a"], min_frequency=2)
    with pytest.raises(ChargenError, match="no character occurs 2 times"):
        train_tokenizer("char", ["abc"], min_frequency=2)
    for bad in ({"vocab_size": 0}, {"min_frequency": 0}):
        with pytest.raises(ChargenError, match="at least 1"):
            train_tokenizer("char", ["abc"], **bad)


def test_saved_characters_are_checked() -> None:
    good: dict[str, object] = {"version": 1, "kind": "char", "characters": "ab"}
    assert load_tokenizer("char", json.dumps(good).encode()).encode("ba").tolist() == [4, 3]
    changes: list[tuple[dict[str, object], str]] = [
        ({"version": 2}, "version 2, but this chargen reads 1"),
        ({"kind": "byte"}, "kind is 'byte', not 'char'"),
        ({"characters": "ba"}, "sorted"),
        ({"characters": "aa"}, "sorted"),
        ({"characters": ""}, "sorted"),
        ({"characters": 7}, "sorted"),
        ({"characters": "a\ud800"}, "surrogate"),
        ({"more": 1}, "it holds version, kind, characters, more"),
    ]
    for change, sentence in changes:
        with pytest.raises(ChargenError, match=sentence):
            load_tokenizer("char", json.dumps(good | change).encode())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[]", b"{}", b"[" * 100_000, b"\n\x07\n\x01a\x15"])
def test_other_bytes_are_refused(kind: str, data: bytes) -> None:
    with pytest.raises(ChargenError, match="the tokenizer's file is damaged or another program's"):
        load_tokenizer(kind, data)


@pytest.mark.parametrize("kind", PIECES)
@patient
@given(data=st.data())
def test_a_model_cut_short_is_refused(kind: str, data: st.DataObject) -> None:
    model = trained(kind).to_bytes()
    stated = model.rindex(b"identity")  # near the end; nothing after the settings matters
    end = data.draw(st.integers(0, stated))
    with pytest.raises(ChargenError, match="damaged"):
        load_tokenizer(kind, model[:end])


@pytest.mark.parametrize(("kind", "other"), [PIECES, PIECES[::-1], ("byte", "char"), ("char", "bpe")])
def test_another_kind_is_refused(kind: str, other: str) -> None:
    with pytest.raises(ChargenError, match=r"kind|JSON|model"):
        load_tokenizer(kind, trained(other).to_bytes())


def test_a_model_of_other_settings_is_refused() -> None:
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    sentences = iter(TEXT.split("\n"))
    SentencePieceTrainer.train(
        sentence_iterator=sentences,
        model_writer=model,
        vocab_size=300,
        hard_vocab_limit=False,
        byte_fallback=True,
        minloglevel=2,
    )
    with pytest.raises(ChargenError, match="damaged or another program's"):
        load_tokenizer("unigram", model.getvalue())

"""Writing in turns: the state is that of all that was read and written, as if it were one text."""

from __future__ import annotations

import numpy as np
import pytest
from builders import numpy_engine

from chargen.errors import ChargenError
from chargen.generation.engines.numpy_engine import NumpyEngine
from chargen.generation.generate import generate
from chargen.generation.samplers import Sampling
from chargen.generation.session import Session
from chargen.models.config import EncoderConfig
from chargen.text.tokenizers.char import CharTokenizer
from chargen.text.tokenizers.registry import train_tokenizer

TOKENIZER = CharTokenizer("\n abcde")


@pytest.fixture
def engine() -> NumpyEngine:
    return numpy_engine(EncoderConfig(TOKENIZER.vocab_size, "gru", 2, 12, 5))


def test_turns_are_one_text(engine: NumpyEngine) -> None:
    greedy = Sampling(temperature=0)
    session = Session(engine, TOKENIZER, sampling=greedy)
    session.read("abc ")
    first = "".join(session.write(7))
    session.read("dea")
    second = "".join(session.write(9))
    pieces = generate(engine, TOKENIZER, "\nabc " + first + "dea", length=9, sampling=greedy)
    assert second == "".join(piece.text for piece in pieces)


def test_a_stop_text_ends_a_turn_and_is_remembered(engine: NumpyEngine) -> None:
    session = Session(engine, TOKENIZER, seed=3)
    text = "".join(session.write(2000, stop=("dd",)))
    assert "dd" not in text
    assert len(text) < 2000
    greedy = Sampling(temperature=0)
    session.sampling = greedy
    pieces = generate(engine, TOKENIZER, "\n" + text + "dd", length=9, sampling=greedy)
    assert "".join(session.write(9)) == "".join(piece.text for piece in pieces)


def test_it_is_known_where_a_line_begins(engine: NumpyEngine) -> None:
    session = Session(engine, TOKENIZER)
    begins = [session.begins_line]
    for text in ("ab", "ab\n"):
        session.read(text)
        begins.append(session.begins_line)
    assert begins == [True, False, True]
    ended = Session(engine, TOKENIZER, documents=True, seed=1)
    list(ended.write(100_000))
    assert ended.begins_line  # of another document


def test_a_turn_cut_inside_a_piece_goes_on_from_what_is_shown() -> None:
    tokenizer = train_tokenizer("bpe", ["the cat and the hat and the mat\n" * 50], vocab_size=300)
    engine = numpy_engine(EncoderConfig(tokenizer.vocab_size, "gru", 1, 8, 5), seed=1)
    bias = np.full(tokenizer.vocab_size, -np.inf)
    (piece,) = tokenizer.encode(" the")[-1:]
    bias[piece] = 0
    cut = Session(engine, tokenizer, bias=bias)
    word = tokenizer.decode([piece])
    assert "".join(cut.write(len(word) - 1)) == word[:-1]
    plain = Session(engine, tokenizer)
    plain.read(word[:-1])
    np.testing.assert_array_equal(cut._logits, plain._logits)
    one, *_ = plain.suggest(3, 16)
    assert len(one.ids) == 1  # pieces are offered as they are


def test_an_unknown_character_is_refused_and_nothing_read(engine: NumpyEngine) -> None:
    session, other = (Session(engine, TOKENIZER, sampling=Sampling(temperature=0)) for _ in range(2))
    with pytest.raises(ChargenError, match="never saw 'z'"):
        session.read("abz")
    assert "".join(session.write(20)) == "".join(other.write(20))


def test_suggestions_are_the_likeliest_words_and_change_nothing(engine: NumpyEngine) -> None:
    session = Session(engine, TOKENIZER)
    session.read("ab")
    found = session.suggest(4, 6)
    assert 1 <= len(found) <= 4
    assert all(len(one.text) == 6 or one.text[-1].isspace() for one in found)
    assert all(not part.isspace() for one in found for part in one.text[:-1])
    assert [one.text for one in session.suggest(4, 6)] == [one.text for one in found]
    assert session.search(3, 5).log_prob <= 0


def test_a_penalty_sees_what_the_person_wrote(engine: NumpyEngine) -> None:
    harsh = Sampling(temperature=0, repetition_penalty=1e6, repetition_window=3)
    session = Session(engine, TOKENIZER, sampling=harsh)
    session.read("abc")
    written = "".join(session.write(1))
    assert written not in "abc"

"""What generate promises, with an engine that recites what the test says and with a real one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import pytest
from builders import numpy_engine
from hypothesis import given
from hypothesis import strategies as st

from chargen.errors import ChargenError
from chargen.generation.constraints import token_bias
from chargen.generation.engines.numpy_engine import NumpyEngine
from chargen.generation.generate import Piece, generate
from chargen.generation.samplers import Sampling, log_softmax
from chargen.generation.scoring import score
from chargen.models.config import EncoderConfig
from chargen.text.tokenizers.base import Tokenizer
from chargen.text.tokenizers.byte import ByteTokenizer
from chargen.text.tokenizers.char import CharTokenizer
from chargen.text.tokenizers.registry import train_tokenizer

ABC = CharTokenizer("\nabcde")
GREEDY = Sampling(temperature=0)


class Reciter:
    """An engine whose stream i recites the i-th list of ids; its state is the number of symbols recited."""

    def __init__(self, vocab_size: int, *scripts: Sequence[int] | np.ndarray) -> None:
        self.vocab_size = vocab_size
        self.scripts = scripts
        self.was_read: list[int] = []
        self.steps = 0

    def start(self, batch: int) -> int:
        return 0

    def select(self, state: int, streams: np.ndarray) -> int:
        return state

    def step(self, ids: np.ndarray, state: int) -> tuple[np.ndarray, int]:
        self.steps += 1
        return self._logits(state + 1), state + 1

    def read(self, ids: np.ndarray, state: int) -> tuple[np.ndarray, int]:
        self.was_read += ids[:, 0].tolist()
        return np.repeat(self._logits(state)[:1], len(self.scripts), axis=0), state

    def read_all(self, ids: np.ndarray, state: int) -> tuple[np.ndarray, int]:
        raise NotImplementedError

    def _logits(self, position: int) -> np.ndarray:
        logits = np.zeros((len(self.scripts), self.vocab_size), np.float32)
        for row, script in zip(logits, self.scripts, strict=True):
            row[script[min(position, len(script) - 1)]] = 9.0
        return logits


def recite(tokenizer: Tokenizer, ids: Sequence[int] | np.ndarray, **settings: Any) -> list[Piece]:
    return list(generate(Reciter(tokenizer.vocab_size, ids), tokenizer, sampling=GREEDY, **settings))


def text_of(pieces: Sequence[Piece], sample: int = 0) -> str:
    return "".join(piece.text for piece in pieces if piece.sample == sample)


def real_engine(vocab_size: int, cell: str = "gru") -> NumpyEngine:
    return numpy_engine(EncoderConfig(vocab_size, cell, num_layers=2, hidden_size=5, embedding_size=4))


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return train_tokenizer("bpe", ["the cat and the hat and the other cats\n" * 40], vocab_size=290)


def test_length_counts_characters() -> None:
    pieces = recite(ABC, ABC.encode("abcabc"), length=4)
    assert [piece.text for piece in pieces] == ["a", "b", "c", "a"]
    assert [piece.end for piece in pieces] == [None, None, None, "length"]


def test_length_counts_characters_of_bytes() -> None:
    tokenizer = ByteTokenizer()
    pieces = recite(tokenizer, tokenizer.encode("é😀né"), length=3)
    assert [piece.text for piece in pieces] == ["", "é", "", "", "", "😀", "n"]
    assert pieces[-1].end == "length"


def test_length_counts_characters_of_pieces(bpe: Tokenizer) -> None:
    ids = bpe.encode("the cat the cat")
    assert len(ids) < 9
    pieces = recite(bpe, ids, length=9)
    assert text_of(pieces) == "the cat t"
    assert [piece.id for piece in pieces] == ids[: len(pieces)].tolist()


def test_without_length_a_stream_goes_on() -> None:
    engine = Reciter(ABC.vocab_size, ABC.encode("a"))
    assert text_of(list(islice(generate(engine, ABC, sampling=GREEDY), 1000))) == "a" * 1000


def test_broken_utf8_is_shown_as_such() -> None:
    assert text_of(recite(ByteTokenizer(), [0xC3, ord("a"), 0x80, ord("b")], length=4)) == "\ufffda\ufffdb"


def test_half_a_character_at_a_documents_end_is_shown_once_as_broken() -> None:
    tokenizer = ByteTokenizer()
    pieces = recite(tokenizer, [ord("a"), 0xF0, 0x9F, tokenizer.eos_id], documents=True)
    assert [piece.text for piece in pieces] == ["a", "", "", "\ufffd"]
    assert pieces[-1].end == "document"


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (["cd"], "abcab"),
        (["abd", "cab"], "ab"),
        (["bca", "ab"], ""),
        (["e", "abcabe"], "abcabcd"),  # what looked like the longer one is given out after all
        (["abcabcde"], ""),
        (["x"], "abcabcdeee"),
    ],
)
def test_a_stop_text_ends_a_sample_and_is_left_out(stop: list[str], expected: str) -> None:
    pieces = recite(ABC, ABC.encode("abcabcde"), stop=stop, length=10)
    assert text_of(pieces) == expected
    assert pieces[-1].end == ("length" if stop == ["x"] else "stop")


def test_length_comes_before_a_stop_text_that_lies_behind_it() -> None:
    pieces = recite(ABC, ABC.encode("abcd"), stop=["cd"], length=3)
    assert (text_of(pieces), pieces[-1].end) == ("abc", "length")


def test_pieces_of_many_characters_end_where_single_ones_would(bpe: Tokenizer) -> None:
    for length, expected in ((2, ("th", "length")), (3, ("t", "stop"))):
        pieces = recite(bpe, bpe.encode("the cat"), stop=["he", "the c"], length=length)
        assert len(pieces) == 1
        assert (text_of(pieces), pieces[-1].end) == expected


@given(st.text("abc", min_size=12, max_size=12), st.lists(st.text("abc", min_size=1, max_size=3), max_size=3))
def test_a_sample_ends_before_the_first_stop_text(text: str, stop: list[str]) -> None:
    complete = [(text.find(each) + len(each), text.find(each)) for each in stop if each in text]
    expected = text[: min(complete, default=(12, 12))[1]]
    assert text_of(recite(ABC, ABC.encode(text), stop=stop, length=12)) == expected


def test_a_document_begins_with_bos_and_ends_with_eos() -> None:
    script = [*ABC.encode("ab"), ABC.eos_id, *ABC.encode("c")]
    engine = Reciter(ABC.vocab_size, script)
    pieces = list(generate(engine, ABC, "de", sampling=GREEDY, documents=True))
    assert engine.was_read == [ABC.bos_id, *ABC.encode("de")]
    assert (text_of(pieces), pieces[-1].end, pieces[-1].id) == ("ab", "document", ABC.eos_id)


def test_special_symbols_are_never_drawn() -> None:
    for documents, special in ((False, (0, 1, 2)), (True, (0, 1))):
        for token in special:
            assert recite(ABC, [token], documents=documents, length=1)[0].id not in special


def test_a_bare_stream_begins_after_a_line_break() -> None:
    for prompt, read in (("", "\n"), ("ab", "ab")):
        engine = Reciter(ABC.vocab_size, ABC.encode("a"))
        list(generate(engine, ABC, prompt, length=1))
        assert engine.was_read == ABC.encode(read).tolist()


def test_a_bare_stream_without_line_breaks_begins_anywhere() -> None:
    tokenizer = CharTokenizer("abcde")
    beginnings: set[int] = set()
    for seed in range(60):
        engine = Reciter(tokenizer.vocab_size, tokenizer.encode("a"))
        list(generate(engine, tokenizer, length=1, seed=seed, bias=token_bias(tokenizer, forbid="c")))
        beginnings.update(engine.was_read)
    assert beginnings == set(tokenizer.encode("abde").tolist())


def test_samples_end_each_on_its_own() -> None:
    first, second = ABC.encode("ab").tolist(), ABC.encode("acccc").tolist()
    engine = Reciter(ABC.vocab_size, [*first, ABC.eos_id], [*second, ABC.eos_id])
    pieces = list(generate(engine, ABC, sampling=GREEDY, samples=2, documents=True))
    assert (text_of(pieces, 0), text_of(pieces, 1)) == ("ab", "acccc")
    assert [piece.sample for piece in pieces] == [0, 1, 0, 1, 0, 1, 1, 1, 1]
    assert [piece.end for piece in pieces if piece.end] == ["document", "document"]
    assert engine.steps == 5


def test_a_sample_does_not_depend_on_when_others_end() -> None:
    engine = real_engine(ABC.vocab_size)
    pieces = list(generate(engine, ABC, "a", length=40, seed=3, samples=3))
    others = [piece.text for piece in pieces if piece.sample == 0]
    stopped = list(generate(engine, ABC, "a", length=40, seed=3, samples=3, stop=["".join(others[2:6])]))
    assert len(text_of(stopped, 0)) < 40
    whole = [sample for sample in (1, 2) if len(text_of(stopped, sample)) == 40]
    assert whole
    assert all(text_of(stopped, sample) == text_of(pieces, sample) for sample in whole)


def test_a_seed_decides_and_samples_differ() -> None:
    engine = real_engine(ABC.vocab_size)
    texts = [
        [text_of(list(pieces), sample) for sample in range(2)]
        for pieces in ([*generate(engine, ABC, length=50, seed=seed, samples=2)] for seed in (7, 7, 8))
    ]
    assert texts[0] == texts[1]
    assert len({texts[0][0], texts[0][1], texts[2][0], texts[2][1]}) == 4


def test_uniform_numbers_are_one_a_sample_and_step() -> None:
    engine = real_engine(ABC.vocab_size)
    pieces = list(generate(engine, ABC, "a", length=5, seed=11, samples=2, sampling=Sampling(temperature=1)))
    numbers = np.random.Generator(np.random.PCG64(11)).random((5, 2))
    for sample in range(2):
        logits, state = engine.read(ABC.encode("a")[:, None], engine.start(1))
        for piece, number in zip(
            [piece for piece in pieces if piece.sample == sample], numbers[:, sample], strict=True
        ):
            weights = np.where(np.arange(ABC.vocab_size) < 3, 0, np.exp(logits[0].astype(float)))
            assert piece.id == np.searchsorted(np.cumsum(weights), number * weights.sum(), side="right")
            assert piece.log_prob == pytest.approx(log_softmax(logits[0])[piece.id], abs=1e-5)
            logits, state = engine.step(np.array([piece.id]), state)


def test_repetition_penalty_sees_the_prompt_and_its_window() -> None:
    flat = np.zeros(ABC.vocab_size)
    flat[ABC.encode("abc")] = [1.2, 1.1, 1.0]

    class Flat(Reciter):
        def _logits(self, position: int) -> np.ndarray:
            return np.tile(flat, (len(self.scripts), 1)).astype(np.float32)

    for window, expected in ((1, "bababa"), (2, "bcabca")):
        sampling = Sampling(temperature=0, repetition_penalty=2.0, repetition_window=window)
        pieces = list(generate(Flat(ABC.vocab_size, [0]), ABC, "ca", sampling=sampling, length=6))
        assert text_of(pieces) == expected


def test_only_allowed_characters_are_written(bpe: Tokenizer) -> None:
    allowed = token_bias(bpe, allow="theca ")
    text = text_of(list(generate(real_engine(bpe.vocab_size), bpe, bias=allowed, length=300, seed=0)))
    assert set(text) <= set("theca ")
    assert len(text) == 300


def test_forbidden_characters_are_not_written_and_all_else_can_be(bpe: Tokenizer) -> None:
    bias = token_bias(bpe, forbid="ta")
    forbidden = [bpe.decode([token]) for token in np.flatnonzero(bias == -np.inf)]
    assert "the" in forbidden
    assert all({"t", "a"} & set(spelling) for spelling in forbidden)
    assert not any({"t", "a"} & set(bpe.decode([token])) for token in np.flatnonzero(bias == 0))


def test_a_forbidden_character_cannot_be_spelled_by_bytes() -> None:
    tokenizer = train_tokenizer("bpe", ["café au lait\n" * 40], vocab_size=280)
    text = text_of(
        list(
            generate(
                real_engine(tokenizer.vocab_size),
                tokenizer,
                bias=token_bias(tokenizer, forbid="é"),
                length=3000,
                seed=0,
            )
        )
    )
    assert text.isascii()


def test_bias_by_text() -> None:
    bias = token_bias(ABC, forbid="e", add={"a": -1.5, "\n": 2.0})
    assert dict(zip("\nabcde", bias[3:].tolist(), strict=True)) == {
        "\n": 2.0, "a": -1.5, "b": 0, "c": 0, "d": 0, "e": -np.inf,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"allow": "ab", "forbid": "bc"}, "'b' cannot be both allowed and forbidden"),
        ({"allow": "aé"}, "no token of the model spells 'é'"),
        ({"forbid": "é"}, "no token of the model spells 'é'"),
        ({"add": {"ab": 1.0}}, "'ab' cannot be set"),
        ({"add": {"é": 1.0}}, "'é' cannot be set"),
        ({"add": {"a": np.nan}}, "is nan, but must be a number from -10000 to 10000"),
    ],
)
def test_constraints_that_cannot_be_met_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ChargenError, match=sentence):
        token_bias(ABC, **settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"prompt": "aéb№"}, "characters the model never saw, 'é', '№'"),
        ({"length": 0}, "length is 0"),
        ({"samples": 0}, "samples is 0"),
        ({"samples": 1 << 21}, "samples is 2097152"),
        ({"seed": -1}, "seed is -1"),
        ({"stop": ["a", ""]}, "empty stop text"),
        ({"bias": token_bias(ABC, allow="")}, "every token of the model is forbidden"),
        ({"bias": token_bias(ABC, allow=""), "documents": True}, "every token of the model is forbidden"),
    ],
)
def test_bad_requests_are_refused_before_the_first_piece(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ChargenError, match=sentence):
        generate(real_engine(ABC.vocab_size), ABC, **settings)


def test_weights_that_are_no_numbers_are_refused() -> None:
    engine = real_engine(ABC.vocab_size)
    engine.projection_bias[4] = np.nan
    with pytest.raises(ChargenError, match="damaged"):
        list(generate(engine, ABC, length=1))


@pytest.mark.parametrize("documents", [False, True])
def test_score_is_what_generate_reports(documents: bool) -> None:
    engine = real_engine(ABC.vocab_size)
    pieces = list(generate(engine, ABC, length=700, seed=1, documents=documents))
    ids, log_probs = score(engine, ABC, text_of(pieces), documents=documents)
    assert ids[: len(pieces)].tolist() == [piece.id for piece in pieces]
    expected = [piece.log_prob for piece in pieces]
    np.testing.assert_allclose(log_probs[: len(pieces)], expected, rtol=0, atol=1e-5)
    assert len(ids) == len(text_of(pieces)) + documents


def test_scores_of_all_next_symbols_sum_to_one() -> None:
    engine = real_engine(5)
    tokenizer = CharTokenizer("ab")  # knows no line break, so nothing comes before the first symbol
    once = score(engine, tokenizer, "ba")
    np.testing.assert_allclose(once.log_probs[0], -np.log(5))
    logits, _ = engine.read(tokenizer.encode("b")[:, None], engine.start(1))
    np.testing.assert_allclose(once.log_probs[1], log_softmax(logits[0])[once.ids[1]], atol=1e-6)


def test_an_empty_text_has_no_scores() -> None:
    assert len(score(real_engine(ABC.vocab_size), ABC, "").ids) == 0
    assert score(real_engine(ABC.vocab_size), ABC, "", documents=True).ids.tolist() == [ABC.eos_id]

"""Beam search against trying everything."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from builders import numpy_engine

from chargen.errors import ChargenError
from chargen.generation.beam import beam_search
from chargen.generation.engines.numpy_engine import NumpyEngine
from chargen.generation.samplers import log_softmax
from chargen.models.config import EncoderConfig
from chargen.text.tokenizers.byte import ByteTokenizer
from chargen.text.tokenizers.char import CharTokenizer

TOKENIZER = CharTokenizer("\nab")
V = TOKENIZER.vocab_size


def make_engine() -> NumpyEngine:
    return numpy_engine(EncoderConfig(V, "gru", 1, 5, 4), scale=1.5, seed=3)


def log_prob(engine: NumpyEngine, ids: tuple[int, ...]) -> float:
    logits, state = engine.step(np.array([4]), engine.start(1))
    total = 0.0
    for token in ids:
        total += log_softmax(logits)[0, token]
        logits, state = engine.step(np.array([token]), state)
    return total


@pytest.mark.parametrize("length", [1, 3, 4])
def test_a_wide_beam_finds_the_likeliest_of_all(length: int) -> None:
    engine = make_engine()
    logits, state = engine.step(np.array([4]), engine.start(1))
    bias = np.zeros(V)
    bias[:3] = -np.inf  # what is no character
    found = beam_search(engine, TOKENIZER, logits, state, width=V**length, length=length, bias=bias)
    texts = product(range(3, V), repeat=length)
    everything = sorted(((log_prob(engine, ids), ids) for ids in texts), reverse=True)
    assert [one.ids for one in found[:5]] == [ids for _, ids in everything[:5]]
    assert found[0].log_prob == pytest.approx(everything[0][0], abs=1e-5)
    assert found[0].text == TOKENIZER.decode(found[0].ids)


def test_a_beam_of_one_is_greedy() -> None:
    engine = make_engine()
    logits, state = engine.step(np.array([3]), engine.start(1))
    bias = np.zeros(V)
    bias[:3] = -np.inf
    (found,) = beam_search(engine, TOKENIZER, logits, state, width=1, length=6, bias=bias)
    greedy = []
    for _ in range(6):
        greedy.append(int((logits[0] + bias).argmax()))
        logits, state = engine.step(np.array(greedy[-1:]), state)
    assert list(found.ids) == greedy


def test_ends_end_and_what_is_forbidden_is_not_written() -> None:
    engine = make_engine()
    logits, state = engine.step(np.array([3]), engine.start(1))
    end = TOKENIZER.encode("\n")[0]
    bias = np.zeros(V)
    bias[[0, 1, 2]] = -np.inf
    found = beam_search(engine, TOKENIZER, logits, state, width=20, length=5, bias=bias, ends=frozenset([int(end)]))
    assert any(one.ids[-1] == end and len(one.ids) < 5 for one in found)
    for one in found:
        assert not {0, 1, 2}.intersection(one.ids)
        assert end not in one.ids[:-1]
    scores = [one.log_prob for one in found]
    assert scores == sorted(scores, reverse=True)


def test_characters_of_several_bytes_are_written_whole() -> None:
    tokenizer = ByteTokenizer()
    script = tokenizer.encode("größe").tolist()

    class Reciter:
        def start(self, batch: int) -> int:
            return 0

        def select(self, state: int, streams: object) -> int:
            return state

        def step(self, ids: np.ndarray, state: int) -> tuple[np.ndarray, int]:
            logits = np.zeros((len(ids), tokenizer.vocab_size), np.float32)
            logits[:, script[min(state + 1, len(script) - 1)]] = 20
            return logits, state + 1

    first = np.zeros((1, tokenizer.vocab_size), np.float32)
    first[0, script[0]] = 20
    engine: Any = Reciter()
    for length in range(1, 6):
        found = beam_search(engine, tokenizer, first, 0, width=2, length=length)
        assert found[0].text == "größe"[:length]


def test_a_beam_of_nothing_or_beyond_sense_is_refused() -> None:
    engine = make_engine()
    logits, state = engine.step(np.array([3]), engine.start(1))
    for width, length in ((0, 5), (10**20, 5), (2, 0)):
        with pytest.raises(ChargenError, match=f"not {width} and {length}"):
            beam_search(engine, TOKENIZER, logits, state, width=width, length=length)

"""The two engines are twins: the same logits for a thousand steps, and the same text for a seed."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from chargen.generation.engine_numpy import NumpyEngine
from chargen.generation.engine_torch import TorchEngine
from chargen.generation.generate import generate, score
from chargen.models.config import CELLS, EncoderConfig, LanguageModelConfig, weight_shapes
from chargen.text.tokenizers import CharTokenizer

TOKENIZER = CharTokenizer("\n abcdefgh")
V, H, L = TOKENIZER.vocab_size, 16, 2


def engines(cell: str, *, tied: bool = False) -> tuple[NumpyEngine, TorchEngine]:
    config = LanguageModelConfig(EncoderConfig(V, cell, L, H, H if tied else 6), tied)
    random = np.random.default_rng(0)
    scale = 0.25 if cell.startswith("rnn") else 0.6  # a relu recurrence of larger weights would explode
    weights = {name: random.normal(0, scale, shape).astype("f") for name, shape in weight_shapes(config).items()}
    return NumpyEngine(config, weights), TorchEngine(config, weights, "cpu")


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_logits_agree_over_a_thousand_steps(cell: str, tied: bool) -> None:
    ours, theirs = engines(cell, tied=tied)
    states = ours.start(3), theirs.start(3)
    for ids in np.random.default_rng(1).integers(0, V, (1000, 3)):
        one, state = ours.step(ids, states[0])
        other, twin = theirs.step(ids, states[1])
        np.testing.assert_allclose(one, other, atol=1e-4)
        states = state, twin


@pytest.mark.parametrize("cell", CELLS)
def test_a_seed_writes_the_same_text_in_both(cell: str) -> None:
    ours, theirs = engines(cell)
    for samples in (1, 4):
        texts = [
            [
                (piece.sample, piece.id)
                for piece in islice(generate(one, TOKENIZER, "abc", seed=7, samples=samples), 800)
            ]
            for one in (ours, theirs)
        ]
        assert texts[0] == texts[1]


def test_reading_at_once_is_reading_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chargen.generation.engine_torch.CHUNK_ROWS", 8)
    _, engine = engines("lstm")
    ids = np.random.default_rng(1).integers(0, V, (9, 2))
    logits, state = engine.read(ids, engine.start(2))
    everything, _ = engine.read_all(ids, engine.start(2))
    stepped, after = None, engine.start(2)
    for row, expected in zip(ids, everything, strict=True):
        stepped, after = engine.step(row, after)
        np.testing.assert_allclose(stepped, expected, atol=1e-5)
    assert stepped is not None
    np.testing.assert_allclose(logits, stepped, atol=1e-5)
    np.testing.assert_allclose(state[1][1].numpy(), after[1][1].numpy(), atol=1e-5)


def test_streams_are_selected_and_states_stay_as_they_were() -> None:
    _, engine = engines("gru")
    _, state = engine.step(np.array([3, 4]), engine.start(2))
    before = [part.clone() for layer in state for part in layer]
    chosen = engine.select(state, np.array([1, 1, 0]))
    assert chosen[0][0].shape == (3, H)
    np.testing.assert_array_equal(chosen[1][0][2].numpy(), state[1][0][0].numpy())
    engine.step(np.array([5, 6]), state)
    assert all((one == other).all() for one, other in zip(before, (p for layer in state for p in layer), strict=True))


def test_scores_agree() -> None:
    ours, theirs = engines("gru")
    one, other = (score(engine, TOKENIZER, "abc abc dea\n" * 30) for engine in (ours, theirs))
    np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-5)

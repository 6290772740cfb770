"""The two engines are twins: the same logits for a thousand steps, and the same text for a seed."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from builders import random_weights

from chargen.generation.engines import torch_samplers
from chargen.generation.engines.numpy_engine import NumpyEngine
from chargen.generation.engines.torch_engine import TorchEngine
from chargen.generation.generate import generate
from chargen.generation.samplers import Sampling, draw, token_probs
from chargen.generation.scoring import score
from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.models.specs import SPECS
from chargen.text.tokenizers.char import CharTokenizer

TOKENIZER = CharTokenizer("\n abcdefgh")
V, H, L = TOKENIZER.vocab_size, 16, 2


def engines(cell: str, *, tied: bool = False) -> tuple[NumpyEngine, TorchEngine]:
    config = LanguageModelConfig(EncoderConfig(V, cell, L, H, SPECS[cell].outputs * H if tied else 6), tied)
    scale = 0.6 if cell in ("lstm", "gru") else 0.25  # others magnify rounding with larger weights, or explode
    weights = random_weights(config, scale)
    return NumpyEngine(config, weights), TorchEngine(config, weights, "cpu")


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cell", SPECS)
def test_logits_agree_over_a_thousand_steps(cell: str, tied: bool) -> None:
    ours, theirs = engines(cell, tied=tied)
    states = ours.start(3), theirs.start(3)
    for ids in np.random.default_rng(1).integers(0, V, (1000, 3)):
        one, state = ours.step(ids, states[0])
        other, twin = theirs.step(ids, states[1])
        np.testing.assert_allclose(one, other, atol=1e-4)
        states = state, twin


@pytest.mark.parametrize("cell", SPECS)
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
    monkeypatch.setattr("chargen.generation.engines.torch_engine.CHUNK_ROWS", 8)
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
    np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-5)


SETTINGS = [
    Sampling(),
    Sampling(temperature=0),
    Sampling(temperature=1.3, top_k=4),
    Sampling(top_p=0.7),
    Sampling(min_p=0.1),
    Sampling(typical=0.6, temperature=2),
    Sampling(top_k=8, top_p=0.9, min_p=0.01, typical=0.95),
]


@pytest.mark.parametrize("sampling", SETTINGS)
def test_the_samplers_are_twins(sampling: Sampling) -> None:
    random = np.random.default_rng(2)
    logits = random.normal(0, 2, (50, 9)).astype("f")
    bias = np.where(np.arange(9) == 4, -np.inf, random.normal(0, 0.5, 9))
    uniform = random.random(50)
    expected = token_probs(logits, sampling, bias=bias)
    ours = torch_samplers.token_probs(torch.from_numpy(logits), sampling, torch.from_numpy(bias))
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-12)
    drawn = torch_samplers.draw(ours, torch.from_numpy(uniform))
    assert drawn.tolist() == draw(expected, uniform).tolist()


@pytest.mark.parametrize("sampling", SETTINGS)
def test_drawing_in_the_engine_writes_the_same(sampling: Sampling) -> None:
    _, engine = engines("gru")
    pieces = {}
    for engine.draws in (False, True):
        found = generate(engine, TOKENIZER, "abc", length=150, seed=7, samples=3, sampling=sampling, stop=["dd"])
        pieces[engine.draws] = list(found)
    assert [piece[:4] for piece in pieces[True]] == [piece[:4] for piece in pieces[False]]
    for one, other in zip(pieces[True], pieces[False], strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("cell", SPECS)
def test_a_gpu_writes_what_a_cpu_writes(cell: str) -> None:
    ours, theirs = engines(cell)
    config, weights = theirs.model.config, {n: w.numpy() for n, w in theirs.model.named_parameters()}
    gpu = TorchEngine(config, weights, "cuda")
    assert gpu.draws
    texts = [[piece[:4] for piece in generate(one, TOKENIZER, "abc", length=300, seed=7)] for one in (ours, gpu)]
    assert texts[0] == texts[1]


# The kernels of LSTM and simple networks need newer processors for it.
@pytest.mark.parametrize("cell", sorted(SPECS.keys() - {"lstm", "rnn", "rnn-relu"}))
def test_bfloat16_changes_a_score_little(cell: str) -> None:
    ours, _ = engines(cell)
    config = LanguageModelConfig(EncoderConfig(V, cell, L, H, 6))
    narrow = TorchEngine(config, random_weights(config, 0.6 if cell == "gru" else 0.25), "cpu", "bf16")
    assert narrow.start(1)[0][0].dtype == torch.bfloat16
    text = "abc abc dea\nhgf " * 20
    exact, near = (score(one, TOKENIZER, text).log_probs.mean() for one in (ours, narrow))
    assert near == pytest.approx(exact, rel=0.02)
    assert near != exact
    assert len(list(generate(narrow, TOKENIZER, "abc", length=20, seed=1, samples=3))) == 60

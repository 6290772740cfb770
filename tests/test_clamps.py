"""Held units: they stay, all that reads them sees them, and both engines agree."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from builders import TOKENIZER, random_weights, write_run
from commands import refused, written
from hypothesis import given
from hypothesis import strategies as st

import chargen
from chargen.errors import ChargenError
from chargen.generation.engines.contract import EmbeddingEngine
from chargen.generation.engines.numpy_engine import NumpyEngine
from chargen.generation.engines.torch_engine import TorchEngine
from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.models.specs import SPECS
from chargen.models.units import Unit, parse_unit

CLAMPS = {(0, 2): 0.75, (1, 0): -0.5, (1, 3): 0.25}
IDS = np.array([[3, 4], [5, 0], [1, 6], [2, 2]])


def both_engines(cell: str) -> tuple[EmbeddingEngine, EmbeddingEngine]:
    config = LanguageModelConfig(EncoderConfig(9, cell, 2, hidden_size=4, embedding_size=4))
    weights = random_weights(config, 0.5)
    return NumpyEngine(config, weights), TorchEngine(config, weights)


@pytest.mark.parametrize("cell", SPECS)
def test_held_units_stay_and_both_engines_agree_however_they_read(cell: str) -> None:
    found = []
    for engine in both_engines(cell):
        held = engine.clamped(CLAMPS)
        state, stepped = held.start(2), []
        for ids in IDS:
            logits, state = held.step(ids, state)
            stepped.append(logits)
            for (layer, unit), value in CLAMPS.items():
                assert np.allclose(state[layer][0][:, unit], value)
        whole, _ = held.read_all(IDS, held.start(2))
        last, after = held.read(IDS, held.start(2))
        np.testing.assert_allclose(whole, stepped, atol=1e-5)
        np.testing.assert_allclose(last, stepped[-1], atol=1e-5)
        assert np.allclose(after[1][0][:, 0], -0.5)
        assert not np.allclose(whole, engine.read_all(IDS, engine.start(2))[0], atol=1e-3)
        found.append(whole)
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_what_is_held_in_the_last_layer_is_what_the_projection_reads() -> None:
    engine, _ = both_engines("lstm")
    assert isinstance(engine, NumpyEngine)
    every = {(1, unit): value for unit, value in enumerate((0.1, -0.2, 0.3, 0.4))}
    logits, _ = engine.clamped(every).step(IDS[0], engine.start(2))
    expected = engine.projection @ np.array([*every.values()], np.float32) + engine.projection_bias
    np.testing.assert_allclose(logits, np.stack([expected] * 2), atol=1e-6)


def test_the_next_step_reads_what_is_held() -> None:
    """In a simple network h is all there is: with all of it held, what was read before is forgotten."""
    engine, _ = both_engines("rnn")
    held = engine.clamped({(layer, unit): 0.1 for layer in range(2) for unit in range(4)})
    one, other = held.read(IDS[:3], held.start(2))[1], held.read(IDS[1:2], held.start(2))[1]
    assert all(np.array_equal(one[layer][0], other[layer][0]) for layer in range(2))
    free = engine.clamped({(0, unit): 0.1 for unit in range(4)})
    assert np.allclose(free.read(IDS, free.start(2))[1][0][0], 0.1)


def test_the_engine_itself_holds_nothing() -> None:
    for engine in both_engines("gru"):
        before = engine.read_all(IDS, engine.start(2))[0]
        engine.clamped(CLAMPS).read_all(IDS, engine.start(2))
        assert np.array_equal(engine.read_all(IDS, engine.start(2))[0], before)


@given(layer=st.integers(0, 99), unit=st.integers(0, 9999))
def test_a_unit_reads_as_it_is_written(layer: int, unit: int) -> None:
    assert parse_unit(str(Unit(layer, unit))) == (layer, unit)


def test_the_command_holds_a_unit_in_both_engines(text_run: str) -> None:
    held = ("ab", "-m", text_run, "--seed", "1", "-l", "60", "--clamp", "1.3=4", "--clamp", "0.0=-2")
    texts = [written(*held, "--engine", engine) for engine in ("numpy", "torch")]
    assert texts[0] == texts[1] != written(*held[:7])
    writer = chargen.load_language_model(text_run)
    text = writer.generate("ab", seed=1, length=60, clamp={(1, 3): 4.0, (0, 0): -2.0}, temperature=0.8)
    assert text == texts[0].removesuffix("\n")
    assert json.loads(written(*held, "--json"))["text"] == text[2:]
    assert written(*held[:3], "-l", "5", "--beam", "2", "--clamp", "1.3=4")


@pytest.mark.parametrize(
    ("clamp", "code", "sentence"),
    [
        ("2.0=1", 1, "there is no unit 2.0: the model has layers 0 to 1 with units 0 to 5, so name one of those"),
        ("0.6=1", 1, "there is no unit 0.6"),
        ("0.1=nan", 1, "unit 0.1 cannot be held at nan: give a finite number"),
        ("0.1", 2, "'0.1' is not LAYER.UNIT=VALUE, as in 1.42=0.9"),
        ("1=2", 2, "'1=2' is not LAYER.UNIT=VALUE"),
        ("0.1=x", 2, "'0.1=x' is not LAYER.UNIT=VALUE"),
    ],
)
def test_what_cannot_be_held_is_said_in_a_sentence(text_run: str, clamp: str, code: int, sentence: str) -> None:
    assert sentence in refused("sample", "-m", text_run, "--clamp", clamp, code=code)


def test_a_unit_is_held_at_one_value(text_run: str) -> None:
    sentence = refused("sample", "-m", text_run, "--clamp", "0.1=1", "--clamp", "0.1=-1", code=2)
    assert "unit 0.1 is held twice: leave one out" in sentence


def test_from_python_a_unit_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    config = LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, "gru", 1, 5, 4))
    writer = chargen.load_language_model(write_run(tmp_path / "run", config, TOKENIZER).path)
    with pytest.raises(ChargenError, match="the model has a layer 0 with units 0 to 4"):
        writer.generate("ab", clamp={(0, 5): 1.0})
    with pytest.raises(ChargenError, match="cannot be held at inf"):
        writer.generate("ab", clamp={(0, 4): math.inf})

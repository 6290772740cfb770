"""The NumPy engine against torch.nn or the textbook with the same weights, and its own laws."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from builders import Weights, random_weights
from processes import run_python
from textbook import run_layer

from chargen.generation.engines import numpy_engine
from chargen.generation.engines.numpy_engine import NumpyEngine, StackState
from chargen.models.cells_numpy.layer import GEMV_STREAMS
from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.models.specs import SPECS

V, E, H, L, B = 7, 4, 5, 2, 3


def make(cell: str, *, tied: bool = False, layers: int = L) -> tuple[LanguageModelConfig, Weights]:
    """A model of random weights."""
    config = LanguageModelConfig(EncoderConfig(V, cell, layers, H, SPECS[cell].outputs * H if tied else E), tied=tied)
    return config, random_weights(config, 0.5)


def reference_logits(
    config: LanguageModelConfig, weights: Weights, ids: np.ndarray, state: StackState
) -> tuple[np.ndarray, StackState]:
    """Logits (T, B, V) and state: by torch.nn's layers, a whole sequence at once, or by the textbook's equations."""
    encoder = config.encoder
    x, final = weights["encoder.embedding.weight"][ids], []
    for n, before in enumerate(state):
        prefix = f"encoder.layers.{n}."
        own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        if encoder.cell in TORCH:
            x, after = torch_layer(encoder.cell, x, before, own)
        else:
            x, after = run_layer(encoder.cell, x, list(before), own)
        final.append(tuple(after))
    projection = weights["encoder.embedding.weight" if config.tied else "projection.weight"]
    return x @ projection.T + weights["projection.bias"], tuple(final)


TORCH: dict[str, Callable[..., torch.nn.RNNBase]] = {
    "lstm": torch.nn.LSTM,
    "gru": torch.nn.GRU,
    "rnn": torch.nn.RNN,
    "rnn-relu": partial(torch.nn.RNN, nonlinearity="relu"),
}


def torch_layer(
    cell: str, x: np.ndarray, state: tuple[np.ndarray, ...], weights: Weights
) -> tuple[np.ndarray, list[np.ndarray]]:
    layer = TORCH[cell](x.shape[-1], state[0].shape[-1])
    layer.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    before = tuple(torch.from_numpy(part[None]) for part in state)
    with torch.no_grad():
        outputs, after = layer(torch.from_numpy(x), before if cell == "lstm" else before[0])
    return outputs.numpy(), [part[0].numpy() for part in (after if cell == "lstm" else (after,))]


def state_of(cell: str, engine: NumpyEngine, batch: int = B) -> StackState:
    """A state that the reference can begin with too: a QRNN's products of the input before mean nothing to it."""
    if cell != "qrnn":
        return some_state(engine, batch)
    return tuple((h, c, 0 * products) for h, c, products in some_state(engine, batch))


def twins_state(cell: str, config: LanguageModelConfig, state: StackState) -> StackState:
    """The same for the reference, where a QRNN's state has the input before."""
    if cell != "qrnn":
        return state
    encoder = config.encoder
    sizes = [encoder.embedding_size] + [encoder.hidden_size] * (encoder.num_layers - 1)
    return tuple((h, c, np.zeros((len(h), size), np.float32)) for (h, c, _), size in zip(state, sizes, strict=True))


def known(cell: str, state: StackState) -> StackState:
    """The parts of a state that both sides have."""
    return tuple(layer[:2] if cell == "qrnn" else layer for layer in state)


def some_state(engine: NumpyEngine, batch: int = B) -> StackState:
    random = np.random.default_rng(1)
    return tuple(
        tuple(random.normal(size=part.shape).astype(np.float32) for part in layer) for layer in engine.start(batch)
    )


def parts(state: StackState) -> list[np.ndarray]:
    return [part for layer in state for part in layer]


def assert_close(actual: StackState, expected: StackState, atol: float) -> None:
    for one, other in zip(parts(actual), parts(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def some_ids(steps: int, batch: int = B) -> np.ndarray:
    return np.random.default_rng(2).integers(0, V, (steps, batch))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cell", SPECS)
def test_a_thousand_steps_give_the_logits_of_the_reference(cell: str, tied: bool) -> None:
    config, weights = make(cell, tied=tied)
    for name in weights:
        if "weight_hh" in name or "weight_m" in name or "weight_h" in name:
            weights[name] *= 0.4  # a tame recurrence: relu would overflow, others magnify rounding
    engine = NumpyEngine(config, weights)
    ids, state = some_ids(1000), state_of(cell, engine)
    expected, final = reference_logits(config, weights, ids, twins_state(cell, config, state))
    for row, logits in zip(ids, expected, strict=True):
        actual, state = engine.step(row, state)
        np.testing.assert_allclose(actual, logits, rtol=0, atol=1e-4)
    assert_close(known(cell, state), known(cell, final), 1e-4)


@pytest.mark.parametrize("batch", [1, 2, GEMV_STREAMS + 1])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", SPECS)
def test_batches_and_depths_give_the_logits_of_the_reference(cell: str, layers: int, batch: int) -> None:
    config, weights = make(cell, layers=layers)
    engine = NumpyEngine(config, weights)
    ids, state = some_ids(3, batch), state_of(cell, engine, batch)
    expected, final = reference_logits(config, weights, ids, twins_state(cell, config, state))
    logits, actual = engine.read_all(ids, state)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
    assert_close(known(cell, actual), known(cell, final), 1e-4)


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("cell", SPECS)
def test_reading_is_stepping(cell: str, table: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_engine, "CHUNK_ROWS", 4 * B)  # 11 steps are three chunks, the last of them short
    if not table:
        monkeypatch.setattr(numpy_engine, "TABLE_BYTES", 0)
    engine = NumpyEngine(*make(cell))
    assert (engine.table is not None) == table
    ids, start = some_ids(11), some_state(engine)
    state, each = start, []
    for row in ids:
        logits, state = engine.step(row, state)
        each.append(logits)
    for read, expected in ((engine.read, each[-1]), (engine.read_all, np.stack(each))):
        logits, after = read(ids, start)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
        assert_close(after, state, 1e-5)


@pytest.mark.parametrize("cell", SPECS)
def test_state_and_logits_belong_to_the_caller(cell: str) -> None:
    engine = NumpyEngine(*make(cell))
    state = some_state(engine)
    kept = engine.select(state, np.arange(B))  # copies
    first, after = engine.step(np.array([1, 2, 3]), state)
    copies = first.copy(), engine.select(after, np.arange(B))
    engine.step(np.array([4, 5, 6]), after)
    engine.read(some_ids(4), state)
    assert_close(state, kept, 0)
    np.testing.assert_array_equal(first, copies[0])
    assert_close(after, copies[1], 0)


@pytest.mark.parametrize("cell", SPECS)
def test_streams_do_not_touch_each_other(cell: str) -> None:
    engine = NumpyEngine(*make(cell))
    state, ids = some_state(engine), np.array([1, 2, 3])
    logits, after = engine.step(ids, state)
    chosen = np.array([2, 0, 2, 1])
    again, moved = engine.step(ids[chosen], engine.select(state, chosen))
    np.testing.assert_allclose(again, logits[chosen], rtol=0, atol=1e-6)
    assert_close(moved, engine.select(after, chosen), 1e-6)


def test_a_stream_that_read_nothing_is_all_zeros() -> None:
    state = NumpyEngine(*make("lstm")).start(B)
    assert [part.shape for part in parts(state)] == 2 * L * [(B, H)]
    assert not any(part.any() for part in parts(state))
    assert len(parts(NumpyEngine(*make("gru")).start(B))) == L


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_huge_weights_saturate_without_overflow(cell: str) -> None:
    config, weights = make(cell)
    engine = NumpyEngine(config, {name: 1e4 * value for name, value in weights.items()})
    logits, state = engine.read(some_ids(5), engine.start(B))  # a warning would be an error here
    assert np.isfinite(logits).all()
    assert all((np.abs(layer[0]) <= 1).all() for layer in state)


def test_generating_imports_no_torch() -> None:
    modules = "chargen.generation.generate, chargen.generation.engines.numpy_engine"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    run_python("-c", code, check=True)

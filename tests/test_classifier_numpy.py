"""The NumPy classifier against torch's with the same weights, and the choice between the two."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import random_weights, write_run
from hypothesis import given
from hypothesis import strategies as st

from chargen.classification import labeller
from chargen.classification.labeller import Labeller
from chargen.errors import ChargenError
from chargen.models.cells_numpy.fused import GatedLayer
from chargen.models.classifier import Classifier, label_logits
from chargen.models.classifier_numpy import NumpyClassifier, reversed_indices
from chargen.models.config import POOLINGS, ClassifierConfig, EncoderConfig
from chargen.models.specs import SPECS
from chargen.runs.folder import Run
from chargen.text.tokenizers.char import CharTokenizer

V, E, H, LABELS = 7, 3, 5, 4
TOLERANCE = 1e-5


def make(cell: str, *, layers: int = 2, bidirectional: bool = True, pooling: str = "concat") -> NumpyClassifier:
    config = ClassifierConfig(EncoderConfig(V, cell, layers, H, E, bidirectional), LABELS, pooling)
    return NumpyClassifier(config, random_weights(config, 0.5))


def torch_twin(model: NumpyClassifier) -> Classifier:
    twin = Classifier(model.config)
    weights = random_weights(model.config, 0.5)
    twin.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
    return twin


def some_texts(lengths: Sequence[int], seed: int = 1) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, V, length) for length in lengths]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", SPECS)
def test_logits_are_those_of_torch(cell: str, layers: int, bidirectional: bool, pooling: str) -> None:
    model = make(cell, layers=layers, bidirectional=bidirectional, pooling=pooling)
    twin = torch_twin(model)
    for lengths in ((4, 7, 1), (7,), (1, 1), (2, 1, 5, 2, 3, 6, 7, 2, 1)):  # the last of more texts than GEMV_STREAMS
        texts = some_texts(lengths)
        logits = model.logits(texts)
        assert logits.dtype == np.float32 and logits.shape == (len(texts), LABELS)
        np.testing.assert_allclose(logits, label_logits(twin, texts), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("cell", SPECS)
def test_tokens_read_often_and_rarely_give_the_logits_of_torch(cell: str) -> None:
    model = make(cell, layers=1)
    often, rarely = [np.array([1] * 9), np.array([2, 1, 1])], [np.array([3, 1, 4]), np.array([0, 5])]
    for texts in (often, rarely):  # their products are made once per token, or as they are read
        np.testing.assert_allclose(
            model.logits(texts), label_logits(torch_twin(model), texts), rtol=TOLERANCE, atol=TOLERANCE
        )


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8), batch=st.integers(1, 9), data=st.data())
def test_no_text_depends_on_its_neighbours(lengths: list[int], batch: int, data: st.DataObject) -> None:
    model = make(data.draw(st.sampled_from(list(SPECS))), pooling=data.draw(st.sampled_from(POOLINGS)))
    texts = some_texts(lengths)
    alone = np.concatenate([model.logits([text]) for text in texts])
    np.testing.assert_allclose(model.logits(texts, batch), alone, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_that_overflows_counts_for_nothing(pooling: str) -> None:
    model = make("rnn-relu", layers=1, pooling=pooling)
    for layer in model.depths[0]:
        assert isinstance(layer, GatedLayer)
        layer.weight_hh[:] = 1e9 * np.eye(H)
        layer.bias[:] = 1
    texts = some_texts((1, 60))
    with np.errstate(invalid="ignore"):  # the long text's own logits are no numbers
        together = model.logits(texts)
    np.testing.assert_allclose(together[0], model.logits(texts[:1])[0], rtol=1e-5)
    assert np.isfinite(together[0]).all()


def test_texts_and_weights_are_left_as_they_are_and_logits_belong_to_the_caller() -> None:
    model = make("lstm")
    texts = some_texts((1, 4, 7))
    copies = [text.copy() for text in texts]
    first = model.logits(texts)
    kept = first.copy()
    model.logits(some_texts((7, 7, 7), seed=2))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(model.logits(texts), kept)
    for text, copy in zip(texts, copies, strict=True):
        np.testing.assert_array_equal(text, copy)


@pytest.mark.parametrize("cell", SPECS)
def test_threads_that_share_a_classifier_agree_with_one(cell: str) -> None:
    model = make(cell)
    sets = [some_texts(range(1, 40), seed) for seed in range(16)]
    expected = [model.logits(texts, 8) for texts in sets]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads come between each other's operations
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda texts: model.logits(texts, 8), sets))
    finally:
        sys.setswitchinterval(interval)
    for logits, alone in zip(together, expected, strict=True):
        np.testing.assert_allclose(logits, alone, rtol=TOLERANCE, atol=TOLERANCE)


def test_workers_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    from chargen import workers
    from chargen.models import classifier_numpy

    model, texts = make("gru"), some_texts(range(1, 40))
    alone = model.logits(texts, 4)
    monkeypatch.setattr(classifier_numpy, "numpy_workers", lambda most: workers.Workers(min(3, most)))
    np.testing.assert_array_equal(model.logits(texts, 4), alone)


def test_no_texts_have_no_logits() -> None:
    assert make("gru").logits([]).shape == (0, LABELS)


def test_turned_twice_is_as_before() -> None:
    lengths = np.array([1, 4, 7])
    turned = reversed_indices(lengths, 7)
    assert turned[:, 1].tolist() == [3, 2, 1, 0, 4, 5, 6]
    np.testing.assert_array_equal(np.take_along_axis(turned, turned, 0), np.arange(7)[:, None].repeat(3, 1))


def make_run(path: Path) -> Run:
    tokenizer = CharTokenizer("abcd")
    config = ClassifierConfig(EncoderConfig(tokenizer.vocab_size, "gru", 1, H, E, True), 2, "mean")
    weights = random_weights(config, 0.5)
    return write_run(path, config, tokenizer, weights, labels=["x", "y"], framed=False, max_length=9)


@pytest.mark.parametrize("driver", [True, False])
def test_auto_looks_for_a_gpu_once_when_much_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: bool
) -> None:
    monkeypatch.setattr(labeller, "GPU_TOKENS", 8)
    monkeypatch.setattr(labeller, "has_gpu_driver", lambda: driver)
    run = make_run(tmp_path / "run")
    moved: list[str] = []
    monkeypatch.setattr(Labeller, "_use_torch", lambda self, device: moved.append(device))
    always, auto = Labeller(run, "cpu"), Labeller(run)
    for classifier in (always, auto):
        assert classifier.classify(["abcd", "abc"])[0].label in ("x", "y")  # 7 tokens
    assert moved == []
    for classifier in (always, auto, auto):
        classifier.classify(["ab"])
    assert moved == (["auto"] if driver else [])


def test_another_device_labels_as_the_cpu_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, texts = make_run(tmp_path / "run"), ["abcd", "d", "ca"]
    expected = Labeller(run, "cpu").probabilities(texts)
    with pytest.raises(ChargenError, match="'tpu' cannot be used"):
        Labeller(run, "tpu")

    class Elsewhere:
        """A device that calls itself none of the CPU's."""

        type = "elsewhere"

    monkeypatch.setattr("chargen.hardware.choose_device", lambda name: Elsewhere())
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: self)
    other = Labeller(run, "elsewhere")
    assert not isinstance(getattr(other._logits, "__self__", None), NumpyClassifier)
    np.testing.assert_allclose(other.probabilities(texts), expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_a_driver_is_a_library_that_can_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        if name != "present":
            raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(labeller, "DRIVERS", ("absent", "present"))
    assert labeller.has_gpu_driver()
    monkeypatch.setattr(labeller, "DRIVERS", ("absent",))
    assert not labeller.has_gpu_driver()

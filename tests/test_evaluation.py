"""Figures against a plain loop and hand-made tables: count what is summed."""

from __future__ import annotations

import lzma
import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from chargen.evaluation.labels import classification_report
from chargen.evaluation.losses import sum_nats, text_loss, xz_bits_per_character
from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.text.tokenizers.byte import ByteTokenizer
from chargen.text.tokenizers.char import CharTokenizer
from chargen.workers import Workers

V = 9


def make_model(cell: str = "gru", scale: float = 3.0) -> LanguageModel:
    torch.manual_seed(0)
    model = LanguageModel(LanguageModelConfig(EncoderConfig(V, cell, 2, 8, 5)))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(scale)
    return model


def plain_nats(model: LanguageModel, ids: np.ndarray) -> float:
    """One step after the other, from the first symbol to the last."""
    model = model.eval()
    state, total = model.encoder.initial_state(1), 0.0
    for before, after in pairwise(ids):
        logits, state = model.step(torch.tensor([before]), state)
        total -= torch.log_softmax(logits[0], -1)[after].item()
    return total


@pytest.mark.parametrize("length", [2, 3, 100, 517])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_nats_are_those_of_reading_step_by_step(length: int, cell: str) -> None:
    model = make_model(cell)
    ids = np.random.default_rng(length).integers(0, V, length)
    with torch.no_grad():
        expected = plain_nats(model, ids)
    model.train()
    assert sum_nats(model, ids, streams=1, window=16) == pytest.approx(expected, rel=1e-5)
    assert model.training  # as it was


def test_parallel_streams_take_over_each_others_state() -> None:
    model = make_model(scale=1.0)  # as models begin, their memory is shorter than the two windows that warm it up
    ids = np.random.default_rng(0).integers(0, V, 3001)
    alone = sum_nats(model, ids, streams=1, window=64)
    assert sum_nats(model, ids, streams=8, window=64) == pytest.approx(alone, rel=1e-5)


def test_any_number_of_workers_finds_the_same_nats() -> None:
    model, ids = make_model(), np.random.default_rng(0).integers(0, V, 5000)
    found = []
    for size in (1, 3):
        with Workers(size) as workers:
            found.append(sum_nats(model, ids, streams=40, window=16, workers=workers))
    assert found[0] == found[1]


def test_bits_are_of_the_characters_that_are_predicted() -> None:
    tokenizer = ByteTokenizer()
    torch.manual_seed(0)
    model = LanguageModel(LanguageModelConfig(EncoderConfig(tokenizer.vocab_size, "gru", 1, 4, 3)))
    loss = text_loss(model, tokenizer, tokenizer.encode("aéé"))
    assert (loss.tokens, loss.characters) == (4, 2)
    assert loss.bits_per_character == pytest.approx(loss.nats / math.log(2) / 2)
    assert loss.perplexity == pytest.approx(math.exp(loss.nats / 4))
    assert loss.figures()["nats_per_token"] == loss.nats / 4


def test_xz_is_given_the_text_itself() -> None:
    tokenizer = CharTokenizer("\nab")
    ids = np.concatenate([[1], tokenizer.encode("abba"), [2, 1], tokenizer.encode("aa"), [2]])
    bits = 8 * len(lzma.compress(b"abba\naa\n"))
    assert xz_bits_per_character(tokenizer, ids) == pytest.approx(bits / 8)


def test_a_report_counts_by_hand() -> None:
    report = classification_report([0, 0, 0, 1], [0, 0, 1, 1], ["a", "b", "c"])
    assert report["accuracy"] == 0.75
    assert report["confusion"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    a, b, c = report["labels"]
    assert (a["precision"], a["recall"], a["f1"], a["examples"]) == (1.0, pytest.approx(2 / 3), pytest.approx(0.8), 3)
    assert (b["precision"], b["recall"], b["f1"]) == (0.5, 1.0, pytest.approx(2 / 3))
    assert c["examples"] == 0
    assert report["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)  # of the labels that the data has

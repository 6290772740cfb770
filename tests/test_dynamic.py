"""Dynamic evaluation: scored before it is learned, equal to static without a rate, better on a text that repeats."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chargen.errors import ChargenError
from chargen.evaluation.dynamic import Adaptation, dynamic_loss, gradient_rms
from chargen.evaluation.losses import text_loss
from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.text.tokenizers.char import CharTokenizer

TOKENIZER = CharTokenizer("abcdef")
RANDOM = np.random.default_rng(0)


def make_model() -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, "gru", 2, 8, 5)))


def noise(length: int) -> np.ndarray:
    return RANDOM.integers(3, TOKENIZER.vocab_size, length)


def test_a_rate_of_almost_nothing_is_static_evaluation() -> None:
    model, ids = make_model(), noise(300)
    static = text_loss(model, TOKENIZER, ids)
    dynamic = dynamic_loss(model, TOKENIZER, ids, noise(500), Adaptation(rate=1e-12, decay=0.0))
    assert (dynamic.tokens, dynamic.characters) == (static.tokens, static.characters)
    assert dynamic.nats == pytest.approx(static.nats, rel=1e-5)


def test_a_text_that_repeats_is_learned_on_the_way_and_the_model_stays() -> None:
    model = make_model()
    before = [weight.clone() for weight in model.parameters()]
    ids = np.tile(TOKENIZER.encode("abacadabe"), 150)
    shares: list[float] = []
    adapted = dynamic_loss(model, TOKENIZER, ids, noise(500), Adaptation(rate=3e-3, decay=0.0), shares.append)
    assert adapted.nats < 0.9 * text_loss(model, TOKENIZER, ids).nats
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_the_first_window_is_scored_before_the_weights_move() -> None:
    model, ids = make_model(), noise(33)
    loss = dynamic_loss(model, TOKENIZER, ids, noise(500), Adaptation(rate=10.0, window=32))
    assert loss.nats == pytest.approx(text_loss(model, TOKENIZER, ids).nats, rel=1e-5)


def test_a_whole_decay_brings_the_usual_weights_back() -> None:
    model, ids = make_model(), noise(200)
    pulled = dynamic_loss(model, TOKENIZER, ids, noise(500), Adaptation(rate=1e-3, decay=1.0)).nats
    free = dynamic_loss(model, TOKENIZER, ids, noise(500), Adaptation(rate=1e-3, decay=0.0)).nats
    static = text_loss(model, TOKENIZER, ids).nats
    assert abs(pulled - static) < abs(free - static)


def test_usual_gradients_are_roots_of_mean_squares() -> None:
    model, ids = make_model(), noise(9)
    (one,) = {tuple(size.shape) for size in gradient_rms(model, ids, 8)[:1]}
    assert one == (TOKENIZER.vocab_size, 5)
    logits, _ = model(torch.from_numpy(ids[:-1])[:, None])
    loss = torch.nn.functional.cross_entropy(logits[:, 0], torch.from_numpy(ids[1:]))
    expected = torch.autograd.grad(loss, list(model.parameters()))
    for ours, theirs in zip(gradient_rms(model, ids, 8), expected, strict=True):
        torch.testing.assert_close(ours, theirs.abs(), atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("settings", [{"rate": 0.0}, {"decay": 2.0}, {"window": 0}])
def test_adaptations_that_cannot_be_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ChargenError, match="needs a rate"):
        Adaptation(**settings)  # type: ignore[arg-type]

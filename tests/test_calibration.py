from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargen.evaluation.calibration import (
    calibration_curve,
    calibration_error,
    combine,
    cross_fitted,
    error_by_chance,
    fit_scales,
    log_odds,
    mean_nats,
    softmax,
    threshold_for,
    wilson_interval,
)

RNG = np.random.default_rng


def drawn(scale: float, texts: int = 4000, labels: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn as likely as these say when multiplied by `scale`."""
    draw = RNG(seed)
    logits = draw.normal(size=(texts, labels)) * 2
    probs = softmax(scale * logits)
    return logits, np.array([draw.choice(labels, p=row) for row in probs])


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_the_scale_of_one_source_is_found(scale: float) -> None:
    logits, truth = drawn(scale)
    assert fit_scales(logits[None], truth, [1.0])[0] == pytest.approx(scale, rel=0.1)


def test_a_source_of_noise_gets_nearly_no_weight_and_a_misleading_one_none() -> None:
    logits, truth = drawn(1.0)
    noise = RNG(1).normal(size=logits.shape)
    scales = fit_scales([noise, logits], truth, [0.0, 1.0])
    assert scales[0] < 0.1 and scales[1] == pytest.approx(1, rel=0.1)
    assert fit_scales([-logits, logits], truth, [0.0, 1.0]).min() >= 0
    assert fit_scales([-logits], truth, [1.0]).tolist() == [0.0]


@given(st.integers(0, 8), st.integers(2, 4), st.integers(0, 100))
def test_scales_are_at_the_minimum_of_the_loss(texts: int, labels: int, seed: int) -> None:
    draw = RNG(seed)
    sources, truth = draw.normal(size=(2, texts, labels)), draw.integers(labels, size=texts)
    scales = fit_scales(sources, truth, [0.0, 1.0])

    def loss(at: np.ndarray) -> float:
        total = mean_nats(softmax(combine(sources, at)), truth) * texts if texts else 0.0
        return total + 2.0 * float(((at - [0, 1]) ** 2).sum())

    for step in ([1e-3, 0], [0, 1e-3], [-1e-3, 0], [0, -1e-3]):
        moved = np.maximum(scales + step, 0)
        assert loss(moved) >= loss(scales) - 1e-7


def test_a_weight_of_two_is_the_text_twice() -> None:
    draw = RNG(3)
    sources, truth = draw.normal(size=(2, 30, 3)), draw.integers(3, size=30)
    weights = draw.integers(1, 3, size=30)
    twice = np.repeat(np.arange(30), weights)
    found = fit_scales(sources, truth, [0.0, 1.0], weights.astype(float))
    np.testing.assert_allclose(found, fit_scales(sources[:, twice], truth[twice], [0.0, 1.0]), atol=1e-6)
    probs = softmax(sources[0])
    assert mean_nats(probs, truth, weights.astype(float)) == pytest.approx(mean_nats(probs[twice], truth[twice]))


def test_with_nothing_to_learn_from_scales_are_the_expected_ones() -> None:
    nothing = np.empty((2, 0, 3))
    assert fit_scales(nothing, np.empty(0, int), [0.0, 1.0]).tolist() == [0.0, 1.0]


def test_probabilities_of_a_text_come_from_scales_of_the_other_half() -> None:
    logits, truth = drawn(1.0, texts=40)
    before = cross_fitted(logits[None], truth, [1.0])
    changed = truth.copy()
    changed[0] = (truth[0] + 1) % 3
    after = cross_fitted(logits[None], changed, [1.0])
    same = (after == before).all(-1)
    assert same[0] and same.sum() == 20


def test_labels_that_take_turns_are_in_both_halves() -> None:
    truth = np.arange(200) % 2
    logits = np.stack([1 - truth, truth], -1) + RNG(0).normal(size=(200, 2))
    assert (cross_fitted(logits[None], truth, [1.0]).argmax(-1) == truth).mean() > 0.7


def test_calibration_error_of_known_cases() -> None:
    confidence = np.array([0.9, 0.9, 0.6, 0.6])
    right = np.array([True, True, True, False])
    assert calibration_error(confidence, right) == pytest.approx((0.1 * 2 + 0.1 * 2) / 4)
    assert calibration_error(np.ones(5), np.ones(5, bool)) == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50), st.integers(1, 20))
def test_the_gaps_of_a_curve_are_the_calibration_error(texts: list[tuple[float, bool]], bins: int) -> None:
    confidence, right = np.array([first for first, _ in texts]), np.array([second for _, second in texts])
    curve = calibration_curve(confidence, right, bins)
    assert sum(part.texts for part in curve) == len(texts)
    gaps = sum(part.texts * abs(part.confidence - part.accuracy) for part in curve) / len(texts)
    assert calibration_error(confidence, right, bins) == pytest.approx(gaps, abs=1e-9)
    assert all(part.low - 1e-9 <= part.confidence <= part.high + 1e-9 for part in curve)


def test_log_odds_are_those_of_probabilities_and_stay_finite() -> None:
    logits = RNG(0).normal(size=(5, 3))
    probs = softmax(logits)
    np.testing.assert_allclose(log_odds(logits, 1), np.log(probs[:, 1] / (1 - probs[:, 1])))
    assert log_odds([900.0, 0.0, 0.0], 0) == pytest.approx(900 - np.log(2))


def test_calibration_error_by_chance_falls_with_more_texts() -> None:
    draw = RNG(0)
    few, many = (error_by_chance(draw.uniform(0.5, 1, count)) for count in (100, 10_000))
    assert 0 < many < few / 5


@given(st.integers(1, 200), st.data())
def test_an_interval_has_the_share_inside(total: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, total))
    low, high = wilson_interval(right, total)
    assert 0 <= low <= right / total + 1e-12 and right / total - 1e-12 <= high <= 1


def test_a_threshold_reaches_the_accuracy_or_there_is_none() -> None:
    draw = RNG(0)
    confidence = draw.uniform(0.5, 1, 5000)
    right = draw.random(5000) < confidence
    threshold = threshold_for(confidence, right, 0.9)
    assert threshold is not None
    answered = confidence >= threshold
    assert right[answered].mean() > 0.9
    assert wilson_interval(int(right[answered].sum()), int(answered.sum()))[0] >= 0.9
    assert threshold_for(confidence, right, 0.9999) is None
    assert threshold_for(confidence, np.ones(5000, bool), 0.9) == confidence.min()

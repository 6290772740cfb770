"""Each sampler against its definition, and draws against the distribution they are drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chisquare

from chargen.errors import ChargenError
from chargen.generation import samplers
from chargen.generation.samplers import Sampling, draw, token_probs

FIVE = np.array([0.1, 0.4, 0.05, 0.25, 0.2])
LOGITS = np.log(FIVE) + 3.0  # a shift that softmax must not see


some_logits = arrays(
    np.float32, st.tuples(st.integers(1, 3), st.integers(1, 9)), elements=st.floats(-30, 30, width=32)
)
some_sampling = st.builds(
    Sampling,
    temperature=st.floats(0.001, 10),
    top_k=st.none() | st.integers(1, 12),
    top_p=st.none() | st.floats(0.01, 1),
    min_p=st.none() | st.floats(0.01, 1),
    typical=st.none() | st.floats(0.01, 1),
    repetition_penalty=st.floats(0.5, 2),
)


def kept(scores: np.ndarray) -> list[int]:
    return np.flatnonzero(np.isfinite(scores)).tolist()


def test_softmax_of_logarithms_are_the_numbers_themselves() -> None:
    np.testing.assert_allclose(samplers.softmax(LOGITS), FIVE)
    np.testing.assert_allclose(samplers.log_softmax(LOGITS), np.log(FIVE))
    np.testing.assert_allclose(samplers.softmax(np.array([1e4, 1e4 - math.log(3), -np.inf])), [0.75, 0.25, 0])


def test_scores_of_any_size_do_not_overflow_and_are_computed_in_float64() -> None:
    large = np.array([1e4, 1e4 - math.log(3)])
    np.testing.assert_allclose(samplers.log_softmax(large), np.log([0.75, 0.25]))
    np.testing.assert_allclose(samplers.log_softmax(np.array([1e4, 0.0])), [0.0, -1e4])
    for narrow in (LOGITS.astype(np.float32), LOGITS.astype(np.float16)):
        for function in (samplers.softmax, samplers.log_softmax):
            assert function(narrow).dtype == np.float64
            np.testing.assert_array_equal(function(narrow), function(narrow.astype(np.float64)))
    # In float32 the bias would be lost beside the logits.
    logits, bias = np.full(2, 1e6, np.float32), np.array([0, 1e-3], np.float32)
    chosen = token_probs(logits, Sampling(temperature=1), bias=bias)
    np.testing.assert_allclose(chosen, samplers.softmax(bias.astype(np.float64)), rtol=1e-9)


@pytest.mark.parametrize(
    "function",
    [
        samplers.softmax,
        samplers.log_softmax,
        samplers.greedy,
        lambda scores: samplers.top_k(scores, 3),
        lambda scores: samplers.top_p(scores, 0.7),
        lambda scores: samplers.min_p(scores, 0.1),
        lambda scores: samplers.typical(scores, 0.7),
        lambda scores: samplers.repetition_penalty(scores, np.broadcast_to([1, 4, 1], (*scores.shape[:-1], 3)), 2.0),
    ],
)
def test_arrays_of_any_shape_are_rows_of_scores(function: Callable[[np.ndarray], np.ndarray]) -> None:
    scores = np.random.default_rng(0).normal(0, 2, (2, 3, 7))
    found = function(scores)
    assert found.shape == scores.shape
    for row, expected in zip(scores.reshape(-1, 7), found.reshape(-1, 7), strict=True):
        np.testing.assert_array_equal(function(row), expected)


def test_log_softmax_is_the_logarithm_of_softmax() -> None:
    scores = np.random.default_rng(0).normal(0, 5, (2, 7))
    np.testing.assert_allclose(np.exp(samplers.log_softmax(scores)), samplers.softmax(scores))


@pytest.mark.parametrize("k", [1, 5, 200])
def test_top_k_of_a_large_vocabulary(k: int) -> None:
    scores = np.random.default_rng(0).normal(size=1000)
    assert kept(samplers.top_k(scores, k)) == sorted(np.argsort(scores)[-k:].tolist())


@pytest.mark.parametrize("sampler", [samplers.top_p, samplers.typical])
def test_of_equals_the_lowest_ids_are_kept(sampler: Callable[[np.ndarray, float], np.ndarray]) -> None:
    assert kept(sampler(np.zeros(1024), 0.25)) == list(range(256))
    two = np.log(np.tile([1.0, 3.0], 512))  # the likelier half has three quarters
    assert kept(sampler(two, 0.375)) == list(range(1, 512, 2))


def test_the_default_is_temperature_0_8_and_nothing_else() -> None:
    power = FIVE ** (1 / 0.8)
    recent = np.array([1, 3])
    np.testing.assert_allclose(token_probs(LOGITS, Sampling(), recent=recent), power / power.sum())
    assert Sampling().repetition_window == 64


def test_plain_sampling_is_softmax() -> None:
    np.testing.assert_allclose(token_probs(LOGITS, Sampling(temperature=1)), FIVE)


def test_temperature_raises_probabilities_to_a_power() -> None:
    power = FIVE ** (1 / 0.5)
    np.testing.assert_allclose(token_probs(LOGITS, Sampling(temperature=0.5)), power / power.sum())


def test_temperature_zero_takes_the_largest_and_the_first_among_equals() -> None:
    assert token_probs(LOGITS, Sampling(temperature=0)).tolist() == [0, 1, 0, 0, 0]
    assert token_probs(np.array([1.0, 3.0, 3.0]), Sampling(temperature=0)).tolist() == [0, 1, 0]


@pytest.mark.parametrize(("k", "expected"), [(1, [1]), (2, [1, 3]), (4, [0, 1, 3, 4]), (9, [0, 1, 2, 3, 4])])
def test_top_k_keeps_the_k_likeliest(k: int, expected: list[int]) -> None:
    assert kept(samplers.top_k(LOGITS, k)) == expected


def test_top_k_keeps_what_equals_the_last_kept() -> None:
    assert kept(samplers.top_k(np.array([2.0, 1.0, 2.0, 2.0]), 2)) == [0, 2, 3]


@pytest.mark.parametrize(
    ("p", "expected"), [(0.01, [1]), (0.39, [1]), (0.5, [1, 3]), (0.84, [1, 3, 4]), (1, [0, 1, 2, 3, 4])]
)
def test_top_p_keeps_the_fewest_that_reach_p(p: float, expected: list[int]) -> None:
    assert kept(samplers.top_p(LOGITS, p)) == expected


def test_top_p_that_is_reached_exactly_needs_no_more() -> None:
    assert kept(samplers.top_p(np.log(np.array([0.25, 0.5, 0.25])), 0.5)) == [1]


@pytest.mark.parametrize(("p", "expected"), [(1, [1]), (0.6, [1, 3]), (0.49, [1, 3, 4]), (0.1, [0, 1, 2, 3, 4])])
def test_min_p_is_a_share_of_the_likeliest(p: float, expected: list[int]) -> None:
    assert kept(samplers.min_p(LOGITS, p)) == expected


def test_typical_keeps_what_is_nearest_to_the_entropy() -> None:
    # The entropy is 1.415 nats; surprises are 2.303, 0.916, 2.996, 1.386 and 1.609: the likeliest is not the first.
    assert kept(samplers.typical(LOGITS, 0.2)) == [3]
    assert kept(samplers.typical(LOGITS, 0.44)) == [3, 4]
    assert kept(samplers.typical(LOGITS, 0.8)) == [1, 3, 4]
    assert kept(samplers.typical(np.array([0.0, 0.0, -np.inf]), 1)) == [0, 1]


def test_repetition_penalty_lowers_what_was_seen_whatever_its_sign() -> None:
    scores = np.array([[2.0, -2.0, 1.0, -np.inf], [2.0, -2.0, 1.0, 5.0]])
    recent = np.array([[0, 1, 0, 3], [3, 3, 3, 3]])
    expected = [[1.0, -4.0, 1.0, -np.inf], [2.0, -2.0, 1.0, 2.5]]
    np.testing.assert_array_equal(samplers.repetition_penalty(scores, recent, 2.0), expected)
    small = samplers.repetition_penalty(np.array([0.5, -0.5, 0.0]), np.array([0, 1, 2]), 2.0)
    assert small.tolist() == [0.25, -1.0, 0.0]
    chosen = token_probs(scores, Sampling(temperature=1, repetition_penalty=2.0), recent=recent)
    np.testing.assert_allclose(chosen, samplers.softmax(np.array(expected)))


def test_bias_is_added_first_and_minus_infinity_forbids() -> None:
    bias = np.array([math.log(4), -np.inf, 0, 0, 0])
    expected = np.array([0.4, 0, 0.05, 0.25, 0.2])
    np.testing.assert_allclose(token_probs(LOGITS, Sampling(temperature=1), bias=bias), expected / expected.sum())
    assert token_probs(LOGITS, Sampling(top_k=1), bias=bias).tolist() == [1, 0, 0, 0, 0]


def test_filters_apply_in_the_documented_order() -> None:
    # Top-2 leaves 0.4 and 0.25, that is 0.615 and 0.385, of which top-p 0.6 needs one; the other way round, two.
    assert kept(samplers.top_p(samplers.top_k(LOGITS, 2), 0.6)) == [1]
    assert kept(samplers.top_k(samplers.top_p(LOGITS, 0.6), 2)) == [1, 3]
    assert token_probs(LOGITS, Sampling(temperature=1, top_k=2, top_p=0.6)).tolist() == [0, 1, 0, 0, 0]
    # Temperature comes before top-p: at 0.25 the likeliest alone has 0.83.
    assert np.count_nonzero(token_probs(LOGITS, Sampling(temperature=0.25, top_p=0.8))) == 1


@given(some_logits, some_sampling, st.data())
def test_any_setting_gives_a_distribution_and_leaves_its_input(
    logits: np.ndarray, sampling: Sampling, data: st.DataObject
) -> None:
    recent = data.draw(arrays(np.int64, (len(logits), 4), elements=st.integers(0, logits.shape[1] - 1)))
    bias = np.linspace(-1, 1, logits.shape[1])
    copies = logits.copy(), recent.copy(), bias.copy()
    result = token_probs(logits, sampling, bias=bias, recent=recent)
    np.testing.assert_allclose(result.sum(axis=-1), 1)
    assert (result >= 0).all()
    for now, before in zip((logits, recent, bias), copies, strict=True):
        np.testing.assert_array_equal(now, before)


@given(some_logits, some_sampling)
def test_rows_of_a_batch_do_not_meet(logits: np.ndarray, sampling: Sampling) -> None:
    alone = [token_probs(row, sampling) for row in logits]
    np.testing.assert_array_equal(token_probs(logits, sampling), alone)


@given(some_logits, st.floats(0.01, 0.99))
def test_top_p_reaches_p_and_not_without_its_least_likely(logits: np.ndarray, p: float) -> None:
    for row in logits:
        likelihood = samplers.softmax(row)
        inside = np.isfinite(samplers.top_p(row, p))
        assert likelihood[inside].sum() >= p - 1e-9
        assert likelihood[inside].sum() - likelihood[inside].min() < p + 1e-9
        assert likelihood[inside].min() >= likelihood[~inside].max(initial=0)


def test_draw_inverts_the_cumulative_distribution() -> None:
    distribution = np.array([0.0, 0.5, 0.0, 0.25, 0.25, 0.0])
    uniform = np.array([0.0, 0.49, 0.5, 0.74, 0.75, np.nextafter(1, 0)])
    assert draw(np.tile(distribution, (6, 1)), uniform).tolist() == [1, 1, 3, 3, 4, 4]
    rounded = distribution * (1 - 1e-9)  # sums never are exactly 1
    assert draw(np.tile(rounded, (6, 1)), uniform).tolist() == [1, 1, 3, 3, 4, 4]


@given(arrays(np.float64, 6, elements=st.floats(0, 1)), st.floats(0, 1, exclude_max=True))
def test_draw_never_takes_what_has_no_probability(weights: np.ndarray, uniform: float) -> None:
    weights[3] = 0.5
    assert weights[draw(weights, np.array(uniform))] > 0


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({}, [10, 40, 5, 25, 20]),
        ({"temperature": 0.5}, [100, 1600, 25, 625, 400]),
        ({"top_k": 2}, [0, 40, 0, 25, 0]),
        ({"top_p": 0.84}, [0, 40, 0, 25, 20]),
        ({"min_p": 0.2}, [10, 40, 0, 25, 20]),
        ({"typical": 0.44}, [0, 0, 0, 25, 20]),
        ({"repetition_penalty": 2.0}, [10, 40 / math.sqrt(0.4 * math.e**3), 5, 25 / math.sqrt(0.25 * math.e**3), 20]),
    ],
)
def test_many_draws_follow_the_distribution_of_the_definition(settings: dict[str, Any], weights: list[float]) -> None:
    """The weights are worked out by hand from FIVE; a penalty of 2 on positive logits takes roots."""
    draws = 100_000
    recent = np.tile([1, 3, 1], (draws, 1)) if "repetition_penalty" in settings else None
    chosen = token_probs(np.tile(LOGITS, (draws, 1)), Sampling(**{"temperature": 1.0} | settings), recent=recent)
    uniform = np.random.Generator(np.random.PCG64(5)).random(draws)
    counts = np.bincount(draw(chosen, uniform), minlength=len(FIVE))
    expected = draws * np.array(weights) / sum(weights)
    assert not counts[expected == 0].any()
    possible = expected > 0
    assert chisquare(counts[possible], expected[possible]).pvalue > 0.01


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"temperature": 1e-310}, "temperature"),
        ({"top_k": 0}, "top-k"),
        ({"top_p": 0.0}, "top-p"),
        ({"top_p": 1.1}, "top-p"),
        ({"top_p": math.nan}, "top-p"),
        ({"min_p": -0.1}, "min-p"),
        ({"min_p": 2.0}, "min-p"),
        ({"typical": 0.0}, "typical"),
        ({"repetition_penalty": 0.0}, "repetition penalty"),
        ({"repetition_penalty": math.nan}, "repetition penalty"),
        ({"repetition_penalty": math.inf}, "repetition penalty"),
        ({"repetition_window": 0}, "repetition window"),
        ({"temperature": 0.0, "top_p": 0.9}, "top-p has nothing to choose from"),
        ({"temperature": 0.0, "top_k": 5}, "top-k has nothing to choose from"),
    ],
)
def test_bad_settings_are_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ChargenError, match=rf"\b{named}\b"):
        Sampling(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"temperature": 1e-3}, {"top_k": 1}, {"top_p": 1}, {"min_p": 1}, {"typical": 1}, {"repetition_window": 1}],
)
def test_limits_themselves_are_taken(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        assert getattr(Sampling(**settings), name) == value

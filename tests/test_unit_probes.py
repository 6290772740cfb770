"""Which unit tells what: scores are scikit-learn's, what is planted is found, and nothing is found in noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score, roc_auc_score

from chargen.inspection.passage import Passage
from chargen.inspection.probing import STRETCH, halves, probe, score_of_contexts
from chargen.inspection.properties import PROPERTIES, Property
from chargen.inspection.scores import (
    all_aucs,
    auc,
    average_ranks,
    groups_of,
    interval,
    line_through,
    r2,
    squared_correlations,
)
from chargen.models.units import Unit
from chargen.text.tokenizers.byte import ByteTokenizer
from chargen.text.tokenizers.char import CharTokenizer

NAMED = {wanted.name: wanted for wanted in PROPERTIES}
TOKENS = 8000


@given(seed=st.integers(0, 10**6), levels=st.integers(2, 40))
def test_scores_are_those_of_scikit_learn_also_with_weights(seed: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(levels, size=(60, 3)).astype(np.float64)
    truth = (random.random(60) < 0.4).astype(np.float64)
    truth[:2] = 0, 1
    weights = random.integers(1, 4, size=60).astype(np.float64)
    groups = groups_of(values[:, 0])
    assert auc(groups, truth) == pytest.approx(roc_auc_score(truth, values[:, 0]))
    assert auc(groups, truth, weights) == pytest.approx(roc_auc_score(truth, values[:, 0], sample_weight=weights))
    expected = [roc_auc_score(truth, column) for column in values.T]
    np.testing.assert_allclose(all_aucs(average_ranks(values), truth), expected, rtol=1e-6)
    number = random.normal(size=60)
    assert r2(values[:, 0], number) == pytest.approx(r2_score(number, values[:, 0]))
    assert r2(values[:, 0], number, weights) == pytest.approx(r2_score(number, values[:, 0], sample_weight=weights))
    slope, intercept = line_through(values[:, 0], number)
    fitted = LinearRegression().fit(values[:, :1], number)
    assert (slope, intercept) == pytest.approx((fitted.coef_[0], fitted.intercept_))
    explained = [LinearRegression().fit(values[:, [n]], number).score(values[:, [n]], number) for n in range(3)]
    np.testing.assert_allclose(squared_correlations(values, number), explained, atol=1e-9)


def test_an_interval_holds_the_score_and_is_wider_where_neighbours_are_alike() -> None:
    random = np.random.default_rng(1)
    truth = (np.arange(TOKENS) // 250 % 2).astype(np.float64)
    alone = truth + random.normal(0, 2, TOKENS)
    alike = truth + np.repeat(random.normal(0, 2, TOKENS // 250), 250)
    widths = []
    for values in (alone, alike):
        groups = groups_of(values)
        low, high = interval(lambda weights, own=groups: auc(own, truth, weights), TOKENS)  # type: ignore[misc]
        assert low < auc(groups, truth) < high
        widths.append(high - low)
    assert widths[1] > 3 * widths[0]


def passage_and(values: np.ndarray) -> tuple[Passage, Property]:
    """A text of meaningless characters, and a property that is so where the values (N,) say."""
    tokenizer = CharTokenizer("abcdefgh")
    text = "".join(np.random.default_rng(2).choice([*"abcdefgh"], len(values)))
    passage = Passage.of(tokenizer, [tokenizer.encode(text)])
    is_number = len(np.unique(values)) > 2
    return passage, Property("planted", is_number, lambda text: np.append(values, 0.0))


@pytest.mark.parametrize("is_number", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_unit_is_found_and_nothing_in_noise(is_number: bool, sign: int) -> None:
    random = np.random.default_rng(3)
    runs = np.repeat(random.integers(5 if is_number else 2, size=TOKENS // 20), 20).astype(np.float64)
    passage, wanted = passage_and(runs)
    noise = random.normal(size=(2, TOKENS, 30)).astype(np.float32)
    noise[0, :, 17] += np.float32(sign) * runs
    probed = probe(passage, noise[0], noise[1], units_per_layer=10, wanted=[wanted])
    (found,) = probed.properties
    assert found.best.unit == Unit(1, 7) and found.best.rises == (sign > 0)
    assert found.is_number == is_number and found.is_learned and found.is_remembered
    for chance in (found.untrained.score, found.last_three):
        assert chance < 0.06 if is_number else chance == pytest.approx(0.5, abs=0.06)  # R² may be below 0


def test_random_labels_are_found_neither_in_a_network_nor_in_an_untrained_one() -> None:
    random = np.random.default_rng(4)
    labels = np.repeat(random.integers(2, size=TOKENS // 20), 20).astype(np.float64)
    passage, wanted = passage_and(labels)
    units = random.normal(size=(2, TOKENS, 200)).astype(np.float32).cumsum(axis=1)  # with a memory of their own
    (found,) = probe(passage, units[0], units[1], 200, [wanted]).properties
    assert not found.is_learned
    for told in (found.best, found.untrained):
        assert told.low < 0.5 < told.high


@given(st.integers(0, 5000))
def test_halves_are_all_tokens_and_share_none(tokens: int) -> None:
    first, second = halves(tokens)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(tokens))
    assert abs(len(first) - len(second)) <= STRETCH


def test_what_hardly_occurs_is_left_out_and_said() -> None:
    tokenizer = CharTokenizer('\n "abc')
    text = ("ab cab " * 9 + "\n") * 60
    passage = Passage.of(tokenizer, [tokenizer.encode(text)])
    units = np.random.default_rng(5).normal(size=(len(text), 4)).astype(np.float32)
    probed = probe(passage, units, units, 4)
    assert {left.name for left in probed.left_out} >= {"inside quotes", "digit", "upper case", "bracket depth"}
    assert all(left.why == "nearly always the same in this text" for left in probed.left_out)
    assert {found.name for found in probed.properties} == {"start of a word", "position in line"}
    for few in (30, 1000):  # of one or two stretches of the bootstrap there is no interval
        left_out = probe(passage, units[:few], units[:few], 4).left_out
        assert {left.why for left in left_out} == {"the text is too short"}


def test_three_characters_tell_what_they_tell() -> None:
    text = "".join(np.random.default_rng(6).choice([*"ab"], TOKENS))
    contexts = [text[max(0, end - 3) : end] for end in range(1, TOKENS + 1)]
    third = np.array([len(context) == 3 and context[0] == "a" for context in contexts], np.float64)
    fourth = np.array([end > 3 and text[end - 4] == "a" for end in range(1, TOKENS + 1)], np.float64)
    assert score_of_contexts(contexts, third, is_number=False) > 0.999
    assert score_of_contexts(contexts, fourth, is_number=False) == pytest.approx(0.5, abs=0.05)
    assert score_of_contexts(contexts, third * 3, is_number=True) > 0.99


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("inside quotes", 'x = "a" + f()', "....11......."),
        ("inside quotes", "don't 'a b' it's", "......1111......"),
        ("inside quotes", 'a "b\n\nc"', "........"),
        ("inside quotes", '"""a"\nb""" c', "111111111..."),
        ("inside quotes", "“a b” c", "1111..."),
        ("inside a comment", "a # b\nc // d", "..111...1111"),
        ("inside a comment", "http://a /* b */ c", ".........1111111.."),
        ("inside a tag", "a <b c> d </e>", "..1111....111."),
        ("speaker of a play", "ROMEO:\nO: a\n", "111111......"),
        ("start of a word", "ab, c-d 2", "1...1.1.1"),
        ("upper case", "aBÉ1", ".11."),
        ("digit", "a12b", ".11."),
        ("bracket depth", "a(b[c])]d(\n\ne", "0112210001100"),
        ("position in line", "ab\n\ncd", "120012"),
        ("indentation", "  a b\n\tc\nd", "1222201100"),
    ],
)
def test_properties_of_a_text(name: str, text: str, expected: str) -> None:
    values = NAMED[name].of(text)
    assert "".join(str(int(value)) for value in values) == expected.replace(".", "0")


@given(st.text("ab\"('#\n <>:/*", max_size=60))
def test_every_property_has_a_value_for_every_character(text: str) -> None:
    for wanted in PROPERTIES:
        values = wanted.of(text)
        assert values.shape == (len(text),) and (values >= 0).all()
        assert wanted.is_number or set(values.tolist()) <= {0.0, 1.0}


def test_a_token_has_the_value_of_the_last_character_that_it_completes() -> None:
    tokenizer = ByteTokenizer()
    passage = Passage.of(tokenizer, [tokenizer.encode("aÉ"), tokenizer.encode("7b")])
    assert passage.text == "aÉ\n7b\n" and passage.symbols == ("a", "", "É", "7", "b")
    assert passage.at_tokens(NAMED["upper case"].of(passage.text)).tolist() == [0, 0, 1, 0, 0]
    assert passage.at_tokens(NAMED["digit"].of(passage.text)).tolist() == [0, 0, 0, 1, 0]
    assert list(passage.lines()) == [(0, 3), (3, 5)]

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargen.errors import ChargenError
from chargen.models.ngrams import NgramClassifier
from chargen.text.labelled import LabelledSet
from chargen.text.ngrams import (
    BATCH_CHARACTERS,
    CHARACTERS,
    KIND_BIT,
    WORDS,
    Vocabulary,
    count_ngrams,
    normalise,
    text_batches,
    words_of,
)
from chargen.training.ngrams import HALF_KNOWN, fit_ngrams, refit

texts_ = st.lists(st.text("abcß'_ \n\t!?.一二", max_size=20), max_size=5)


def slowly(text: str) -> tuple[Counter[str], Counter[str]]:
    """The n-grams of characters and of words, one by one."""
    normal = normalise(text)
    characters = Counter(
        gram
        for length in CHARACTERS
        for gram in (normal[start : start + length] for start in range(len(normal) - length + 1))
        if gram.strip() and " " not in gram[1:-1]
    )
    words = [match.span() for match in re.finditer(r"[\w']+|[^\w' ]", normal)]
    pairs = [words[start : start + length] for length in WORDS for start in range(len(words) - length + 1)]
    return characters, Counter(f"{len(pair)} {normal[pair[0][0] : pair[-1][1]]}" for pair in pairs)


@given(texts_)
def test_counts_are_those_of_a_slow_count(texts: list[str]) -> None:
    found = count_ngrams(texts)
    for number, text in enumerate(texts):
        own = found.texts == number
        words = found.buckets[own] >> KIND_BIT == 1
        for kind, grams in ((~words, slowly(text)[0]), (words, slowly(text)[1])):
            assert sorted(found.counts[own][kind]) == sorted(grams.values())


@given(texts_, st.text("ab c", min_size=1, max_size=9))
def test_a_texts_buckets_do_not_depend_on_its_neighbours(before: list[str], text: str) -> None:
    alone, among = count_ngrams([text]), count_ngrams([*before, text, *before])
    own = among.texts == len(before)
    np.testing.assert_array_equal(among.buckets[own], alone.buckets)
    np.testing.assert_array_equal(among.counts[own], alone.counts)


@given(st.lists(st.integers(0, BATCH_CHARACTERS), max_size=6))
def test_portions_are_all_texts_in_order_and_bounded(lengths: list[int]) -> None:
    texts = ["a" * length for length in lengths]
    parts = list(text_batches(texts))
    assert [text for part in parts for text in texts[part]] == texts
    assert all(sum(map(len, texts[part])) <= BATCH_CHARACTERS or part.stop - part.start == 1 for part in parts)


def test_features_are_tf_idf_with_norm_1_for_words_and_for_characters() -> None:
    counts = count_ngrams(["a b", "a a c"])
    vocabulary = Vocabulary.of([counts], 2, min_texts=1, max_size=1000)
    texts, features, values = vocabulary.features(counts)
    words = vocabulary.buckets[features] >> KIND_BIT == 1
    for number in (0, 1):
        for kind in (words, ~words):
            assert np.square(values[(texts == number) & kind]).sum() == pytest.approx(1, abs=1e-5)
    # Words of the first text: `a`, which both texts have, `b` and `a b`, which it alone has.
    rare = np.log(3 / 2) + 1
    expected = np.array([1, rare, rare]) / np.sqrt(1 + 2 * rare**2)
    np.testing.assert_allclose(np.sort(values[(texts == 0) & words]), np.sort(expected), rtol=1e-5)


def test_a_vocabulary_keeps_what_most_texts_have() -> None:
    counts = count_ngrams(["xa", "xb", "xc yd"])
    everything = Vocabulary.of([counts], 3, min_texts=1, max_size=1000)
    common = Vocabulary.of([counts], 3, min_texts=2, max_size=1000)
    assert 0 < len(common.buckets) < len(everything.buckets)
    assert set(Vocabulary.of([counts], 3, min_texts=1, max_size=2).buckets) <= set(common.buckets)


def labelled(count: int, seed: int = 0) -> LabelledSet:
    draw = np.random.default_rng(seed)
    labels = draw.choice(["pos", "neg", "so-so"], count).tolist()
    words = {"pos": "good", "neg": "bad", "so-so": "fair"}
    return LabelledSet([f"{words[label]} {draw.integers(99)}" for label in labels], labels)


def test_fitted_n_grams_tell_labels_apart_and_come_back_from_their_arrays() -> None:
    train, held_out = labelled(60), labelled(20, seed=1)
    classifier = fit_ngrams(train, held_out, train.label_names)
    logits = classifier.logits(held_out.texts)
    assert [train.label_names[i] for i in logits.argmax(-1)] == held_out.labels
    again = NgramClassifier.of(classifier.arrays(), 3)
    np.testing.assert_array_equal(again.logits(held_out.texts), logits)
    one_by_one = np.concatenate([classifier.logits([text]) for text in held_out.texts])
    np.testing.assert_allclose(one_by_one, logits, rtol=1e-5)
    np.testing.assert_allclose(classifier.logits(["", "Ω"]), np.tile(classifier.bias, (2, 1)))


def test_fitting_again_to_the_same_texts_changes_nothing_and_to_more_it_does() -> None:
    train, held_out = labelled(60), labelled(20, seed=1)
    classifier = fit_ngrams(train, held_out, train.label_names)
    again = refit(classifier, train, train.label_names)
    np.testing.assert_array_equal(again.weight, classifier.weight)
    assert again.strange == classifier.strange > 0
    assert fit_ngrams(train, train, train.label_names).strange == HALF_KNOWN  # all n-grams are known there
    both = LabelledSet(train.texts + held_out.texts, train.labels + held_out.labels)
    assert len(refit(classifier, both, train.label_names).vocabulary.buckets) > len(classifier.vocabulary.buckets)


def test_two_labels_have_opposite_logits() -> None:
    train = LabelledSet(["good a", "bad b", "good c", "bad d"], ["pos", "neg", "pos", "neg"])
    classifier = fit_ngrams(train, train, ["neg", "pos"])
    logits = classifier.logits(["good", "bad"])
    np.testing.assert_allclose(logits[:, 0], -logits[:, 1], rtol=1e-3)
    assert logits[0, 1] > 0 > logits[1, 1]


def test_balanced_labels_weigh_the_same_however_many_texts_they_have() -> None:
    train = LabelledSet([f"a {i}" for i in range(97)] + ["a b"] * 3, ["common"] * 97 + ["rare"] * 3)
    plain, balanced = (
        fit_ngrams(train, train, train.label_names, balance=balance).logits(["a"])[0] for balance in (False, True)
    )
    assert balanced[1] - balanced[0] > plain[1] - plain[0] + 1


def test_damaged_n_grams_are_refused() -> None:
    train = labelled(20)
    arrays = fit_ngrams(train, train, train.label_names).arrays()
    with pytest.raises(
        ChargenError, match=r"weight of the n-grams has shape \(\d+, 3\) of float32, not \(\d+, 2\) of float32"
    ):
        NgramClassifier.of(arrays, 2)
    with pytest.raises(ChargenError, match="the n-grams lack 'bias'"):
        NgramClassifier.of({name: array for name, array in arrays.items() if name != "bias"}, 3)
    for name, array, problem in (
        ("buckets", arrays["buckets"][::-1].copy(), "not sorted by their hashes"),
        ("weight", arrays["weight"].astype(np.float16), "of float16, not"),
        ("bias", np.full(3, np.nan, np.float32), "bias of the n-grams is not finite"),
        ("strange", np.array([2], np.float32), "impossible numbers"),
    ):
        with pytest.raises(ChargenError, match=problem):
            NgramClassifier.of(arrays | {name: array}, 3)


def test_words_are_in_lower_case_without_signs() -> None:
    assert words_of("Don't stop: GO_1!") == ["don't", "stop", "go_1"]

"""Why a label: laws of spans left out, and n-grams found again behind their hashes."""

from __future__ import annotations

from collections.abc import Sequence

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargen.classification.explaining import explain, spans_of, strongest_ngrams, without_each
from chargen.cli.showing import colour_explanation, strongest_spans
from chargen.models.ngrams import NgramClassifier
from chargen.text.labelled import LabelledSet
from chargen.text.ngrams import BATCH_CHARACTERS, Vocabulary, count_ngrams
from chargen.training.ngrams import fit_ngrams

WEIGHTS = {"good": 2.0, "poor": -3.0}  # of words, in the log-odds of label 0


def logits(texts: Sequence[str]) -> np.ndarray:
    """A classifier whose log-odds are a sum over words."""
    odds = [sum(WEIGHTS.get(word, 0.0) for word in text.split()) + 0.5 for text in texts]
    return np.array([[value, 0.0] for value in odds])


@given(st.text("ab \n\t́😀", max_size=30), st.integers(1, 5))
def test_spans_joined_are_the_text_and_are_few(text: str, most: int) -> None:
    spans = spans_of(text, most)
    assert "".join(spans) == text and len(spans) <= most
    assert all(spans)
    assert len(list(without_each(spans))) == len(spans)


def test_spans_are_words_or_the_characters_of_one_word() -> None:
    assert spans_of(" so  good\n") == [" so  ", "good\n"]
    assert spans_of(" ábc ") == [" á", "b", "c "]
    assert list(without_each(["so ", "good"])) == ["good", "so"]
    assert spans_of("") == [] and spans_of(" \n") == [" \n"]
    assert list(map(len, spans_of("ab " * 10, 4))) == [6, 9, 6, 9]


def test_weights_are_what_the_chosen_labels_log_odds_lose() -> None:
    texts = ["so good it is", "poor", "good poor good poor", ""]
    first, second, third, nothing = explain(logits, texts)
    assert [span for span, _ in first] == ["so ", "good ", "it ", "is"]
    np.testing.assert_allclose([weight for _, weight in first], [0, 2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(
        [weight for _, weight in second], [3] * 4
    )  # of label 1, which any character takes away
    np.testing.assert_allclose([weight for _, weight in third], [-2, 3, -2, 3])
    assert nothing == []


def test_many_texts_are_read_in_batches_that_are_bounded() -> None:
    sizes = []

    def counted(texts: Sequence[str]) -> np.ndarray:
        sizes.append(sum(map(len, texts)))
        return logits(texts)

    texts = ["good " + "x " * 5000, "poor y"] * 3
    found = explain(counted, texts, most=100)
    assert len(sizes) > 1 and max(sizes) <= BATCH_CHARACTERS
    assert found == [explain(logits, [text], most=100)[0] for text in texts]


@pytest.fixture(scope="module")
def fitted() -> tuple[NgramClassifier, LabelledSet]:
    words = {"pos": "good", "neg": "poor"}
    rows = [(f"the film {n % 7} is {word}, {n % 5}", label) for n in range(40) for label, word in words.items()]
    train = LabelledSet([text for text, _ in rows], [label for _, label in rows])
    return fit_ngrams(train, train, train.label_names), train


def test_the_strongest_n_grams_tell_labels_apart(fitted: tuple[NgramClassifier, LabelledSet]) -> None:
    classifier, train = fitted
    found = dict(zip(train.label_names, strongest_ngrams(classifier, train.texts, most=4), strict=True))
    for label, word in (("pos", "good"), ("neg", "poor")):
        texts = [ngram.text for ngram in found[label]]
        assert texts[0] in (word, f"is {word}", f"{word},") and len(texts) <= 4
        assert found[label][0].texts == 40
        assert all(ngram.weight > 0 for ngram in found[label])
        assert not any(one.strip() in other for other in texts for one in texts[texts.index(other) + 1 :])
    assert strongest_ngrams(classifier, ["Ω"]) == [[], []]


def test_what_all_texts_have_alike_is_not_strong() -> None:
    texts = ["a x", "a y"]
    vocabulary = Vocabulary.of([count_ngrams(texts)], 2, min_texts=1, max_size=1000)
    weight = np.tile(np.array([1, -1], np.float32), (len(vocabulary.buckets), 1))
    classifier = NgramClassifier(vocabulary, weight, np.zeros(2, np.float32))
    first, second = strongest_ngrams(classifier, texts, most=2)
    assert [ngram.texts for ngram in first] == [1, 1] and second == []


def test_an_irrelevant_word_hardly_weighs(fitted: tuple[NgramClassifier, LabelledSet]) -> None:
    why = dict(explain(fitted[0].logits, ["film film film good , film"])[0])
    assert why["good "] > 10 * abs(why["film"])


def test_colours_and_lists_show_the_same() -> None:
    why = [("so\n", 0.001), ("good ", 2.0), ("bad", -1.0)]
    assert click.unstyle(colour_explanation(why)) == r"so\ngood bad"
    assert colour_explanation(why).count("\x1b[0m") == 2
    assert strongest_spans(why) == ["+2.00 good", "-1.00 bad"]
    assert colour_explanation([("so", 0.01)]) == "so" and colour_explanation([]) == ""

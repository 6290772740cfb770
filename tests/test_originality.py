"""Copied runs against a plain search of every substring."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargen.errors import ChargenError
from chargen.evaluation.originality import originality


def plain(text: str, training: str, length: int) -> tuple[list[bool], int]:
    """Which characters are copied, and the length of the longest run."""
    copied, longest = [False] * len(text), 0
    for start in range(len(text)):
        for end in range(start + length, len(text) + 1):
            if text[start:end] in training:
                copied[start:end] = [True] * (end - start)
                longest = max(longest, end - start)
    return copied, longest


@given(
    st.text("ab", max_size=25),
    st.text("ab", max_size=60),
    st.integers(1, 9),
    st.integers(1, 60),
)
def test_it_is_the_plain_search(text: str, training: str, length: int, block: int) -> None:
    blocks = [training[start : start + block] for start in range(0, len(training), block)]
    (found,) = originality([text], blocks, length)
    copied, longest = plain(text, training, length)
    assert found.copied.tolist() == copied
    start, end = found.longest
    assert end - start == longest
    assert text[start:end] in training


@given(st.lists(st.text("ab", max_size=12), max_size=5), st.text("ab", max_size=60), st.integers(1, 5))
def test_several_texts_are_each_on_their_own(texts: list[str], training: str, length: int) -> None:
    for found, text in zip(originality(texts, [training], length), texts, strict=True):
        (alone,) = originality([text], [training], length)
        assert found.copied.tolist() == alone.copied.tolist()
        assert found.longest == alone.longest


def test_text_outside_ascii_counts_in_characters() -> None:
    (found,) = originality(["xx Größe 漢字 yy"], ["die Größe 漢字 !"], 5)
    start, end = found.longest
    assert (start, end) == (2, 12)
    assert found.fraction == pytest.approx(10 / 14)


def test_a_run_is_of_one_place_not_stitched_from_two() -> None:
    (found,) = originality(["abcdefgh"], ["abcdef....", "cdefgh"], 4)
    assert found.copied.all()
    assert found.longest[1] - found.longest[0] == 6


def test_repetition_in_both_texts_takes_no_longer() -> None:
    """Every place matches every other here, so that comparing all pairs would be 10 ** 10 comparisons."""
    (found,) = originality([" " * 100_000], [" " * 50_000] * 2, 20)
    assert found.longest == (0, 100_000)


def test_texts_too_short_are_original() -> None:
    assert originality(["abc"], ["abc" * 50], 20)[0].fraction == 0
    assert originality([""], [], 1)[0].fraction == 0
    assert originality([], ["abc"], 1) == []


def test_a_length_of_nothing_is_refused() -> None:
    with pytest.raises(ChargenError, match="at least 1 character"):
        originality(["abc"], ["abc"], 0)

"""N-grams of words and of characters: what a text is made of, whatever its order.

A span of a text gets its hash from two entries of one running sum (a polynomial hash, Karp & Rabin 1987), so that all
n-grams of many texts are hashed by a few NumPy operations. A few bits of the hash are the n-gram's bucket (feature
hashing, Weinberger et al. 2009, arXiv:0902.2206): no n-gram is stored, and memory is bounded.

Shapes: N texts, C characters, M n-grams found, F features.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chargen.text.code_points import code_points

CHARACTERS = range(1, 6)  # lengths of n-grams of characters, which do not cross the edges of words
WORDS = range(1, 3)  # lengths of n-grams of words
BUCKET_BITS = 22  # the highest one tells words from characters
KIND_BIT = BUCKET_BITS - 1
BATCH_CHARACTERS = 1 << 18  # characters that are hashed together
LONGEST = 1 << 20  # characters of a text that are read

BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
INVERSE = pow(BASE, -1, 1 << 64)
SPREAD = 0xD6E8FEB86659FD93
SPACE = ord(" ")
Ints = npt.NDArray[np.signedinteger]
Floats = npt.NDArray[np.float32]


class Spans(NamedTuple):
    """N-grams of one length: each from `starts` to before `ends` in texts laid end to end."""

    starts: Ints  # (M,)
    ends: Ints  # (M,)
    words: bool  # of words, not of characters
    length: int


class Counts(NamedTuple):
    """How often each n-gram occurs in each text, by text, then by bucket."""

    texts: Ints  # (M,)
    buckets: Ints  # (M,)
    counts: Ints  # (M,)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The buckets that count, and how rare each is."""

    buckets: npt.NDArray[np.int32]  # (F,), ascending
    idf: Floats  # (F,): inverse document frequency

    @classmethod
    def of(cls, counts: Sequence[Counts], texts: int, min_texts: int, max_size: int) -> Vocabulary:
        """The `most` buckets that most of the `texts` have, of those that at least `least` have."""
        found = np.zeros(1 << BUCKET_BITS, np.int32)
        for part in counts:
            found += np.bincount(part.buckets, minlength=len(found)).astype(np.int32)
        frequent = np.flatnonzero(found >= min_texts)
        if len(frequent) > max_size:
            frequent = np.sort(frequent[np.argsort(-found[frequent], kind="stable")[:max_size]])
        idf = np.log((1 + texts) / (1 + found[frequent])) + 1
        return cls(frequent.astype(np.int32), idf.astype(np.float32))

    def features(self, counts: Counts) -> tuple[Ints, Ints, Floats]:
        """The text (M,), feature (M,) and value (M,) of the n-grams that are in the vocabulary: TF-IDF.

        Counts enter by their logarithm. The features of words and those of characters each have norm 1 in a text.
        """
        features, known = self._find(counts.buckets)
        texts, features = counts.texts[known], features[known]
        values = (1 + np.log(counts.counts[known])) * self.idf[features]
        kinds = 2 * texts + (self.buckets[features] >> KIND_BIT)
        norms = np.sqrt(np.bincount(kinds, values**2))
        return texts, features, (values / norms[kinds]).astype(np.float32)

    def familiarity(self, counts: Counts, texts: int) -> Floats:
        """The share (N,) of each text's n-grams that are in the vocabulary; 0 for a text without any."""
        _, known = self._find(counts.buckets)
        found = np.bincount(counts.texts, counts.counts * known, texts)
        every = np.bincount(counts.texts, counts.counts, texts)
        return (found / np.maximum(every, 1)).astype(np.float32)

    def _find(self, buckets: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """The feature (M,) of each of the buckets (M,), and whether it has one; a wrong one where it has none."""
        if not len(self.buckets):
            return np.zeros(len(buckets), np.int64), np.zeros(len(buckets), bool)
        features = np.searchsorted(self.buckets, buckets)
        features[features == len(self.buckets)] = 0
        return features, self.buckets[features] == buckets


def count_ngrams(texts: Sequence[str]) -> Counts:
    """The n-grams of texts.

    >>> found = count_ngrams(["aa", ""])  # "aa" the word, "a" twice, " a", "a ", " aa", "aa", "aa ", " aa "
    >>> sorted(found.counts.tolist()), set(found.texts.tolist())
    ([1, 1, 1, 1, 1, 1, 1, 2], {0})
    """
    characters, owners = lay_out(texts)
    spans = list(find_spans(characters, owners))
    keys = np.concatenate(
        [
            owners[part.starts] << BUCKET_BITS | bucket.astype(np.int64)
            for part, bucket in zip(spans, buckets_of(characters, spans), strict=True)
        ]
    )
    keys, counts = np.unique(keys, return_counts=True)
    buckets = keys & ((1 << BUCKET_BITS) - 1)
    return Counts((keys >> BUCKET_BITS).astype(np.int32), buckets.astype(np.int32), counts.astype(np.int32))


def text_batches(texts: Sequence[str]) -> Iterator[slice]:
    """Slices of the texts, in order, each short enough to be counted at once."""
    start = characters = 0
    for stop, text in enumerate(texts):
        if stop > start and characters + len(text) > BATCH_CHARACTERS:
            yield slice(start, stop)
            start, characters = stop, 0
        characters += min(len(text), LONGEST)
    if start < len(texts):
        yield slice(start, len(texts))


def lay_out(texts: Sequence[str]) -> tuple[np.ndarray, Ints]:
    """Texts, normalised, end to end: code points (C,), and the number (C,) of the text that each is of."""
    normal = [normalise(text) for text in texts]
    characters = code_points("".join(normal))
    return characters, np.repeat(np.arange(len(normal)), [len(text) for text in normal])


def normalise(text: str) -> str:
    r"""A text as n-grams see it: in lower case, its words one space apart, a space at both ends.

    >>> normalise("Two\tWords")
    ' two words '
    """
    return f" {' '.join(text[:LONGEST].lower().split())} "


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without other signs.

    >>> words_of("Don't stop: go!")
    ["don't", 'stop', 'go']
    """
    return re.findall(r"[\w']+", text.lower())


def find_spans(characters: np.ndarray, owners: Ints) -> Iterator[Spans]:
    """All n-grams of normalised texts, given as code points (C,) and the text (C,) that each is of."""
    spaces = np.concatenate([[0], np.cumsum(characters == SPACE)])  # before each place
    for length in CHARACTERS:
        starts = np.arange(max(0, len(characters) - length + 1))
        ends = starts + length
        # A space may be the first or the last of an n-gram, where it marks the edge of a word, but not all of it.
        inner = slice(1, -1) if length > 2 else slice(0, None)
        first, last = starts + (inner.start or 0), ends + (inner.stop or 0)
        fits = (owners[starts] == owners[ends - 1]) & (spaces[last] - spaces[first] <= (length == 2))
        yield Spans(starts[fits], ends[fits], False, length)
    starts, ends = _words(characters, owners)
    for length in WORDS:
        first, last = starts[: max(0, len(starts) - length + 1)], ends[length - 1 :]
        fits = owners[first] == owners[last - 1]
        yield Spans(first[fits], last[fits], True, length)


def buckets_of(characters: np.ndarray, spans: Sequence[Spans]) -> Iterator[npt.NDArray[np.uint64]]:
    """The bucket of each span: equal for equal characters, wherever they stand."""
    total = len(characters)
    powers, inverses = np.ones(total + 1, np.uint64), np.ones(total + 1, np.uint64)
    powers[1:] = np.cumprod(np.full(total, BASE, np.uint64))
    inverses[1:] = np.cumprod(np.full(total, INVERSE, np.uint64))
    sums = np.zeros(total + 1, np.uint64)
    sums[1:] = np.cumsum((characters.astype(np.uint64) + np.uint64(1)) * np.uint64(SPREAD) * powers[:-1])
    for part in spans:
        hashes = (sums[part.ends] - sums[part.starts]) * inverses[part.starts]
        hashes = _mix(hashes + np.uint64(2 * part.length + part.words))
        yield (hashes >> np.uint64(64 - KIND_BIT)) | np.uint64(part.words << KIND_BIT)


def _mix(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Hashes each of whose bits depends on all (the end of SplitMix64, Steele et al. 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(factor)
    return hashes ^ (hashes >> np.uint64(31))


def _words(characters: np.ndarray, owners: Ints) -> tuple[Ints, Ints]:
    """Where words begin and end: runs of letters, digits, `_` and `'`; any other sign is a word of its own."""
    signs, place = np.unique(characters, return_inverse=True)
    kinds = np.array([_kind(chr(sign)) for sign in signs], np.int8)[place]
    begins = np.ones(len(characters), bool)
    begins[1:] = (kinds[1:] != kinds[:-1]) | (kinds[1:] == 2) | (owners[1:] != owners[:-1])
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(characters))
    words = kinds[starts] > 0
    return starts[words], ends[words]


def _kind(sign: str) -> int:
    return 0 if sign == " " else 1 if sign.isalnum() or sign in "_'" else 2

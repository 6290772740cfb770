"""N-grams of words and characters, hashed into buckets.

The hash of a span is computed from two entries of one running sum (a polynomial hash, Karp & Rabin 1987), so a few
NumPy operations hash all n-grams of many texts. Some bits of the hash are the n-gram's bucket (feature hashing,
Weinberger et al. 2009, arXiv:0902.2206): no n-gram is stored, and memory is bounded.

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

CHARACTERS = range(1, 6)  # lengths of character n-grams, which stay within a word
WORDS = range(1, 3)  # lengths of word n-grams
BUCKET_BITS = 22  # the highest bit tells words from characters
KIND_BIT = BUCKET_BITS - 1
BATCH_CHARACTERS = 1 << 18  # characters hashed together
MAX_TEXT = 1 << 20  # characters read of a text

BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
BASE_INVERSE = pow(BASE, -1, 1 << 64)
SPREAD = 0xD6E8FEB86659FD93
SPACE = ord(" ")
Ints = npt.NDArray[np.signedinteger]
Floats = npt.NDArray[np.float32]


class Spans(NamedTuple):
    """All n-grams of one length in concatenated texts."""

    starts: Ints  # (M,)
    ends: Ints  # (M,), exclusive
    words: bool  # n-grams of words, not of characters
    length: int


class Counts(NamedTuple):
    """How often each n-gram occurs in each text, sorted by text, then by bucket."""

    texts: Ints  # (M,)
    buckets: Ints  # (M,)
    counts: Ints  # (M,)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The buckets that are features, with their inverse document frequencies."""

    buckets: npt.NDArray[np.int32]  # (F,), ascending
    idf: Floats  # (F,)

    @classmethod
    def of(cls, counts: Sequence[Counts], texts: int, min_texts: int, max_size: int) -> Vocabulary:
        """Choose the buckets that occur in the most texts.

        Args:
            counts: Of the texts, in parts.
            texts: Number of texts.
            min_texts: Texts that a bucket must occur in.
            max_size: Limit on the number of buckets.

        >>> counts = count_ngrams(["to", "to do"])
        >>> len(Vocabulary.of([counts], 2, min_texts=2, max_size=100).buckets)  # those of "to"
        9
        """
        found = np.zeros(1 << BUCKET_BITS, np.int32)
        for part in counts:
            found += np.bincount(part.buckets, minlength=len(found)).astype(np.int32)
        frequent = np.flatnonzero(found >= min_texts)
        if len(frequent) > max_size:
            frequent = np.sort(frequent[np.argsort(-found[frequent], kind="stable")[:max_size]])
        idf = np.log((1 + texts) / (1 + found[frequent])) + 1
        return cls(frequent.astype(np.int32), idf.astype(np.float32))

    def features(self, counts: Counts) -> tuple[Ints, Ints, Floats]:
        """Compute TF-IDF, with logarithmic counts; in each text, word and character features each have norm 1.

        Returns:
            Text (M,), feature (M,) and value (M,) of each n-gram in the vocabulary.
        """
        features, known = self._find(counts.buckets)
        texts, features = counts.texts[known], features[known]
        values = (1 + np.log(counts.counts[known])) * self.idf[features]
        kinds = 2 * texts + (self.buckets[features] >> KIND_BIT)
        norms = np.sqrt(np.bincount(kinds, values**2))
        return texts, features, (values / norms[kinds]).astype(np.float32)

    def familiarity(self, counts: Counts, texts: int) -> Floats:
        """The fraction (N,) of each text's n-grams that are in the vocabulary; 0 for a text without n-grams."""
        _, known = self._find(counts.buckets)
        found = np.bincount(counts.texts, counts.counts * known, texts)
        totals = np.bincount(counts.texts, counts.counts, texts)
        return (found / np.maximum(totals, 1)).astype(np.float32)

    def _find(self, buckets: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """The feature (M,) of each bucket (M,), and whether (M,) it has one; if not, the feature is arbitrary."""
        if not len(self.buckets):
            return np.zeros(len(buckets), np.int64), np.zeros(len(buckets), bool)
        features = np.searchsorted(self.buckets, buckets)
        features[features == len(self.buckets)] = 0
        return features, self.buckets[features] == buckets


def count_ngrams(texts: Sequence[str]) -> Counts:
    """Count the n-grams of each text.

    >>> found = count_ngrams(["aa", ""])  # "aa" the word, "a" twice, " a", "a ", " aa", "aa", "aa ", " aa "
    >>> sorted(found.counts.tolist()), set(found.texts.tolist())
    ([1, 1, 1, 1, 1, 1, 1, 2], {0})
    """
    characters, text_indices = concatenate(texts)
    spans = list(find_spans(characters, text_indices))
    keys = np.concatenate(
        [
            text_indices[part.starts] << BUCKET_BITS | bucket.astype(np.int64)
            for part, bucket in zip(spans, buckets_of(characters, spans), strict=True)
        ]
    )
    keys, counts = np.unique(keys, return_counts=True)
    buckets = keys & ((1 << BUCKET_BITS) - 1)
    return Counts((keys >> BUCKET_BITS).astype(np.int32), buckets.astype(np.int32), counts.astype(np.int32))


def text_batches(texts: Sequence[str]) -> Iterator[slice]:
    """Yield slices of the texts, in order, each short enough to be counted at once.

    >>> list(text_batches(["short", "texts"]))
    [slice(0, 2, None)]
    """
    start = characters = 0
    for stop, text in enumerate(texts):
        if stop > start and characters + len(text) > BATCH_CHARACTERS:
            yield slice(start, stop)
            start, characters = stop, 0
        characters += min(len(text), MAX_TEXT)
    if start < len(texts):
        yield slice(start, len(texts))


def concatenate(texts: Sequence[str]) -> tuple[np.ndarray, Ints]:
    """Normalise texts and join them.

    Returns:
        Code points (C,), and the index (C,) of the text that each belongs to.

    >>> concatenate(["A", ""])[1].tolist()  # " a " and two spaces
    [0, 0, 0, 1, 1]
    """
    normal = [normalise(text) for text in texts]
    characters = code_points("".join(normal))
    return characters, np.repeat(np.arange(len(normal)), [len(text) for text in normal])


def normalise(text: str) -> str:
    r"""Lower the case, put one space between words and one at both ends.

    >>> normalise("Two\tWords")
    ' two words '
    """
    return f" {' '.join(text[:MAX_TEXT].lower().split())} "


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    >>> words_of("Don't stop: go!")
    ["don't", 'stop', 'go']
    """
    return re.findall(r"[\w']+", text.lower())


def find_spans(characters: np.ndarray, text_indices: Ints) -> Iterator[Spans]:
    """Find all n-grams of concatenated texts.

    Args:
        characters: Code points (C,) of normalised texts.
        text_indices: Text (C,) that each belongs to.

    Yields:
        The n-grams of each length, first of characters, then of words.
    """
    spaces = np.concatenate([[0], np.cumsum(characters == SPACE)])  # before each index
    for length in CHARACTERS:
        starts = np.arange(max(0, len(characters) - length + 1))
        ends = starts + length
        # A space may begin or end an n-gram, marking the edge of a word, but an n-gram is not all space.
        inner = slice(1, -1) if length > 2 else slice(0, None)
        first, last = starts + (inner.start or 0), ends + (inner.stop or 0)
        fits = (text_indices[starts] == text_indices[ends - 1]) & (spaces[last] - spaces[first] <= (length == 2))
        yield Spans(starts[fits], ends[fits], False, length)
    starts, ends = _words(characters, text_indices)
    for length in WORDS:
        first, last = starts[: max(0, len(starts) - length + 1)], ends[length - 1 :]
        fits = text_indices[first] == text_indices[last - 1]
        yield Spans(first[fits], last[fits], True, length)


def buckets_of(characters: np.ndarray, spans: Sequence[Spans]) -> Iterator[npt.NDArray[np.uint64]]:
    """Yield the bucket (M,) of each span; spans with the same characters have the same bucket.

    Args:
        characters: Code points (C,).
        spans: N-grams, as `find_spans` yields them.
    """
    total = len(characters)
    powers, inverses = np.ones(total + 1, np.uint64), np.ones(total + 1, np.uint64)
    powers[1:] = np.cumprod(np.full(total, BASE, np.uint64))
    inverses[1:] = np.cumprod(np.full(total, BASE_INVERSE, np.uint64))
    sums = np.zeros(total + 1, np.uint64)
    sums[1:] = np.cumsum((characters.astype(np.uint64) + np.uint64(1)) * np.uint64(SPREAD) * powers[:-1])
    for part in spans:
        hashes = (sums[part.ends] - sums[part.starts]) * inverses[part.starts]
        hashes = _mix(hashes + np.uint64(2 * part.length + part.words))
        yield (hashes >> np.uint64(64 - KIND_BIT)) | np.uint64(part.words << KIND_BIT)


def _mix(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix hashes so that each bit depends on all others (the end of SplitMix64, Steele et al. 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(factor)
    return hashes ^ (hashes >> np.uint64(31))


def _words(characters: np.ndarray, text_indices: Ints) -> tuple[Ints, Ints]:
    """Starts and ends of words: runs of letters, digits, `_` and `'`; any other character is a word of its own."""
    codes, inverse = np.unique(characters, return_inverse=True)
    kinds = np.array([_kind(chr(character)) for character in codes], np.int8)[inverse]
    begins = np.ones(len(characters), bool)
    begins[1:] = (kinds[1:] != kinds[:-1]) | (kinds[1:] == 2) | (text_indices[1:] != text_indices[:-1])
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(characters))
    words = kinds[starts] > 0
    return starts[words], ends[words]


def _kind(character: str) -> int:
    """0 for a space, 1 for a character of a word, 2 for any other."""
    return 0 if character == " " else 1 if character.isalnum() or character in "_'" else 2

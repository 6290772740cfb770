"""Explain a classifier: the parts of a text that speak for its label, and the strongest n-grams of each label.

Shapes: K labels, F features.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chargen.evaluation.calibration import log_odds
from chargen.models.ngrams import NgramClassifier
from chargen.text.ngrams import (
    BATCH_CHARACTERS,
    BUCKET_BITS,
    buckets_of,
    concatenate,
    count_ngrams,
    find_spans,
    text_batches,
)

MAX_SPANS = 200  # per text: the classifier reads the text once for each
STRONGEST = 10  # n-grams per label
CANDIDATES = 10  # per n-gram shown, since parts of stronger n-grams are dropped
OCCURRENCES = 25  # of a bucket, whose most frequent n-gram names it

Explanation = list[tuple[str, float]]  # the spans of a text, and how much each speaks for its label
Logits = Callable[[Sequence[str]], npt.NDArray[np.floating]]  # N texts to logits (N, K)


class Ngram(NamedTuple):
    """An n-gram of words or characters; a space at its start or end is the edge of a word."""

    text: str
    weight: float
    texts: int  # number of texts that have it


def explain(logits: Logits, texts: Sequence[str], most: int = MAX_SPANS) -> list[Explanation]:
    """Measure how much each part of a text speaks for its most likely label, by leaving it out.

    Zeiler & Fergus 2014, arXiv:1311.2901, did the same with parts of images.

    Args:
        logits: The classifier.
        texts: Each is classified once as it is, and once without each of its parts.
        most: Limit on the parts of a text; see `spans_of`.

    Returns:
        The spans of each text, which joined give the text. Each has the log-odds of the label that the text loses
        without it: above 0 if it speaks for the label, below 0 if against.
    """
    spans = [spans_of(text, most) for text in texts]
    variants = (variant for text, own in zip(texts, spans, strict=True) for variant in (text, *without_each(own)))
    rows = iter([row for part in _batches(variants) for row in logits(part)])
    found: list[Explanation] = []
    for own in spans:
        whole = next(rows)
        label = int(whole.argmax())
        odds = float(log_odds(whole, label))
        found.append([(span, odds - float(log_odds(next(rows), label))) for span in own])
    return found


def spans_of(text: str, most: int = MAX_SPANS) -> list[str]:
    """Cut a text into words, or a single word into characters; white space stays with what precedes it.

    Args:
        text: The text.
        most: Limit on the number of spans; neighbours are joined to keep it.

    >>> spans_of("so good!")
    ['so ', 'good!']
    >>> spans_of("good")
    ['g', 'o', 'o', 'd']
    """
    parts = re.findall(r"\s*\S+\s*", text)
    if len(parts) == 1:
        parts = _characters(text)
    if not parts:
        return [text] if text else []
    bounds = np.linspace(0, len(parts), min(len(parts), most) + 1).astype(int).tolist()
    return ["".join(parts[start:stop]) for start, stop in pairwise(bounds)]


def _characters(text: str) -> list[str]:
    """The characters of a text, each with the combining marks and white space after it."""
    parts: list[str] = []
    for part in re.findall(r"\s*\S\s*", text):
        if parts and unicodedata.category(part[0]) in ("Mn", "Mc", "Me", "Cf"):
            parts[-1] += part
        else:
            parts.append(part)
    return parts


def without_each(spans: Sequence[str]) -> Iterator[str]:
    """Yield the text without its first span, without its second, and so on; trailing white space is stripped.

    >>> list(without_each(["so ", "good"]))
    ['good', 'so']
    """
    for number in range(len(spans)):
        rest = "".join((*spans[:number], *spans[number + 1 :]))
        yield rest.rstrip() if number == len(spans) - 1 else rest


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Batch texts in order, each batch short enough to be classified at once."""
    part: list[str] = []
    characters = 0
    for text in texts:
        if part and characters + len(text) > BATCH_CHARACTERS:
            yield part
            part, characters = [], 0
        part.append(text)
        characters += len(text) + 1
    if part:
        yield part


def strongest_ngrams(classifier: NgramClassifier, texts: Sequence[str], most: int = STRONGEST) -> list[list[Ngram]]:
    """Find the n-grams that speak most for each label in these texts.

    Strength is the weight times the standard deviation of the n-gram's value: an n-gram that all texts have, such as
    an `e`, distinguishes none, and a rare one affects few. Parts of stronger n-grams are dropped. The classifier
    knows only hashes, so only n-grams of these texts can be found.

    Args:
        classifier: The n-gram classifier.
        texts: Where to look for n-grams.
        most: N-grams per label.

    Returns:
        For each of the K labels its n-grams, strongest first.
    """
    vocabulary = classifier.vocabulary
    frequency, sums, squares = np.zeros((3, len(vocabulary.buckets)))  # (F,) each
    for part in text_batches(texts):
        _, features, values = vocabulary.features(count_ngrams(texts[part]))
        for total, weights in ((frequency, None), (sums, values), (squares, values**2)):
            total += np.bincount(features, weights, len(total))
    deviation = np.sqrt(np.maximum(squares / len(texts) - (sums / len(texts)) ** 2, 0))
    ranked: list[list[int]] = []  # features of each label
    for weight in classifier.weight.T:
        strength = weight * deviation
        first = np.argsort(-strength, kind="stable")[: CANDIDATES * most]
        ranked.append(first[strength[first] > 0].tolist())
    names = _names(texts, vocabulary.buckets[sorted({feature for own in ranked for feature in own})])
    found = []
    for label, own in enumerate(ranked):
        kept: list[Ngram] = []
        for feature in own:
            text = names[int(vocabulary.buckets[feature])]
            if len(kept) < most and not any(text.strip() in stronger.text for stronger in kept):
                kept.append(Ngram(text, float(classifier.weight[feature, label]), int(frequency[feature])))
        found.append(kept)
    return found


def _names(texts: Sequence[str], buckets: npt.NDArray[np.int32]) -> dict[int, str]:
    """The n-gram of each bucket: the most frequent among its first OCCURRENCES in the batch that first has it."""
    wanted = np.zeros(1 << BUCKET_BITS, bool)
    wanted[buckets] = True
    met: dict[int, Counter[str]] = {}
    for part in text_batches(texts):
        characters, text_indices = concatenate(texts[part])
        spans = list(find_spans(characters, text_indices))
        for own, found in zip(spans, buckets_of(characters, spans), strict=True):
            chosen = np.flatnonzero(wanted[found])
            chosen = chosen[np.argsort(found[chosen], kind="stable")]
            rank = np.arange(len(chosen)) - np.searchsorted(found[chosen], found[chosen])
            for index in chosen[rank < OCCURRENCES].tolist():
                span = characters[own.starts[index] : own.ends[index]]
                text = span.tobytes().decode("utf-32-le", "surrogatepass")
                met.setdefault(int(found[index]), Counter())[text] += 1
        if len(met) == len(buckets):
            break
    return {bucket: counts.most_common(1)[0][0] for bucket, counts in met.items()}

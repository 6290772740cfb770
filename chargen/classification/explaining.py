"""Why a classifier says what it says: the parts that moved a text's label, and the strongest n-grams of each label.

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

MOST_SPANS = 200  # of a text: each costs one reading of it
STRONGEST = 10  # n-grams of a label
TRIED = 10  # times as many are looked at, as parts of stronger ones are left out
ENOUGH = 25  # occurrences of a bucket, of which the text of most names it

Explanation = list[tuple[str, float]]  # the spans of a text, and how much each speaks for its label
Logits = Callable[[Sequence[str]], npt.NDArray[np.floating]]  # texts to (texts, K)


class Ngram(NamedTuple):
    """An n-gram of words or characters; a space at its edge is the edge of a word."""

    text: str
    weight: float
    texts: int  # that have it


def explain(logits: Logits, texts: Sequence[str], most: int = MOST_SPANS) -> list[Explanation]:
    """How much each part of each text speaks for its likeliest label, by leaving it out.

    Args:
        logits: The classifier.
        texts: Each is read once for each of its parts and once more.
        most: Parts of a text; see `spans_of`.

    Returns:
        For each text its spans, which joined are the text, each with the log-odds of the label that the text loses
        without it: above 0 what speaks for the label, below 0 what speaks against it.

    Zeiler & Fergus 2014, arXiv:1311.2901, left out parts of images.
    """
    spans = [spans_of(text, most) for text in texts]
    variants = (variant for text, own in zip(texts, spans, strict=True) for variant in (text, *without_each(own)))
    rows = iter([row for part in _portions(variants) for row in logits(part)])
    found: list[Explanation] = []
    for own in spans:
        whole = next(rows)
        label = int(whole.argmax())
        odds = float(log_odds(whole, label))
        found.append([(span, odds - float(log_odds(next(rows), label))) for span in own])
    return found


def spans_of(text: str, most: int = MOST_SPANS) -> list[str]:
    """A text cut into its words, or a single word into its characters, blanks staying with what is before them.

    Where there would be more than `most`, neighbours are taken together.

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
    """The characters of a text, each with the marks and blanks after it."""
    parts: list[str] = []
    for part in re.findall(r"\s*\S\s*", text):
        if parts and unicodedata.category(part[0]) in ("Mn", "Mc", "Me", "Cf"):
            parts[-1] += part
        else:
            parts.append(part)
    return parts


def without_each(spans: Sequence[str]) -> Iterator[str]:
    """The text that spans are of, without the first, without the second, …; no blank is left at the end.

    >>> list(without_each(["so ", "good"]))
    ['good', 'so']
    """
    for number in range(len(spans)):
        rest = "".join((*spans[:number], *spans[number + 1 :]))
        yield rest.rstrip() if number == len(spans) - 1 else rest


def _portions(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in order, so many together as are read at once."""
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
    """For each label (K) the n-grams, strongest first, that speak for it most in these texts.

    That is the weight times the standard deviation of the n-gram's value: what all texts have, such as an `e`, tells
    none apart, and what few have moves few. A part of a stronger n-gram is left out. The classifier knows hashes
    alone, so only n-grams of these texts can be found.
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
        first = np.argsort(-strength, kind="stable")[: TRIED * most]
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
    """The n-gram that each of the buckets stands for: what falls into it most often where it is met first."""
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
            for place in chosen[rank < ENOUGH].tolist():
                span = characters[own.starts[place] : own.ends[place]]
                text = span.tobytes().decode("utf-32-le", "surrogatepass")
                met.setdefault(int(found[place]), Counter())[text] += 1
        if len(met) == len(buckets):
            break
    return {bucket: counts.most_common(1)[0][0] for bucket, counts in met.items()}

"""How much of a text is copied: its verbatim runs of at least N characters that a training text holds too.

One pass over the training text, in time linear in both texts and memory bounded by the sample: a 64-bit hash of every
N characters, computed for a block at once, is looked up among those of the sample, and what is found is compared
character by character.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError

LENGTH = 20  # characters of the shortest run that counts as copied
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no information is lost to the wrap-around
BORDER = np.array([0x110000], np.uint32)  # between two samples: beyond Unicode, so that no run crosses it
CODE_BITS = np.uint64(0x2545F4914F6CDD1D)  # spreads neighbouring code points

Codes = npt.NDArray[np.uint32]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Originality:
    """What of a text is copied."""

    copied: npt.NDArray[np.bool_]  # (characters,), whether each is inside a run
    longest: tuple[int, int]  # where the longest run begins and ends, the first of several; (0, 0) if there is none

    @property
    def share(self) -> float:
        """Characters inside runs, of all."""
        return float(self.copied.mean()) if len(self.copied) else 0.0


def originality(texts: Sequence[str], training_text: Iterable[str], length: int = LENGTH) -> list[Originality]:
    """For each text, the runs of at least `length` characters that it shares with a training text, given in blocks.

    ChargenError for a length below 1.
    """
    if length < 1:
        raise ChargenError(f"the length of a copied run is {length}, but must be at least 1 character")
    sample = np.concatenate([part for text in texts for part in (_codes(text), BORDER)] or [BORDER])
    copied = np.zeros(len(sample), bool)
    ending = np.zeros(len(sample), np.int64)  # how long the longest run is that ends with each character
    if len(sample) > length:
        for start, size in _runs(sample, training_text, length):
            copied[start : start + length] = True
            ending[start + length - 1] = max(ending[start + length - 1], size)
    result, begin = [], 0
    for text in texts:
        own = slice(begin, begin + len(text))
        last = int(ending[own].argmax()) if text else 0
        size = int(ending[own][last]) if text else 0
        result.append(Originality(copied[own], (last + 1 - size, last + 1) if size else (0, 0)))
        begin = own.stop + len(BORDER)
    return result


def _runs(sample: Codes, training_text: Iterable[str], length: int) -> Iterator[tuple[int, int]]:
    """Wherever `length` characters of the sample stand in the training text: where they begin in the sample.

    And how many characters in front of their end go on together in both.
    """
    hashes = _hashes(sample, length)
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    running: dict[int, int] = {}  # sample positions matched by the last place of the training text -> run length
    last = -1
    for offset, block in _overlapping(training_text, length):
        for place, found in _matches(block, sample, length, ranked, order):
            before = running if offset + place == last + 1 else {}
            running = {start: before.get(start - 1, length - 1) + 1 for start in found}
            last = offset + place
            yield from running.items()


def _matches(
    block: Codes, sample: Codes, length: int, ranked: Hashes, order: npt.NDArray[np.intp]
) -> Iterator[tuple[int, list[int]]]:
    """Each place of a block where `length` characters of the sample stand, and where in the sample these begin."""
    hashes = _hashes(block, length)
    first = np.searchsorted(ranked, hashes)
    there = np.flatnonzero(ranked[np.minimum(first, len(ranked) - 1)] == hashes)
    for place in there.tolist():
        own = block[place : place + length]
        end = np.searchsorted(ranked, hashes[place], side="right")
        starts = order[first[place] : end].tolist()
        yield place, [start for start in starts if np.array_equal(sample[start : start + length], own)]


def _overlapping(blocks: Iterable[str], length: int) -> Iterator[tuple[int, Codes]]:
    """Each block as code points with the last `length` - 1 before it in front, and where that begins in the text."""
    rest = _codes("")
    offset = 0
    for block in blocks:
        codes = np.concatenate([rest, _codes(block)])
        if len(codes) >= length:
            yield offset, codes
            offset += len(codes) - (length - 1)
            codes = codes[len(codes) - (length - 1) :]
        rest = codes


def _hashes(codes: Codes, length: int) -> Hashes:
    """A hash of each `length` code points in a row, (N - length + 1,): a polynomial, put together by doubling."""
    power, factor = (codes.astype(np.uint64) + np.uint64(1)) * CODE_BITS, MULTIPLIER
    result: Hashes | None = None
    size, done = 1, 0
    while True:
        if length & size:
            rest = power[done:]
            result = power if result is None else result[: len(rest)] * factor + rest[: len(result)]
            done += size
        size *= 2
        if size > length:
            assert result is not None  # a length has a highest bit
            return result[: len(codes) - length + 1]
        half = size // 2
        power = power[:-half] * factor + power[half:]
        with np.errstate(over="ignore"):
            factor = factor * factor


def _codes(text: str) -> Codes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")

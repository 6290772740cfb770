"""How much of a text is copied: its verbatim runs of at least N characters that a training text holds too.

One pass over the training text, in time linear in both texts and memory bounded by the sample. A 64-bit hash of every
N characters, computed for a block at once, is looked up among those of the sample: most of the training text is left
there. What is found goes through the sample's suffix automaton, which tells how long each run is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.text.code_points import code_points

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
    def fraction(self) -> float:
        """Characters inside runs, of all."""
        return float(self.copied.mean()) if len(self.copied) else 0.0


def originality(texts: Sequence[str], training_text: Iterable[str], length: int = LENGTH) -> list[Originality]:
    """For each text, the runs of at least `length` characters that it shares with a training text, given in blocks.

    ChargenError for a length below 1.
    """
    check_length(length)
    sample = np.concatenate([part for text in texts for part in (code_points(text), BORDER)] or [BORDER])
    ending = np.zeros(len(sample), np.int64)  # how long the longest run is that ends with each character
    if len(sample) > length:
        automaton = SuffixAutomaton(sample.tolist())
        for stretch, goes_on in _stretches(training_text, np.sort(_hashes(sample, length)), length):
            automaton.read(stretch.tolist(), anew=not goes_on)
        ending[:] = automaton.longest_matches()
    ending[ending < length] = 0
    ends = np.flatnonzero(ending)
    covers = np.zeros(len(sample) + 1, np.int64)  # runs that begin less runs that are over
    np.add.at(covers, ends + 1 - ending[ends], 1)
    np.add.at(covers, ends + 1, -1)
    copied = covers.cumsum()[:-1] > 0
    result, begin = [], 0
    for text in texts:
        own = slice(begin, begin + len(text))
        last = int(ending[own].argmax()) if text else 0
        size = int(ending[own][last]) if text else 0
        result.append(Originality(copied[own], (last + 1 - size, last + 1) if size else (0, 0)))
        begin = own.stop + len(BORDER)
    return result


def check_length(length: int) -> None:
    """ChargenError for a length of runs that cannot be."""
    if length < 1:
        raise ChargenError(f"the length of a copied run is {length}, but must be at least 1 character")


class SuffixAutomaton:
    """All substrings of a text in space linear in it; what else is read is matched a symbol at a time.

    Blumer et al. 1985, "The smallest automaton recognizing the subwords of a text". A state stands for substrings
    that end at the same places, the longest of them `length` long; its link leads to the longest of their suffixes
    that ends elsewhere too.
    """

    def __init__(self, text: Sequence[int]) -> None:
        self.next: list[dict[int, int]] = [{}]
        self.link = [-1]
        self.length = [0]
        self.prefixes: list[int] = []  # the state of each
        for symbol in text:
            self.prefixes.append(self._append(symbol))
        self.matched = [0] * len(self.next)  # the longest match that ended in each state
        self._state = self._size = 0

    def _append(self, symbol: int) -> int:
        last = self.prefixes[-1] if self.prefixes else 0
        state = self._add(self.length[last] + 1, {}, 0)
        while last != -1 and symbol not in self.next[last]:
            self.next[last][symbol] = state
            last = self.link[last]
        if last == -1:
            return state
        found = self.next[last][symbol]
        if self.length[last] + 1 == self.length[found]:
            self.link[state] = found
            return state
        clone = self._add(self.length[last] + 1, dict(self.next[found]), self.link[found])
        while last != -1 and self.next[last].get(symbol) == found:
            self.next[last][symbol] = clone
            last = self.link[last]
        self.link[found] = self.link[state] = clone
        return state

    def _add(self, length: int, following: dict[int, int], link: int) -> int:
        self.next.append(following)
        self.length.append(length)
        self.link.append(link)
        return len(self.next) - 1

    def read(self, text: Iterable[int], *, anew: bool) -> None:
        """Match another text against this one, or more of it."""
        state, size = (0, 0) if anew else (self._state, self._size)
        for symbol in text:
            while state and symbol not in self.next[state]:
                state = self.link[state]
                size = self.length[state]
            if symbol in self.next[state]:
                state = self.next[state][symbol]
                size += 1
            self.matched[state] = max(self.matched[state], size)
        self._state, self._size = state, size

    def longest_matches(self) -> list[int]:
        """For each place of the text, the length of the longest part that ends there and was read too."""
        longest = list(self.matched)
        states = sorted(range(1, len(longest)), key=self.length.__getitem__)
        for state in reversed(states):
            if longest[state]:  # with a match all its suffixes were read
                longest[self.link[state]] = self.length[self.link[state]]
        for state in states:  # which end where it does
            longest[state] = max(longest[state], longest[self.link[state]])
        return [longest[state] for state in self.prefixes]


def _stretches(training_text: Iterable[str], hashes: Hashes, length: int) -> Iterator[tuple[Codes, bool]]:
    """The parts of the training text all of whose `length` characters in a row have a hash among sorted hashes.

    And whether a part goes on where the one before it ended, in another block.
    """
    after = -1  # where the last part's last `length` characters begin, and one
    for offset, block in _overlapping(training_text, length):
        own = _hashes(block, length)
        places = np.minimum(np.searchsorted(hashes, own), len(hashes) - 1)
        there = np.flatnonzero(hashes[places] == own)
        for part in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1) if len(there) else ():
            first, last = int(part[0]), int(part[-1])
            goes_on = offset + first == after
            yield block[first + (length - 1 if goes_on else 0) : last + length], goes_on
            after = offset + last + 1


def _overlapping(blocks: Iterable[str], length: int) -> Iterator[tuple[int, Codes]]:
    """Each block as code points with the last `length` - 1 before it in front, and where that begins in the text."""
    rest = code_points("")
    offset = 0
    for block in blocks:
        codes = np.concatenate([rest, code_points(block)])
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

"""How much of a sample is copied: its runs of at least N characters that occur verbatim in the training text.

One pass over the training text, in time linear in both texts and memory bounded by the sample. The 64-bit hash of
every N characters is looked up among those of the sample, which rules out most of the training text. The rest goes
through the sample's suffix automaton, which finds how long each run is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.text.code_points import code_points

LENGTH = 20  # characters of the shortest run that counts as copied
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplication modulo 2^64 loses no information
BORDER = np.array([0x110000], np.uint32)  # between two samples: beyond Unicode, so that no run crosses it
CODE_BITS = np.uint64(0x2545F4914F6CDD1D)  # spreads neighbouring code points over all bits

Codes = npt.NDArray[np.uint32]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Originality:
    """Which parts of a text are copied."""

    copied: npt.NDArray[np.bool_]  # (N,), whether each character is in a run
    longest: tuple[int, int]  # start and end of the longest run (the first of several); (0, 0) if there is none

    @property
    def fraction(self) -> float:
        """Fraction of the characters that are in runs."""
        return float(self.copied.mean()) if len(self.copied) else 0.0


def originality(texts: Sequence[str], training_text: Iterable[str], length: int = LENGTH) -> list[Originality]:
    """Find the runs of each text that occur verbatim in a training text.

    Args:
        texts: Samples.
        training_text: In blocks.
        length: Characters of the shortest run that counts.

    Raises:
        ChargenError: `length` is below 1.

    >>> found = originality(["xcopiedy"], ["it is copied"], length=4)[0]
    >>> found.longest, found.fraction
    ((1, 7), 0.75)
    """
    check_length(length)
    sample = np.concatenate([part for text in texts for part in (code_points(text), BORDER)] or [BORDER])
    run_lengths = np.zeros(len(sample), np.int64)  # of the longest run that ends with each character
    if len(sample) > length:
        automaton = SuffixAutomaton(sample.tolist())
        for part, continues in _candidates(training_text, np.sort(_hashes(sample, length)), length):
            automaton.read(part.tolist(), restart=not continues)
        run_lengths[:] = automaton.longest_matches()
    run_lengths[run_lengths < length] = 0
    ends = np.flatnonzero(run_lengths)
    covers = np.zeros(len(sample) + 1, np.int64)  # runs that begin minus runs that ended
    np.add.at(covers, ends + 1 - run_lengths[ends], 1)
    np.add.at(covers, ends + 1, -1)
    copied = covers.cumsum()[:-1] > 0
    result, begin = [], 0
    for text in texts:
        own = slice(begin, begin + len(text))
        last = int(run_lengths[own].argmax()) if text else 0
        size = int(run_lengths[own][last]) if text else 0
        result.append(Originality(copied[own], (last + 1 - size, last + 1) if size else (0, 0)))
        begin = own.stop + len(BORDER)
    return result


def check_length(length: int) -> None:
    """Raise ChargenError if a run length is below 1."""
    if length < 1:
        raise ChargenError(f"the length of a copied run is {length}, but must be at least 1 character")


class SuffixAutomaton:
    """Holds all substrings of a text in linear space, and matches other texts against them code by code.

    Blumer et al. 1985, "The smallest automaton recognizing the subwords of a text". A state stands for substrings
    that end at the same indices, the longest of them `length` long; its link leads to the longest of their suffixes
    that also ends elsewhere.

    >>> automaton = SuffixAutomaton([7, 8, 9])
    >>> automaton.read([8, 9], restart=True)
    >>> automaton.longest_matches()
    [0, 1, 2]
    """

    def __init__(self, text: Sequence[int]) -> None:
        self.next: list[dict[int, int]] = [{}]
        self.link = [-1]
        self.length = [0]
        self.prefixes: list[int] = []  # state of each prefix of the text
        for code in text:
            self.prefixes.append(self._append(code))
        self.matched = [0] * len(self.next)  # the longest match that ended in each state
        self._state = self._size = 0

    def _append(self, code: int) -> int:
        last = self.prefixes[-1] if self.prefixes else 0
        state = self._add(self.length[last] + 1, {}, 0)
        while last != -1 and code not in self.next[last]:
            self.next[last][code] = state
            last = self.link[last]
        if last == -1:
            return state
        found = self.next[last][code]
        if self.length[last] + 1 == self.length[found]:
            self.link[state] = found
            return state
        clone = self._add(self.length[last] + 1, dict(self.next[found]), self.link[found])
        while last != -1 and self.next[last].get(code) == found:
            self.next[last][code] = clone
            last = self.link[last]
        self.link[found] = self.link[state] = clone
        return state

    def _add(self, length: int, following: dict[int, int], link: int) -> int:
        self.next.append(following)
        self.length.append(length)
        self.link.append(link)
        return len(self.next) - 1

    def read(self, text: Iterable[int], *, restart: bool) -> None:
        """Match another text, or more of the same one, against this text.

        Args:
            text: Codes to match.
            restart: False if they continue those of the last call.
        """
        state, size = (0, 0) if restart else (self._state, self._size)
        for code in text:
            while state and code not in self.next[state]:
                state = self.link[state]
                size = self.length[state]
            if code in self.next[state]:
                state = self.next[state][code]
                size += 1
            self.matched[state] = max(self.matched[state], size)
        self._state, self._size = state, size

    def longest_matches(self) -> list[int]:
        """For each index of the text, the length of the longest substring that ends there and was also read."""
        longest = list(self.matched)
        states = sorted(range(1, len(longest)), key=self.length.__getitem__)
        for state in reversed(states):
            if longest[state]:  # whoever read a match also read its suffixes
                longest[self.link[state]] = self.length[self.link[state]]
        for state in states:  # suffixes end where the state's substrings do
            longest[state] = max(longest[state], longest[self.link[state]])
        return [longest[state] for state in self.prefixes]


def _candidates(training_text: Iterable[str], hashes: Hashes, length: int) -> Iterator[tuple[Codes, bool]]:
    """Find the parts of the training text in which the hash of every `length` characters is among `hashes`.

    Args:
        training_text: In blocks.
        hashes: Of the sample, sorted.
        length: Characters per hash.

    Yields:
        Code points of a part, and whether it continues the part before, which ended with its block.
    """
    after = -1  # offset of the hash that would continue the last part
    for offset, block in _overlapping(training_text, length):
        own = _hashes(block, length)
        indices = np.minimum(np.searchsorted(hashes, own), len(hashes) - 1)
        matches = np.flatnonzero(hashes[indices] == own)
        for part in np.split(matches, np.flatnonzero(np.diff(matches) > 1) + 1) if len(matches) else ():
            first, last = int(part[0]), int(part[-1])
            continues = offset + first == after
            yield block[first + (length - 1 if continues else 0) : last + length], continues
            after = offset + last + 1


def _overlapping(blocks: Iterable[str], length: int) -> Iterator[tuple[int, Codes]]:
    """Each block as code points, preceded by the last `length` - 1 before it, and the offset where that begins."""
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
    """Polynomial hash (N - length + 1,) of every `length` consecutive code points, computed by doubling."""
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
            assert result is not None  # `length` has a highest bit
            return result[: len(codes) - length + 1]
        half = size // 2
        power = power[:-half] * factor + power[half:]
        with np.errstate(over="ignore"):
            factor = factor * factor

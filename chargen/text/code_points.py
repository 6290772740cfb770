"""Unicode code points of a text as an array: to look them up, and to count them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

SLICE = 1 << 16  # characters looked up at once, a quarter faster than a Mi


def count_code_points(blocks: Iterable[str]) -> npt.NDArray[np.int64]:
    """How often each code point occurs; surrogates, which are no characters, never."""
    counts = np.zeros(0x110000, np.int64)
    for part in slices(_joined(blocks)):
        found = np.bincount(code_points(part))
        counts[: len(found)] += found
    counts[0xD800:0xE000] = 0
    return counts


def most_frequent(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The code points that occur, the most frequent first, the lower one where two are equal."""
    found = np.flatnonzero(counts)
    return found[np.argsort(-counts[found], kind="stable")]


def slices(blocks: Iterable[str]) -> Iterator[str]:
    """The same text in parts whose code points and ids stay in the processor's cache."""
    for block in blocks:
        for start in range(0, len(block), SLICE):
            yield block[start : start + SLICE]


def _joined(blocks: Iterable[str]) -> Iterator[str]:
    """The same text without short parts, each of which would cost as much as a long one."""
    short: list[str] = []
    size = 0
    for block in blocks:
        short.append(block)
        size += len(block)
        if size >= SLICE:
            yield "".join(short)
            short, size = [], 0
    yield "".join(short)


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """The code points (N,) of a text, halves of surrogate pairs among them."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")

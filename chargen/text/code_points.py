"""A text's Unicode code points as an array: to look them up and to count them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

SLICE = 1 << 16  # characters looked up at once; a quarter faster than 1 << 20


def count_code_points(blocks: Iterable[str]) -> npt.NDArray[np.int64]:
    """Count each code point.

    Returns:
        Counts (0x110000,); 0 for surrogates, which are not characters.

    >>> int(count_code_points(["ab", "b"])[ord("b")])
    2
    """
    counts = np.zeros(0x110000, np.int64)
    for part in slices(_joined(blocks)):
        found = np.bincount(code_points(part))
        counts[: len(found)] += found
    counts[0xD800:0xE000] = 0
    return counts


def most_frequent(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The code points that occur, most frequent first; ties go to the lower code point.

    >>> [chr(code) for code in most_frequent(count_code_points(["cabbac"]))]
    ['a', 'b', 'c']
    """
    found = np.flatnonzero(counts)
    return found[np.argsort(-counts[found], kind="stable")]


def slices(blocks: Iterable[str]) -> Iterator[str]:
    """Cut blocks into parts of at most SLICE characters, whose code points and ids fit the processor's cache."""
    for block in blocks:
        for start in range(0, len(block), SLICE):
            yield block[start : start + SLICE]


def _joined(blocks: Iterable[str]) -> Iterator[str]:
    """Join short blocks into long ones: each block costs about the same, however short."""
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
    """The code points (N,) of a text, lone surrogates included.

    >>> code_points("aé").tolist()
    [97, 233]
    """
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")

"""Statistics of a text: length, lines, characters, and how small a general compressor makes it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from chargen.text.code_points import code_points
from chargen.text.sources import OnRead, Source, read_text

NEWLINE = ord("\n")


@dataclass(frozen=True)
class TextStats:
    """Statistics of a text."""

    characters: int
    lines: int
    longest_line: int  # characters
    counts: dict[str, int]  # of each character, most frequent first
    xz_bits_per_character: float


def text_stats(sources: Sequence[Source], encoding: str = "utf-8", on_read: OnRead | None = None) -> TextStats:
    """Compute the statistics of all sources as one text, in two passes and bounded memory.

    Args:
        sources: Files.
        encoding: Of the files.
        on_read: Called with the number of bytes read, in the second pass only: compression takes nearly all the time.

    Raises:
        ChargenError: As for `read_text`.
    """
    counts = np.zeros(sys.maxunicode + 1, np.int64)
    longest = current = 0  # characters of the longest line and of the unfinished one
    for block in read_text(sources, encoding):
        codes = code_points(block)
        block_counts = np.bincount(codes)
        counts[: len(block_counts)] += block_counts
        breaks = np.flatnonzero(codes == NEWLINE)
        if not breaks.size:
            current += len(codes)
            continue
        longest = max(longest, current + int(breaks[0]), int(np.diff(breaks).max(initial=1)) - 1)
        current = len(codes) - int(breaks[-1]) - 1
    characters = int(counts.sum())
    found = np.flatnonzero(counts)
    ranked = found[np.argsort(-counts[found], kind="stable")]
    return TextStats(
        characters=characters,
        lines=int(counts[NEWLINE]) + (current > 0),
        longest_line=max(longest, current),
        counts={chr(code): int(counts[code]) for code in ranked},
        xz_bits_per_character=xz_bits(read_text(sources, encoding, on_read)) / characters,
    )


def xz_bits(blocks: Iterable[str]) -> int:
    """Size in bits of a text compressed by `xz` at its default preset.

    >>> xz_bits(["ab" * 1000]) < 8 * 2000
    True
    """
    import lzma

    compressor = lzma.LZMACompressor()
    size = sum(len(compressor.compress(block.encode())) for block in blocks)
    return 8 * (size + len(compressor.flush()))

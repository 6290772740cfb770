from __future__ import annotations

import lzma
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chargen.text import sources
from chargen.text.sources import Source
from chargen.text.stats import text_stats, xz_bits


@settings(max_examples=25)
@given(text=st.text(alphabet="aé😀\n", min_size=1, max_size=40), size=st.integers(1, 5))
def test_figures_are_those_of_the_whole_text_wherever_blocks_end(
    tmp_path_factory: pytest.TempPathFactory, text: str, size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "text"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "BLOCK", size)
        found = text_stats([Source("text", path)])
    lines = text.removesuffix("\n").split("\n")
    assert found.characters == len(text)
    assert found.lines == len(lines)
    assert found.longest_line == max(map(len, lines))
    assert found.counts == Counter(text)
    assert list(found.counts.values()) == sorted(found.counts.values(), reverse=True)
    assert found.xz_bits_per_character == xz_bits([text]) / len(text)


def test_xz_bits_are_what_xz_writes() -> None:
    assert xz_bits(["Größe ", "ist relativ"]) == 8 * len(lzma.compress("Größe ist relativ".encode()))


def test_progress_covers_every_byte_once(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("some text\n" * 100)
    read: list[int] = []
    text_stats([Source("text", tmp_path / "text")], on_read=read.append)
    assert sum(read) == 1000

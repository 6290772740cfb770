"""How commands show text: plain as it comes, as JSON, coloured by surprise, with copied runs marked."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from chargen.generation.generate import Piece
    from chargen.generation.originality import Originality

# 256-colour backgrounds from expected to surprising, each with the least surprise, in nats, that it is for.
HEAT = ((6.0, 196), (4.0, 208), (2.5, 220), (1.2, 229))


def one_after_another(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces of sample 0 as they come, then all of sample 1, and so on: those that come early wait."""
    waiting: dict[int, list[Piece]] = defaultdict(list)
    current = 0
    for piece in pieces:
        waiting[piece.sample].append(piece)
        while ready := waiting.pop(current, None):
            yield from ready
            current += ready[-1].end is not None


def print_text(pieces: Iterable[Piece], prompt: str, separator: str, *, heat: bool = False) -> list[str]:
    """Print samples, each ending with a line break; gives what was written after the prompt in each."""
    out = sys.stdout
    live = out.isatty()
    written = []
    for sample, own in groupby(pieces, key=attrgetter("sample")):
        out.write(separator + prompt if sample else prompt)
        texts = []
        for piece in own:
            out.write(warm(piece.text, -piece.log_probability) if heat else piece.text)
            if live:
                out.flush()
            texts.append(piece.text)
        written.append("".join(texts))
        if not (prompt + written[-1]).endswith("\n"):
            out.write("\n")
    return written


def print_json(pieces: Iterable[Piece], facts: dict[str, Any], began: float) -> list[str]:
    """Print a JSON object a sample, `facts` in each; gives what was written after the prompt in each."""
    written = []
    for _, own in groupby(pieces, key=attrgetter("sample")):
        sample = list(own)
        written.append("".join(piece.text for piece in sample))
        record = facts | {
            "text": written[-1],
            "tokens": len(sample),
            "log_probability": sum(piece.log_probability for piece in sample),
            "end": sample[-1].end,
            "seconds": time.perf_counter() - began,
        }
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
    return written


def warm(text: str, surprise: float) -> str:
    """A text on the colour of its surprise in nats; a line break stays bare, or its line would be coloured whole."""
    colour = next((colour for least, colour in HEAT if surprise >= least), None)
    if colour is None or not text.strip("\n"):
        return text
    return click.style(text, bg=colour, fg="black")


def marked(text: str, found: Originality) -> str:
    """A text with its copied runs underlined and in reverse."""
    runs = groupby(zip(text, found.copied.tolist(), strict=True), key=lambda pair: bool(pair[1]))
    shown = (("".join(character for character, _ in run), copied) for copied, run in runs)
    return "".join(click.style(part, reverse=True) if copied else part for part, copied in shown)


def describe(text: str, found: Originality, length: int) -> str:
    """A sentence on how much of a text is copied."""
    start, end = found.longest
    longest = f", the longest of {end - start:,}: {text[start:end][:60]!r}" if end else ""
    return f"copied: {found.share:.1%} of {len(text):,} characters are in verbatim runs of {length} or more{longest}"

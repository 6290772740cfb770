"""How commands show text: plain as it comes, as JSON, coloured by surprise, with copied runs marked."""

from __future__ import annotations

import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from chargen.cli.output import escape, for_reader

if TYPE_CHECKING:
    from chargen.classification.explaining import Explanation
    from chargen.evaluation.originality import Originality
    from chargen.generation.generate import Piece
    from chargen.text.tokenizers.base import Tokenizer

# 256-colour backgrounds from expected to surprising, each with the least surprise, in nats, that it is for.
HEAT = ((6.0, 196), (4.0, 208), (2.5, 220), (1.2, 229))
# For and against a label, by the least share of the strongest span's weight.
FOR, AGAINST = ((0.6, 40), (0.3, 120), (0.1, 194)), ((0.6, 203), (0.3, 217), (0.1, 224))
WEAKEST = 0.5  # log-odds: a text's strongest span counts as having at least as much
LISTED = 5  # spans


def one_after_another(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces of sample 0 as they come, then all of sample 1, and so on: those that come early wait."""
    waiting: dict[int, list[Piece]] = defaultdict(list)
    current = 0
    for piece in pieces:
        waiting[piece.sample].append(piece)
        while ready := waiting.pop(current, None):
            yield from ready
            current += ready[-1].end is not None


def print_text(
    pieces: Iterable[Piece], prompt: str, separator: str, *, heat: Tokenizer | None = None, raw: bool = False
) -> list[str]:
    """Print samples, each ending with a line break.

    Args:
        pieces: Of the samples, one after another.
        prompt: What each begins with.
        separator: Printed between samples.
        heat: The tokenizer, to colour them by surprise; None: no colour.
        raw: Give control characters to a terminal as they are.

    Returns:
        What was written after the prompt in each.
    """
    out = sys.stdout
    live = out.isatty()
    shown = for_reader(raw)
    written = []
    for sample, own in groupby(pieces, key=attrgetter("sample")):
        out.write((separator if sample else "") + shown(prompt))
        texts = []
        colour = Warmth(heat, shown) if heat else None
        for piece in own:
            out.write(colour.of(piece) if colour else shown(piece.text))
            if live:
                out.flush()
            texts.append(piece.text)
        written.append("".join(texts))
        if not (prompt + written[-1]).endswith("\n"):
            out.write("\n")
    return written


def records(pieces: Iterable[Piece], facts: dict[str, Any], began: float) -> Iterator[dict[str, Any]]:
    """What JSON tells of each sample: `facts`, the text, and the seconds since `began` after which it was there."""
    for _, own in groupby(pieces, key=attrgetter("sample")):
        texts, log_prob = [], 0.0
        for piece in own:
            texts.append(piece.text)
            log_prob += piece.log_prob
        yield facts | {
            "text": "".join(texts),
            "tokens": len(texts),
            "log_probability": log_prob,
            "end": piece.end,
            "seconds": time.perf_counter() - began,
        }


class Warmth:
    """Colours the text of one sample, whose characters may come later than the symbols that spell them."""

    def __init__(self, tokenizer: Tokenizer, shown: Callable[[str], str] = str) -> None:
        """`shown`: what is done to text before it is coloured."""
        self._decoder, self._shown = tokenizer.decoder(), shown
        self._surprise = 0.0  # nats, of the symbols of a character that is not whole yet
        self._waiting: deque[tuple[str, float]] = deque()  # characters that are held back, each with its surprise

    def of(self, piece: Piece) -> str:
        """The text of the next piece, coloured."""
        self._surprise -= piece.log_prob
        whole = self._decoder.feed(piece.id)
        if piece.end == "document":
            whole += self._decoder.flush()
        self._waiting.extend((character, self._surprise) for character in whole)
        if whole:
            self._surprise = 0.0
        shown = [self._waiting.popleft() for _ in piece.text]
        runs = groupby(shown, key=lambda pair: pair[1])
        return "".join(warm(self._shown("".join(one for one, _ in run)), surprise) for surprise, run in runs)


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
    return (
        f"copied: {found.fraction:.1%} of {len(text):,} characters are in verbatim runs of {length} or more{longest}"
    )


def coloured(why: Explanation) -> str:
    """A text on one line, its spans green or red, as they speak for its label or against it."""
    top = max([WEAKEST, *(abs(weight) for _, weight in why)])

    def one(span: str, weight: float) -> str:
        shades = FOR if weight > 0 else AGAINST
        colour = next((colour for least, colour in shades if abs(weight) >= least * top), None)
        inside = span.strip()
        if colour is None or not inside:
            return escape(span)
        before, _, after = span.partition(inside)
        return escape(before) + click.style(escape(inside), bg=colour, fg="black") + escape(after)

    return "".join(one(span, weight) for span, weight in why)


def strongest(why: Explanation) -> list[str]:
    """The spans that speak most for or against a label, each after its signed weight; none that weighs 0.00."""
    ranked = sorted(why, key=lambda pair: -abs(pair[1]))[:LISTED]
    return [f"{weight:+.2f} {escape(span.strip() or span)}" for span, weight in ranked if abs(weight) >= 0.005]

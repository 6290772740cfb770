"""How commands show text: as it is written, as JSON, coloured by surprise, or with copied parts marked."""

from __future__ import annotations

import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import click

from chargen.cli.output import escape, for_reader

if TYPE_CHECKING:
    from chargen.classification.explaining import Explanation
    from chargen.evaluation.originality import Originality
    from chargen.generation.generate import Piece
    from chargen.text.tokenizers.base import Tokenizer

# (least surprise in nats, background among 256 colours), from the most surprising down; below, no colour.
HEAT = ((6.0, 196), (4.0, 208), (2.5, 220), (1.2, 229))
# (least fraction of the strongest span's weight, background), for spans that speak for and against a label.
FOR, AGAINST = ((0.6, 40), (0.3, 120), (0.1, 194)), ((0.6, 203), (0.3, 217), (0.1, 224))
WEAKEST = 0.5  # log-odds: least weight to scale colours by, so that no colour is strong in a text of weak spans
LISTED = 5  # spans in the list of the strongest


def in_sample_order(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Reorder pieces of samples drawn side by side: all of sample 0 as they come, then all of sample 1, and so on."""
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
    """Print samples, each with a line break at its end.

    Args:
        pieces: In the order of samples.
        prompt: Printed before each sample.
        separator: Printed between samples.
        heat: The model's tokenizer, to colour the text by surprise; None: no colours.
        raw: Pass control characters on to a terminal as they are.

    Returns:
        The text of each sample, without the prompt.
    """
    out = sys.stdout
    is_terminal, shown = out.isatty(), for_reader(raw)
    written = []
    for sample, own in groupby(pieces, key=attrgetter("sample")):
        out.write((separator if sample else "") + shown(prompt))
        texts = []
        painter = HeatPainter(heat, shown) if heat else None
        for piece in own:
            out.write(painter.paint(piece) if painter else shown(piece.text))
            if is_terminal:
                out.flush()
            texts.append(piece.text)
        written.append("".join(texts))
        if not (prompt + written[-1]).endswith("\n"):
            out.write("\n")
    return written


def records(pieces: Iterable[Piece], common: dict[str, Any], start_time: float) -> Iterator[dict[str, Any]]:
    """Make the JSON record of each sample.

    Args:
        pieces: In the order of samples, with log-probabilities.
        common: Fields that all records have.
        start_time: By `time.perf_counter`; a record has the seconds from then until its sample was complete.
    """
    for _, own in groupby(pieces, key=attrgetter("sample")):
        texts, log_prob = [], 0.0
        for piece in own:
            texts.append(piece.text)
            log_prob += piece.log_prob
        yield common | {
            "text": "".join(texts),
            "tokens": len(texts),
            "log_probability": log_prob,
            "end": piece.end,
            "seconds": time.perf_counter() - start_time,
        }


class HeatPainter:
    """Colours one sample by surprise. A character may come several tokens later than the token that begins it."""

    def __init__(self, tokenizer: Tokenizer, shown: Callable[[str], str] = str) -> None:
        """`shown`: applied to text before it is coloured."""
        self._decoder, self._shown = tokenizer.decoder(), shown
        self._surprise = 0.0  # nats, summed over the tokens of a character that is not complete yet
        self._waiting: deque[tuple[str, float]] = deque()  # complete characters not shown yet, with their surprise

    def paint(self, piece: Piece) -> str:
        """Colour the text of the next piece."""
        self._surprise -= piece.log_prob
        complete = self._decoder.feed(piece.id)
        if piece.end == "document":
            complete += self._decoder.flush()
        self._waiting.extend((character, self._surprise) for character in complete)
        if complete:
            self._surprise = 0.0
        shown = [self._waiting.popleft() for _ in piece.text]
        runs = ((surprise, "".join(text for text, _ in run)) for surprise, run in groupby(shown, key=itemgetter(1)))
        return "".join(colour_by_surprise(self._shown(text), surprise) for surprise, text in runs)


def colour_by_surprise(text: str, surprise: float) -> str:
    """Colour a text by its surprise in nats, but not line breaks, after which terminals colour the whole line."""
    colour = next((colour for least, colour in HEAT if surprise >= least), None)
    if colour is None or not text.strip("\n"):
        return text
    return click.style(text, bg=colour, fg="black")


def mark_copied(text: str, judged: Originality, shown: Callable[[str], str] = str) -> str:
    """Show the copied parts of a text in reverse video; `shown`: applied to each part first."""
    runs = groupby(zip(text, judged.copied.tolist(), strict=True), key=lambda pair: bool(pair[1]))
    parts = ((shown("".join(character for character, _ in run)), is_copied) for is_copied, run in runs)
    return "".join(click.style(part, reverse=True) if is_copied else part for part, is_copied in parts)


def describe_copied(text: str, judged: Originality, length: int) -> str:
    """Say in a sentence how much of a text is copied, in parts of at least `length` characters."""
    start, end = judged.longest
    longest = f", the longest of {end - start:,}: {text[start:end][:60]!r}" if end else ""
    return (
        f"copied: {judged.fraction:.1%} of {len(text):,} characters are in verbatim runs of {length} or more{longest}"
    )


def colour_explanation(why: Explanation, shown: Callable[[str], str] = str) -> str:
    """Colour a text's spans green where they speak for its label and red where against it, all on one line.

    Args:
        why: The spans with their weights.
        shown: Applied to each span before it is coloured.
    """
    top = max([WEAKEST, *(abs(weight) for _, weight in why)])

    def colour_span(span: str, weight: float) -> str:
        shades = FOR if weight > 0 else AGAINST
        colour = next((colour for least, colour in shades if abs(weight) >= least * top), None)
        inside = span.strip()
        if colour is None or not inside:
            return shown(escape(span))
        before, inside, after = (shown(escape(part)) for part in span.partition(inside))
        return before + click.style(inside, bg=colour, fg="black") + after

    return "".join(colour_span(span, weight) for span, weight in why)


def strongest_spans(why: Explanation) -> list[str]:
    """List the spans that speak most for or against a label, after their signed weights; none that rounds to 0.00."""
    ranked = sorted(why, key=lambda pair: -abs(pair[1]))[:LISTED]
    return [f"{weight:+.2f} {escape(span.strip() or span)}" for span, weight in ranked if abs(weight) >= 0.005]

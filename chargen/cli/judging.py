"""How much of a text is copied from the training text, and how likely a model finds each token of it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from chargen.cli import showing
from chargen.cli.output import for_reader, json_line, tell, to_json
from chargen.errors import ChargenError
from chargen.evaluation.originality import LENGTH, Originality, check_length, originality
from chargen.generation.engines.contract import Engine
from chargen.generation.scoring import Score, score_parts, spelled
from chargen.runs.folder import Run
from chargen.runs.inputs import check_unchanged, own_texts
from chargen.text.records import TextRecord
from chargen.text.sources import fingerprint, resolve
from chargen.text.text_data import read_like
from chargen.text.tokenizers.base import Tokenizer

MOST_IN_JSON = 1 << 22  # characters of a text whose tokens one JSON object lists


def originality_judge(run: Run, copied_length: int | None) -> Callable[[list[str]], list[Originality]]:
    """Make a function that finds out how much of some texts is copied.

    Args:
        run: A language model, whose training text is read again.
        copied_length: Characters of the shortest part that counts as copied; None: the default.

    Raises:
        ChargenError: The length is out of range, or the training text is gone or has changed.
    """
    length = min_length(copied_length)
    check_length(length)
    own, record = own_texts(run), run.data(TextRecord)
    sources = resolve(own.inputs)
    check_unchanged(run, replace(record, fingerprint=fingerprint(sources)), own)
    between = "\0" if record.framed else ""  # so that no copied part spans two documents
    return lambda texts: originality(texts, (part + between for part in read_like(record, sources)), length)


def min_length(copied_length: int | None) -> int:
    """Characters of the shortest part that counts as copied: `copied_length`, or the default for None."""
    return LENGTH if copied_length is None else copied_length


def print_score(run: Run, engine: Engine, tokenizer: Tokenizer, file: str, form: str) -> None:
    """Print the log-probabilities of a file's text, and the averages to standard error.

    Args:
        run: A language model; it says how to read the file, as documents or as one stream.
        engine: Its engine.
        tokenizer: Its tokenizer.
        file: A file, or `-` for standard input.
        form: lines, json or heat.
    """
    record, whole = run.data(TextRecord), _Sums(tokenizer)
    texts = read_like(record, resolve([file]))
    for blocks in ([text] for text in texts) if record.framed else [texts]:
        own, kept = _Sums(tokenizer), list[str]()
        read = own.characters_of(_kept(blocks, kept) if form == "json" else blocks)
        tokens = spelled(tokenizer, own.tokens_of(score_parts(engine, tokenizer, read, documents=record.framed)))
        if form == "json":
            symbols = list(tokens)
            shown = {"model": run.name, "text": "".join(kept), "tokens": own.tokens, "log_probability": -own.nats}
            sys.stdout.write(json_line(shown | {"symbols": symbols}))
        elif form == "heat":
            _print_heat(tokens)
        else:
            for token, log_prob in tokens:
                sys.stdout.write(f"{log_prob:.4f}\t{to_json(token)}\n")
        whole.add(own)
    sys.stdout.flush()
    mean = whole.nats / whole.characters
    means = f"{mean:.4f} nats or {mean / math.log(2):.4f} bits per character"
    tell(f"{run.name}: {whole.characters:,} characters, {means}")
    if whole.unknown:
        tell(f"characters scored as the unknown token, since the model never saw them: {whole.unknown:,}")


@dataclass
class _Sums:
    """What is added up while a text is scored part by part."""

    tokenizer: Tokenizer
    nats: float = 0.0
    tokens: int = 0
    characters: int = 0
    unknown: int = 0  # characters

    def characters_of(self, blocks: Iterable[str]) -> Iterator[str]:
        """Yield the text as it is, and count what the model never saw."""
        for block in self.tokenizer.cut(blocks):
            self.unknown += sum(self.tokenizer.unknown(block).values())
            yield block

    def tokens_of(self, parts: Iterable[Score]) -> Iterator[Score]:
        """Yield the scores as they are, and add them up."""
        for part in parts:
            self.nats -= float(part.log_probs.sum())
            self.tokens += len(part.ids)
            self.characters += self.tokenizer.count_characters(part.ids)
            yield part

    def add(self, other: _Sums) -> None:
        """Add the sums of another text."""
        self.nats += other.nats
        self.tokens += other.tokens
        self.characters += other.characters
        self.unknown += other.unknown


def _kept(blocks: Iterable[str], kept: list[str]) -> Iterator[str]:
    """Yield a text as it is, and keep it; ChargenError where it is too long for one JSON object."""
    length = 0
    for block in blocks:
        length += len(block)
        if length > MOST_IN_JSON:
            raise ChargenError(
                f"a text has {length:,} characters or more, but one JSON object may have at most {MOST_IN_JSON:,}: "
                "leave --json out, or divide the text into several files"
            )
        kept.append(block)
        yield block


def _print_heat(tokens: Iterator[tuple[str, float]]) -> None:
    """Print a text in colour, and one line break at its end."""
    held = ""  # the end of what is to be written
    for token, log_prob in tokens:
        sys.stdout.write(held)
        held = showing.colour_by_surprise(for_reader()(token), -log_prob)
    sys.stdout.write(held.removesuffix("\n") + "\n")

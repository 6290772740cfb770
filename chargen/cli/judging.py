"""What is said of texts: how much of them is copied from the training text, and how likely they are."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import click

from chargen.cli import showing
from chargen.cli.output import json_line
from chargen.evaluation.originality import LENGTH, Originality, check_length, originality
from chargen.generation.engines.contract import Engine
from chargen.generation.scoring import score, spelled
from chargen.runs.folder import Run
from chargen.text.records import TextRecord
from chargen.text.sources import fingerprint, resolve
from chargen.text.text_data import read_like
from chargen.text.tokenizers.base import Tokenizer


def judge(run: Run, copied_length: int | None) -> Callable[[list[str]], list[Originality]]:
    """A function that tells how much of texts is copied; ChargenError if the training text is not there as it was."""
    length = length_of(copied_length)
    check_length(length)
    sources, record = resolve(run.training_inputs()), run.data(TextRecord)
    run.check_unchanged(replace(record, fingerprint=fingerprint(sources)))
    between = "\0" if record.framed else ""  # since no run goes from one document to the next
    return lambda written: originality(written, (part + between for part in read_like(record, sources)), length)


def length_of(copied_length: int | None) -> int:
    """Characters of the shortest run that counts as copied, as asked for or by default."""
    return LENGTH if copied_length is None else copied_length


def print_score(run: Run, engine: Engine, tokenizer: Tokenizer, file: str, form: str) -> None:
    """Print how likely each symbol of a file's text is, as lines, json or heat, and what that comes to."""
    record = run.data(TextRecord)
    nats, characters, unknown = 0.0, 0, Counter[str]()
    texts = read_like(record, resolve([file]))
    for text in texts if record.framed else ["".join(texts)]:
        scores = score(engine, tokenizer, text, documents=record.framed)
        ids, log_probs = scores
        symbols = spelled(tokenizer, scores)
        if form == "json":
            told = {"model": run.name, "text": text, "tokens": len(ids), "log_probability": log_probs.sum()}
            sys.stdout.write(json_line(told | {"symbols": list(symbols)}))
        elif form == "heat":
            shown = (showing.warm(symbol, -value) for symbol, value in symbols)
            sys.stdout.write("".join(shown).removesuffix("\n") + "\n")
        else:
            for symbol, value in symbols:
                sys.stdout.write(f"{value:.4f}\t{json.dumps(symbol, ensure_ascii=False)}\n")
        nats -= log_probs.sum()
        characters += tokenizer.count_characters(ids)
        unknown.update(tokenizer.unknown(text))
    sys.stdout.flush()
    click.echo(
        f"{run.name}: {characters:,} characters, {nats / characters:.4f} nats or "
        f"{nats / characters / math.log(2):.4f} bits a character",
        err=True,
    )
    if unknown:
        click.echo(f"scored as unknown, for the model never saw them: {unknown.total():,} characters", err=True)

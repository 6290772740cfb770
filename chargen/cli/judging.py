"""What is said of texts: how much of them is copied from the training text, and how likely they are."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from chargen.cli import showing
from chargen.errors import ChargenError
from chargen.evaluation.originality import LENGTH, Originality, check_length, originality
from chargen.generation.engines.contract import Engine
from chargen.generation.scoring import score, spelled
from chargen.runs.folder import Run
from chargen.text.documents import read_documents
from chargen.text.sources import fingerprint, read_text, resolve
from chargen.text.tokenizers.base import Tokenizer


def judge(run: Run, options: dict[str, Any]) -> Callable[[list[str]], list[Originality]]:
    """A function that tells how much of texts is copied; ChargenError if the training text is not there as it was."""
    length = copied_length(options)
    check_length(length)
    inputs = run.config["options"]["inputs"]
    if "-" in inputs:
        raise ChargenError(f"{run.name} was trained on standard input, which is gone: nothing to compare with")
    run.refuse_changed(fingerprint(resolve(inputs)))
    # Between documents, since no run goes from one to the next.
    between = "\0" if run.config["data"]["documents"] else ""
    return lambda written: originality(written, (part + between for part in _texts(run, inputs)), length)


def copied_length(options: dict[str, Any]) -> int:
    """Characters of the shortest run that counts as copied."""
    return LENGTH if options["copied_length"] is None else int(options["copied_length"])


def print_score(run: Run, engine: Engine, tokenizer: Tokenizer, file: str, form: str) -> None:
    """Print how likely each symbol of a file's text is, as lines, json or heat, and what that comes to."""
    documents = bool(run.config["data"]["documents"])
    nats, characters, unknown = 0.0, 0, Counter[str]()
    texts = _texts(run, [file])
    for text in texts if documents else ["".join(texts)]:
        scores = score(engine, tokenizer, text, documents=documents)
        ids, log_probabilities = scores
        symbols = spelled(tokenizer, scores)
        if form == "json":
            record = {"model": run.name, "text": text, "tokens": len(ids), "log_probability": log_probabilities.sum()}
            sys.stdout.write(json.dumps(record | {"symbols": list(symbols)}, ensure_ascii=False) + "\n")
        elif form == "heat":
            shown = (showing.warm(symbol, -value) for symbol, value in symbols)
            sys.stdout.write("".join(shown).removesuffix("\n") + "\n")
        else:
            for symbol, value in symbols:
                sys.stdout.write(f"{value:.4f}\t{json.dumps(symbol, ensure_ascii=False)}\n")
        nats -= log_probabilities.sum()
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


def _texts(run: Run, inputs: Sequence[str]) -> Iterator[str]:
    """A text in blocks, or its documents where the model was trained on documents, read as the training text was."""
    data, sources = run.config["data"], resolve(inputs)
    if not data["documents"]:
        return read_text(sources, data["encoding"])
    return read_documents(sources, data["documents"], encoding=data["encoding"], text_column=data["text_column"])

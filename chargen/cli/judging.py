"""How much of a text is copied from the training text, and how likely a model finds each token of it."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from chargen.cli import showing
from chargen.cli.output import for_reader, json_line, tell, to_json
from chargen.evaluation.originality import LENGTH, Originality, check_length, originality
from chargen.generation.engines.contract import Engine
from chargen.generation.scoring import score, spelled
from chargen.runs.folder import Run
from chargen.runs.inputs import check_unchanged, own_texts
from chargen.text.records import TextRecord
from chargen.text.sources import fingerprint, resolve
from chargen.text.text_data import read_like
from chargen.text.tokenizers.base import Tokenizer


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
    record = run.data(TextRecord)
    nats, characters, unknown = 0.0, 0, Counter[str]()
    texts = read_like(record, resolve([file]))
    for text in texts if record.framed else ["".join(texts)]:
        scores = score(engine, tokenizer, text, documents=record.framed)
        ids, log_probs = scores
        tokens = spelled(tokenizer, scores)
        if form == "json":
            shown = {"model": run.name, "text": text, "tokens": len(ids), "log_probability": log_probs.sum()}
            sys.stdout.write(json_line(shown | {"symbols": list(tokens)}))
        elif form == "heat":
            coloured = (showing.colour_by_surprise(for_reader()(token), -log_prob) for token, log_prob in tokens)
            sys.stdout.write("".join(coloured).removesuffix("\n") + "\n")
        else:
            for token, log_prob in tokens:
                sys.stdout.write(f"{log_prob:.4f}\t{to_json(token)}\n")
        nats -= log_probs.sum()
        characters += tokenizer.count_characters(ids)
        unknown.update(tokenizer.unknown(text))
    sys.stdout.flush()
    tell(
        f"{run.name}: {characters:,} characters, {nats / characters:.4f} nats or "
        f"{nats / characters / math.log(2):.4f} bits per character"
    )
    if unknown:
        tell(f"scored as the unknown token, since the model never saw them: {unknown.total():,} characters")

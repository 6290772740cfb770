"""`chargen sample`: text to standard output as it is written, everything else to standard error."""

from __future__ import annotations

import io
import json
import math
import os
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from chargen.cli.output import reader_may_leave

if TYPE_CHECKING:
    from chargen.checkpoint import Run
    from chargen.generation.engine_numpy import NumpyEngine
    from chargen.generation.generate import Piece
    from chargen.text.tokenizers import Tokenizer

STREAM_LENGTH = 500
DOCUMENT_LENGTH = 10_000  # where a model that never ends a document is stopped
SEPARATORS = {"line": "", "blank-line": "\n"}  # between samples of such documents; all others get a rule
RULE = "-" * 40 + "\n"


@click.command()
@click.argument("prompt", default="")
@click.option("-m", "--model", help="A run: its name under checkpoints/, or a path.  [default: the newest]")
@click.option(
    "-l",
    "--length",
    type=int,
    help=f"Characters to write.  [default: {STREAM_LENGTH}; documents until they end, at most {DOCUMENT_LENGTH}]",
)
@click.option(
    "-t", "--temperature", type=float, help="Below 1 safer, above 1 wilder, 0 the likeliest.  [default: 0.8]"
)
@click.option("--top-k", type=int, help="Choose among the K likeliest symbols.")
@click.option("--top-p", type=float, help="Choose among the fewest symbols that have this probability together.")
@click.option("--min-p", type=float, help="Choose among symbols with this share of the likeliest one's probability.")
@click.option("--typical", type=float, help="As --top-p, of the symbols nearest to the expected surprise.")
@click.option("--repetition-penalty", type=float, help="Above 1: what has just been written becomes less likely.")
@click.option("--repetition-window", type=int, help="Symbols that count as just written.  [default: 64]")
@click.option("--stop", multiple=True, metavar="TEXT", help=r"End before this text; repeatable; \n is a line break.")
@click.option("--allow", metavar="CHARACTERS", help=r"Write these characters only; \n and \t as in --stop.")
@click.option("--forbid", default="", metavar="CHARACTERS", help="Write none of these characters.")
@click.option(
    "--logit-bias",
    multiple=True,
    metavar="TEXT=NUMBER",
    help="Make one symbol likelier, or with -2 rarer; repeatable.",
)
@click.option("-n", "--samples", type=int, default=1, show_default=True, help="Texts to write, one after another.")
@click.option("--seed", type=int, help="The same seed writes the same text.  [default: another each time]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a text: text, log-probability, seconds, …")
@click.option(
    "--score", metavar="FILE", help="Write nothing: print the log-probability (nats) of each symbol of a text."
)
@click.option("-v", "--verbose", is_flag=True, help="Report run, seed and speed even if no terminal shows it.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Write new text with a language model, going on from PROMPT.

    \b
    chargen sample "Once upon a time" --length 1000
    chargen sample -m names -n 20 --temperature 1
    chargen sample "ROMEO:" --stop "JULIET:" --json
    """
    from chargen.checkpoint import LANGUAGE_MODEL, find_run
    from chargen.generation.engine_numpy import NumpyEngine
    from chargen.models.config import LanguageModelConfig

    if options["score"] is not None:
        _refuse_others(ctx)
    run = find_run(options["model"], LANGUAGE_MODEL)
    config = run.model_config()
    assert isinstance(config, LanguageModelConfig)  # of the kind that was asked for
    engine = NumpyEngine(config, run.weights())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # what a terminal cannot show must not end the text
    with reader_may_leave():
        act = _sample if options["score"] is None else _score
        act(run, engine, run.tokenizer(), options)


def _sample(run: Run, engine: NumpyEngine, tokenizer: Tokenizer, options: dict[str, Any]) -> None:
    """Write texts, and how that went."""
    began = time.perf_counter()
    documents = run.config["data"]["documents"]
    seed = int.from_bytes(os.urandom(4), "big") if options["seed"] is None else options["seed"]
    samples = _one_after_another(_generate(engine, tokenizer, options, seed, bool(documents)))
    if options["as_json"]:
        facts = {"model": run.name, "seed": seed, "prompt": options["prompt"]}
        characters = _print_json(samples, facts, began)
    else:
        characters = _print_text(samples, options["prompt"], SEPARATORS.get(documents, RULE))
    sys.stdout.flush()
    if options["verbose"] or sys.stderr.isatty():
        seconds = time.perf_counter() - began
        speed = f"{characters:,} characters in {seconds:.2f} s, {characters / seconds:,.0f} a second"
        click.echo(f"{run.name}, seed {seed}: {speed}", err=True)


def _generate(
    engine: NumpyEngine, tokenizer: Tokenizer, options: dict[str, Any], seed: int, documents: bool
) -> Iterator[Piece]:
    """The pieces of text that the options ask for."""
    from chargen.generation.generate import generate, symbol_bias
    from chargen.generation.samplers import Sampling

    length = options["length"]
    if length is None:
        length = DOCUMENT_LENGTH if documents else STREAM_LENGTH
    settings = {field.name: options[field.name] for field in fields(Sampling)}
    allow = options["allow"]
    return generate(
        engine,
        tokenizer,
        options["prompt"],
        length=length,
        sampling=Sampling(**{name: value for name, value in settings.items() if value is not None}),
        bias=symbol_bias(
            tokenizer,
            allow=None if allow is None else _unescape(allow),
            forbid=_unescape(options["forbid"]),
            add=dict(_named_number(text) for text in options["logit_bias"]),
        ),
        seed=seed,
        samples=options["samples"],
        stop=[_unescape(text) for text in options["stop"]],
        documents=documents,
    )


def _one_after_another(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces of sample 0 as they come, then all of sample 1, and so on: those that come early wait."""
    waiting: dict[int, list[Piece]] = defaultdict(list)
    current = 0
    for piece in pieces:
        waiting[piece.sample].append(piece)
        while ready := waiting.pop(current, None):
            yield from ready
            current += ready[-1].end is not None


def _print_text(pieces: Iterable[Piece], prompt: str, separator: str) -> int:
    """Print samples, each ending with a line break; gives the number of characters written after the prompts."""
    out = sys.stdout
    live = out.isatty()
    characters = 0
    for sample, own in groupby(pieces, key=attrgetter("sample")):
        out.write(separator + prompt if sample else prompt)
        last = prompt
        for piece in own:
            out.write(piece.text)
            if live:
                out.flush()
            characters += len(piece.text)
            last = piece.text or last
        if not last.endswith("\n"):
            out.write("\n")
    return characters


def _print_json(pieces: Iterable[Piece], facts: dict[str, Any], began: float) -> int:
    """Print a JSON object a sample, `facts` in each; gives the number of characters written."""
    characters = 0
    for _, own in groupby(pieces, key=attrgetter("sample")):
        sample = list(own)
        text = "".join(piece.text for piece in sample)
        record = facts | {
            "text": text,
            "tokens": len(sample),
            "log_probability": sum(piece.log_probability for piece in sample),
            "end": sample[-1].end,
            "seconds": time.perf_counter() - began,
        }
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
        characters += len(text)
    return characters


def _score(run: Run, engine: NumpyEngine, tokenizer: Tokenizer, options: dict[str, Any]) -> None:
    """Print how likely each symbol of a text is, and what that comes to."""
    from chargen.generation.generate import score

    nats, characters, unknown = 0.0, 0, Counter[str]()
    for text in _texts(run, options["score"]):
        ids, log_probabilities = score(engine, tokenizer, text, documents=bool(run.config["data"]["documents"]))
        symbols = [tokenizer.decode([token]) for token in ids]
        if options["as_json"]:
            tokens = list(zip(symbols, log_probabilities.tolist(), strict=True))
            record = {"model": run.name, "text": text, "log_probability": log_probabilities.sum(), "tokens": tokens}
            sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
        else:
            for symbol, value in zip(symbols, log_probabilities, strict=True):
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


def _texts(run: Run, name: str) -> Iterator[str]:
    """The text to score: each document of it where the model was trained on documents, else the whole."""
    from chargen.text.documents import read_documents
    from chargen.text.sources import read_text, resolve

    data, sources = run.config["data"], resolve([name])
    if data["documents"]:
        column, encoding = data["text_column"], data["encoding"]
        yield from read_documents(sources, data["documents"], encoding=encoding, text_column=column)
    else:
        yield "".join(read_text(sources, data["encoding"]))


def _refuse_others(ctx: click.Context) -> None:
    """UsageError for options that have no use with `--score`."""
    for name in ctx.params.keys() - {"score", "model", "as_json", "verbose"}:
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            given = name.replace("_", "-") if name == "prompt" else f"--{name.replace('_', '-')}"
            raise click.UsageError(f"--score only reads a text, so {given} has no use with it: leave one of them out")


def _named_number(text: str) -> tuple[str, float]:
    """TEXT=NUMBER as what it says; TEXT may hold `=` too."""
    name, _, number = text.rpartition("=")
    try:
        return _unescape(name), float(number)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not TEXT=NUMBER, as in e=-2", param_hint="--logit-bias") from None


def _unescape(text: str) -> str:
    r"""The text with `\n`, `\t` and `\\` as line break, tab and backslash, which are hard to type in a shell."""
    return re.sub(r"\\([nt\\])", lambda found: {"n": "\n", "t": "\t"}.get(found[1], "\\"), text)

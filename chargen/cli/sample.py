"""`chargen sample`: text to standard output as it is written, everything else to standard error."""

from __future__ import annotations

import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from chargen.cli.completion import RunName
from chargen.cli.output import reader_may_leave, unescape

if TYPE_CHECKING:
    import numpy as np

    from chargen.checkpoint import Run
    from chargen.generation.generate import Engine, Piece
    from chargen.generation.originality import Originality
    from chargen.generation.samplers import Sampling
    from chargen.text.tokenizers import Tokenizer

STREAM_LENGTH = 500
DOCUMENT_LENGTH = 10_000  # where a model that never ends a document is stopped
TURN_LENGTH = 200
SEPARATORS = {"line": "", "blank-line": "\n"}  # between samples of such documents; all others get a rule
RULE = "-" * 40 + "\n"
# Options that have no use with another one.
CHOOSING = {"temperature", "top_k", "top_p", "min_p", "typical", "repetition_penalty", "repetition_window", "seed"}
JUDGING = {"originality", "show_copied", "copied_length"}
TURNS = {"samples", "as_json", "heat", "beam", "score", "verbose", *JUDGING}
WITHOUT_USE = {
    "score": {"prompt", "length", "stop", "allow", "forbid", "logit_bias", "end", "samples", "beam", "interactive"}
    | {"co_write", "verbose", *CHOOSING, *JUDGING},
    "beam": {"samples", "stop", "logit_bias", "heat", "interactive", "co_write", "verbose", *CHOOSING, *JUDGING},
    "interactive": {"co_write", *TURNS},
    "co_write": {"interactive", "length", "stop", "logit_bias", *CHOOSING, *TURNS},
    "as_json": {"heat", "show_copied"},
    "show_copied": {"heat"},
}


@click.command()
@click.argument("prompt", default="")
@click.option(
    "-m", "--model", type=RunName(), help="A run: its name under checkpoints/, or a path.  [default: the newest]"
)
@click.option(
    "-l",
    "--length",
    type=int,
    help=f"Characters to write.  [default: {STREAM_LENGTH}; in turns {TURN_LENGTH}; documents until they end, "
    f"at most {DOCUMENT_LENGTH}]",
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
@click.option("--seed", type=int, help="The same seed and engine write the same text.  [default: another each time]")
@click.option("--beam", type=int, metavar="W", help="Write the likeliest text that keeping W beginnings finds.")
@click.option(
    "--end",
    type=click.Choice(["document", "length"]),
    help="Documents: stop at the end symbol, or never write one.  [default: document, where the model has them]",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "numpy", "torch"]),
    default="auto",
    show_default=True,
    help="auto: numpy; for much text in many samples torch, in bfloat16 where the hardware has it.",
)
@click.option("--device", help="For the engine torch: cpu, cuda, …  [default: the GPU, if there is one]")
@click.option(
    "--interactive", is_flag=True, help="Write in turns: a line by you, then --length characters by the model."
)
@click.option("--co-write", is_flag=True, help="Choose among the likeliest next pieces, or type your own.")
@click.option("--originality", is_flag=True, help="Report how much of the text is copied from the training text.")
@click.option("--show-copied", is_flag=True, help="The same, with the copied runs marked.")
@click.option(
    "--copied-length", type=int, help="Characters of the shortest run that counts as copied.  [default: 20]"
)
@click.option("--heat", is_flag=True, help="Colour the text by how surprised the model is.")
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
    from chargen.checkpoint import find_run
    from chargen.kinds import LANGUAGE_MODEL

    _refuse_contradictions(ctx)
    run = find_run(options["model"], LANGUAGE_MODEL)
    engine = _engine(run, options)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # what a terminal cannot show must not end the text
    act = next((act for name, act in MODES.items() if not (options[name] is None or options[name] is False)), _sample)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    with reader_may_leave():
        act(run, engine, run.tokenizer(), options)


def _engine(run: Run, options: dict[str, Any]) -> Engine:
    from chargen.generation.engines import choose_engine
    from chargen.models.config import LanguageModelConfig

    config = run.model_config()
    assert isinstance(config, LanguageModelConfig)  # of the kind that was asked for
    kind, device, samples = options["engine"], options["device"], options["samples"]
    if kind == "numpy" and device is not None:
        raise click.UsageError("--device is for the engine torch: leave it out, or choose --engine torch")
    characters = samples * _length(options, bool(run.config["data"]["documents"]))
    return choose_engine(config, run.weights(), kind, device, samples=samples, characters=characters)


def _sample(run: Run, engine: Engine, tokenizer: Tokenizer, options: dict[str, Any]) -> None:
    """Write texts, and how that went."""
    from chargen.cli import judging, showing

    began = time.perf_counter()
    seed = _seed(options)
    judge = judging.judge(run, options) if options["originality"] or options["show_copied"] else None
    pieces = showing.one_after_another(_pieces(run, engine, tokenizer, options, seed))
    separator = SEPARATORS.get(run.config["data"]["documents"], RULE)
    if options["as_json"]:
        records = showing.records(pieces, {"model": run.name, "seed": seed, "prompt": options["prompt"]}, began)
        written = _print_records(records, judge)
    elif options["show_copied"]:
        written = ["".join(piece.text for piece in own) for _, own in groupby(pieces, key=attrgetter("sample"))]
    else:
        written = showing.print_text(
            pieces, options["prompt"], separator, heat=tokenizer if options["heat"] else None
        )
    sys.stdout.flush()
    seconds = time.perf_counter() - began
    if judge and not options["as_json"]:
        for number, (text, found) in enumerate(zip(written, judge(written), strict=True)):
            if options["show_copied"]:
                rule = separator if number else ""
                click.echo(rule + options["prompt"] + showing.marked(text, found), color=True)
            click.echo(showing.describe(text, found, judging.copied_length(options)), err=True)
    if options["verbose"] or sys.stderr.isatty():
        characters = sum(map(len, written))
        speed = f"{characters:,} characters in {seconds:.2f} s, {characters / seconds:,.0f} a second"
        click.echo(f"{run.name}, seed {seed}: {speed}", err=True)


def _print_records(
    records: Iterator[dict[str, Any]], judge: Callable[[list[str]], list[Originality]] | None
) -> list[str]:
    """Print a JSON object a sample, as it comes or, judged, when all are there; gives their texts."""
    written = []
    if judge:
        waiting = list(records)
        judged = judge([record["text"] for record in waiting])
        records = (
            record | {"copied": found.share, "longest_copied": record["text"][slice(*found.longest)]}
            for record, found in zip(waiting, judged, strict=True)
        )
    for record in records:
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
        written.append(record["text"])
    return written


def _pieces(run: Run, engine: Engine, tokenizer: Tokenizer, options: dict[str, Any], seed: int) -> Iterator[Piece]:
    """The pieces of text that the options ask for."""
    from chargen.generation.generate import generate

    documents = bool(run.config["data"]["documents"])
    return generate(
        engine,
        tokenizer,
        options["prompt"],
        length=_length(options, documents),
        sampling=_sampling(options),
        bias=_bias(run, tokenizer, options),
        seed=seed,
        samples=options["samples"],
        stop=[unescape(text) for text in options["stop"]],
        documents=documents,
        scored=options["as_json"] or options["heat"],
    )


def _beam(run: Run, engine: Engine, tokenizer: Tokenizer, options: dict[str, Any]) -> None:
    """Write the likeliest continuation that a beam finds."""
    from chargen.generation.session import Session

    began = time.perf_counter()
    documents = bool(run.config["data"]["documents"])
    session = Session(engine, tokenizer, documents=documents, bias=_bias(run, tokenizer, options))
    session.read(options["prompt"])
    best = session.search(options["beam"], _length(options, documents))
    if options["as_json"]:
        record = {
            "model": run.name,
            "prompt": options["prompt"],
            "text": best.text,
            "tokens": len(best.ids),
            "log_probability": best.log_probability,
            "end": "document" if best.ids[-1] == tokenizer.eos_id else "length",
            "seconds": time.perf_counter() - began,
        }
        click.echo(json.dumps(record, ensure_ascii=False))
    else:
        click.echo(options["prompt"] + best.text)


def _turns(run: Run, engine: Engine, tokenizer: Tokenizer, options: dict[str, Any]) -> None:
    """Write with a person."""
    from chargen.cli import interactive
    from chargen.generation.session import Session

    session = Session(
        engine,
        tokenizer,
        documents=bool(run.config["data"]["documents"]),
        sampling=_sampling(options),
        bias=_bias(run, tokenizer, options),
        seed=_seed(options),
    )
    if options["co_write"]:
        interactive.co_write(session, options["prompt"])
    else:
        stop = tuple(unescape(text) for text in options["stop"])
        length = TURN_LENGTH if options["length"] is None else options["length"]
        line_break = "" if run.config["data"]["documents"] == "line" or tokenizer.unknown("\n") else "\n"
        interactive.talk(session, options["prompt"], length, stop, line_break)


def _score(run: Run, engine: Engine, tokenizer: Tokenizer, options: dict[str, Any]) -> None:
    """Print how likely a text is."""
    from chargen.cli.judging import print_score

    print_score(run, engine, tokenizer, options)


# What else than sampling an option asks for.
MODES: dict[str, Callable[[Run, Engine, Tokenizer, dict[str, Any]], None]] = {
    "score": _score,
    "beam": _beam,
    "interactive": _turns,
    "co_write": _turns,
}


def _sampling(options: dict[str, Any]) -> Sampling:
    from chargen.generation.samplers import Sampling

    settings = {field.name: options[field.name] for field in fields(Sampling)}
    return Sampling(**{name: value for name, value in settings.items() if value is not None})


def _bias(run: Run, tokenizer: Tokenizer, options: dict[str, Any]) -> np.ndarray:
    """What the options add to the logits."""
    from chargen.errors import ChargenError
    from chargen.generation.generate import symbol_bias

    bias = symbol_bias(
        tokenizer,
        allow=None if options["allow"] is None else unescape(options["allow"]),
        forbid=unescape(options["forbid"]),
        add=_sums(_named_number(text) for text in options["logit_bias"]),
    )
    documents = run.config["data"]["documents"]
    if options["end"] == "document" and not documents:
        raise ChargenError(
            f"{run.name} was trained on one stream of text, where nothing ends: leave --end document out"
        )
    if options["end"] == "length":
        bias[tokenizer.eos_id] = -math.inf
    return bias


def _length(options: dict[str, Any], documents: bool) -> int:
    if options["length"] is not None:
        return int(options["length"])
    return DOCUMENT_LENGTH if documents and options["end"] != "length" else STREAM_LENGTH


def _seed(options: dict[str, Any]) -> int:
    return int.from_bytes(os.urandom(4), "big") if options["seed"] is None else int(options["seed"])


def _refuse_contradictions(ctx: click.Context) -> None:
    """UsageError for options that have no use with one that asks for something else than sampling."""
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
    for name, does in (
        ("score", "only reads a text"),
        ("beam", "writes the one likeliest text"),
        ("interactive", "writes in turns"),
        ("co_write", "writes in turns"),
        ("as_json", "prints JSON"),
        ("show_copied", "shows what is copied"),
    ):
        idle = sorted(given & WITHOUT_USE[name]) if name in given else []
        if idle:
            raise click.UsageError(
                f"{_flag(name)} {does}, so {_flag(idle[0])} has no use with it: leave one of them out"
            )
    if "repetition_window" in given and "repetition_penalty" not in given:
        raise click.UsageError("--repetition-window has no use without --repetition-penalty: give both or none")
    if "copied_length" in given and not given & {"originality", "show_copied"}:
        raise click.UsageError("--copied-length has no use without --originality or --show-copied: give one of them")


def _flag(name: str) -> str:
    """An option or argument as it is typed."""
    return {"prompt": "prompt", "as_json": "--json"}.get(name, f"--{name.replace('_', '-')}")


def _sums(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for name, number in pairs:
        total[name] = total.get(name, 0.0) + number
    return total


def _named_number(text: str) -> tuple[str, float]:
    """TEXT=NUMBER as what it says; TEXT may hold `=` too."""
    name, _, number = text.rpartition("=")
    try:
        return unescape(name), float(number)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not TEXT=NUMBER, as in e=-2", param_hint="--logit-bias") from None

"""`chargen sample`: text to standard output as it is written, everything else to standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from chargen.cli import drawing
from chargen.cli.output import reader_may_leave, show_anything, unescape

if TYPE_CHECKING:
    from chargen.evaluation.originality import Originality
    from chargen.generation.engines.contract import Engine
    from chargen.generation.generate import Piece
    from chargen.runs.folder import Run
    from chargen.text.tokenizers.base import Tokenizer

STREAM_LENGTH = 500
DOCUMENT_LENGTH = 10_000  # where a model that never ends a document is stopped
SEPARATORS = {"line": "", "blank-line": "\n"}  # between samples of such documents; all others get a rule
RULE = "-" * 40 + "\n"
JUDGING = {"originality", "show_copied", "copied_length"}
WITHOUT_USE = {  # with another option
    "beam": {"samples", "stop", "logit_bias", "heat", "verbose", *drawing.CHOOSING, *JUDGING},
    "as_json": {"heat", "show_copied"},
    "show_copied": {"heat"},
}
MOVED = {  # what other commands do now
    "score": "chargen score FILE",
    "interactive": "chargen write",
    "co_write": "chargen write --choose",
}


@click.command()
@click.argument("prompt", default="")
@drawing.model_option
@click.option(
    "-l",
    "--length",
    type=int,
    help=f"Characters to write.  [default: {STREAM_LENGTH}; documents until they end, at most {DOCUMENT_LENGTH}]",
)
@drawing.drawing_options
@click.option("-n", "--samples", type=int, default=1, show_default=True, help="Texts to write, one after another.")
@click.option("--beam", type=int, metavar="W", help="Write the likeliest text that keeping W beginnings finds.")
@drawing.engine_options
@click.option("--originality", is_flag=True, help="Report how much of the text is copied from the training text.")
@click.option("--show-copied", is_flag=True, help="The same, with the copied runs marked.")
@click.option(
    "--copied-length", type=int, help="Characters of the shortest run that counts as copied.  [default: 20]"
)
@click.option("--heat", is_flag=True, help="Colour the text by how surprised the model is.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a text: text, log-probability, seconds, …")
@click.option("-v", "--verbose", is_flag=True, help="Report run, seed and speed even if no terminal shows it.")
@click.option("--score", hidden=True, metavar="FILE")
@click.option("--interactive", hidden=True, is_flag=True)
@click.option("--co-write", hidden=True, is_flag=True)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Write new text with a language model, going on from PROMPT.

    \b
    chargen sample "Once upon a time" --length 1000
    chargen sample -m names -n 20 --temperature 1
    chargen sample "ROMEO:" --stop "JULIET:" --json
    """
    from chargen.kinds import LANGUAGE_MODEL
    from chargen.runs.search import find_run
    from chargen.text.records import TextRecord

    _refuse_contradictions(ctx)
    run = find_run(options["model"], LANGUAGE_MODEL)
    samples = options["samples"]
    characters = samples * _length(options, run.data(TextRecord).framed)
    engine = drawing.engine_of(run, options, samples, characters)
    show_anything()
    with reader_may_leave():
        act = _sample if options["beam"] is None else _beam
        act(run, engine, run.tokenizer(), options)


def _sample(run: Run, engine: Engine, tokenizer: Tokenizer, options: dict[str, Any]) -> None:
    """Write texts, and how that went."""
    from chargen.cli import judging, showing
    from chargen.text.records import TextRecord

    began = time.perf_counter()
    seed = drawing.seed_of(options)
    judge = judging.judge(run, options) if options["originality"] or options["show_copied"] else None
    pieces = showing.one_after_another(_pieces(run, engine, tokenizer, options, seed))
    separator = SEPARATORS.get(run.data(TextRecord).documents or "", RULE)
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
    from chargen.text.records import TextRecord

    documents = run.data(TextRecord).framed
    return generate(
        engine,
        tokenizer,
        options["prompt"],
        length=_length(options, documents),
        sampling=drawing.sampling_of(options),
        bias=drawing.bias_of(run, tokenizer, options),
        seed=seed,
        samples=options["samples"],
        stop=[unescape(text) for text in options["stop"]],
        documents=documents,
        scored=options["as_json"] or options["heat"],
    )


def _beam(run: Run, engine: Engine, tokenizer: Tokenizer, options: dict[str, Any]) -> None:
    """Write the likeliest continuation that a beam finds."""
    from chargen.generation.session import Session
    from chargen.text.records import TextRecord

    began = time.perf_counter()
    documents = run.data(TextRecord).framed
    session = Session(engine, tokenizer, documents=documents, bias=drawing.bias_of(run, tokenizer, options))
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


def _length(options: dict[str, Any], documents: bool) -> int:
    if options["length"] is not None:
        return int(options["length"])
    return DOCUMENT_LENGTH if documents and options["end"] != "length" else STREAM_LENGTH


def _refuse_contradictions(ctx: click.Context) -> None:
    """UsageError for options that another command has now, and for those that have no use with another one."""
    given = drawing.typed(ctx)
    for name, command_line in MOVED.items():
        if name in given:
            raise click.UsageError(f"{drawing.flag(name)} is a command of its own now: {command_line}")
    for name, does in (
        ("beam", "writes the one likeliest text"),
        ("as_json", "prints JSON"),
        ("show_copied", "shows what is copied"),
    ):
        idle = sorted(given & WITHOUT_USE[name]) if name in given else []
        if idle:
            raise click.UsageError(
                f"{drawing.flag(name)} {does}, so {drawing.flag(idle[0])} has no use with it: leave one of them out"
            )
    drawing.refuse_idle_window(given)
    if "copied_length" in given and not given & {"originality", "show_copied"}:
        raise click.UsageError("--copied-length has no use without --originality or --show-copied: give one of them")

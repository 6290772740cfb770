"""`chargen sample`: text to standard output as it is written, everything else to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from chargen.cli import drawing
from chargen.cli.command import Command, needs, without
from chargen.cli.drawing import Drawing
from chargen.cli.output import json_line, reader_may_leave, show_anything

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
RULES = [
    without("beam", "writes the one likeliest text", "samples", "stop", "logit_bias", "heat", "verbose",
            *drawing.CHOOSING, *JUDGING),
    without("as_json", "prints JSON", "heat", "show_copied"),
    without("show_copied", "shows what is copied", "heat"),
    drawing.WINDOW_RULE,
    needs("copied_length", "originality", "show_copied"),
]  # fmt: skip
GONE = {
    "--score": "is a command of its own now: chargen score FILE",
    "--interactive": "is a command of its own now: chargen write",
    "--co-write": "is a command of its own now: chargen write --choose",
}
GROUPS = {
    "Text": ("model", "length", "samples", "beam", "stop", "allow", "forbid", "logit_bias", "seed", "end"),
    "Sampling": (*("temperature", "top_k", "top_p", "min_p", "typical", "repetition_penalty", "repetition_window"),),
    "Report": ("originality", "show_copied", "copied_length", "heat", "raw", "as_json", "verbose"),
    "Engine": ("engine", "device"),
}


@dataclass(frozen=True)
class Wanted:
    """What is to be written, and how it is shown."""

    prompt: str
    length: int | None
    samples: int
    beam: int | None
    originality: bool
    show_copied: bool
    copied_length: int | None
    heat: bool
    raw: bool
    as_json: bool
    verbose: bool

    def characters(self, drawn: Drawing, framed: bool) -> int:
        """Characters of a text, at most."""
        if self.length is not None:
            return self.length
        return DOCUMENT_LENGTH if framed and drawn.end != "length" else STREAM_LENGTH


@click.command(cls=Command, groups=GROUPS, rules=RULES, gone=GONE)
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
@click.option("--raw", is_flag=True, help="Give control characters to a terminal as they are, not spelled out.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a text: text, log-probability, seconds, …")
@click.option("-v", "--verbose", is_flag=True, help="Report run, seed and speed even if no terminal shows it.")
def command(model: str | None, engine: str, device: str | None, **options: Any) -> None:
    """Write new text with a language model, going on from PROMPT.

    \b
    chargen sample "Once upon a time" --length 1000
    chargen sample -m names -n 20 --temperature 1
    chargen sample "ROMEO:" --stop "JULIET:" --json
    """
    from chargen.kinds import LANGUAGE_MODEL
    from chargen.runs.search import find_run
    from chargen.text.records import TextRecord

    run, drawn = find_run(model, LANGUAGE_MODEL), Drawing.taken_from(options)
    wanted, framed = Wanted(**options), run.data(TextRecord).framed
    characters = wanted.samples * wanted.characters(drawn, framed)
    chosen = drawing.engine_of(run, engine, device, wanted.samples, characters)
    show_anything()
    with reader_may_leave():
        if wanted.beam is None:
            _sample(run, chosen, wanted, drawn)
        else:
            _search(run, chosen, wanted, drawn, wanted.beam)


def _sample(run: Run, engine: Engine, wanted: Wanted, drawn: Drawing) -> None:
    """Write texts, and how that went."""
    from chargen.cli import judging, showing
    from chargen.text.records import TextRecord

    began = time.perf_counter()
    seed, tokenizer = drawing.any_seed(drawn.seed), run.tokenizer()
    is_judged = wanted.originality or wanted.show_copied
    judge = judging.judge(run, wanted.copied_length) if is_judged else None
    pieces = showing.one_after_another(_pieces(run, engine, tokenizer, wanted, drawn, seed))
    separator = SEPARATORS.get(run.data(TextRecord).documents or "", RULE)
    if wanted.as_json:
        records = showing.records(pieces, {"model": run.name, "seed": seed, "prompt": wanted.prompt}, began)
        written = _print_records(records, judge)
    elif wanted.show_copied:
        written = ["".join(piece.text for piece in own) for _, own in groupby(pieces, key=attrgetter("sample"))]
    else:
        written = showing.print_text(
            pieces, wanted.prompt, separator, heat=tokenizer if wanted.heat else None, raw=wanted.raw
        )
    sys.stdout.flush()
    seconds = time.perf_counter() - began
    if judge and not wanted.as_json:
        for number, (text, found) in enumerate(zip(written, judge(written), strict=True)):
            if wanted.show_copied:
                rule = separator if number else ""
                click.echo(rule + wanted.prompt + showing.marked(text, found), color=True)
            click.echo(showing.describe(text, found, judging.length_of(wanted.copied_length)), err=True)
    if wanted.verbose or sys.stderr.isatty():
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
            record | {"copied": found.fraction, "longest_copied": record["text"][slice(*found.longest)]}
            for record, found in zip(waiting, judged, strict=True)
        )
    for record in records:
        sys.stdout.write(json_line(record))
        written.append(record["text"])
    return written


def _pieces(
    run: Run, engine: Engine, tokenizer: Tokenizer, wanted: Wanted, drawn: Drawing, seed: int
) -> Iterator[Piece]:
    """The pieces of text that are asked for."""
    from chargen.generation.generate import generate
    from chargen.text.records import TextRecord

    framed = run.data(TextRecord).framed
    return generate(
        engine,
        tokenizer,
        wanted.prompt,
        length=wanted.characters(drawn, framed),
        sampling=drawn.sampling(),
        bias=drawn.bias(run, tokenizer),
        seed=seed,
        samples=wanted.samples,
        stop=drawn.stops(),
        documents=framed,
        scored=wanted.as_json or wanted.heat,
    )


def _search(run: Run, engine: Engine, wanted: Wanted, drawn: Drawing, width: int) -> None:
    """Write the likeliest continuation that a beam finds."""
    from chargen.generation.session import Session
    from chargen.text.records import TextRecord

    began, tokenizer, framed = time.perf_counter(), run.tokenizer(), run.data(TextRecord).framed
    session = Session(engine, tokenizer, documents=framed, bias=drawn.bias(run, tokenizer))
    session.read(wanted.prompt)
    best = session.search(width, wanted.characters(drawn, framed))
    if wanted.as_json:
        record = {
            "model": run.name,
            "prompt": wanted.prompt,
            "text": best.text,
            "tokens": len(best.ids),
            "log_probability": best.log_prob,
            "end": "document" if best.ids[-1] == tokenizer.eos_id else "length",
            "seconds": time.perf_counter() - began,
        }
        click.echo(json_line(record), nl=False)
    else:
        click.echo(wanted.prompt + best.text)

"""`chargen sample`: write text to standard output as it is drawn, and everything else to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from chargen.cli import drawing
from chargen.cli.command import Command, excludes, needs
from chargen.cli.drawing import DrawingOptions
from chargen.cli.output import for_reader, json_line, reader_may_leave, tell

if TYPE_CHECKING:
    from chargen.evaluation.originality import Originality
    from chargen.generation.engines.contract import Engine
    from chargen.generation.generate import Piece
    from chargen.runs.folder import Run
    from chargen.text.tokenizers.base import Tokenizer

STREAM_LENGTH = 500  # characters
DOCUMENT_LENGTH = 10_000  # characters, in case the model never ends a document
SEPARATORS = {"line": "", "blank-line": "\n"}  # between samples, by kind of documents; others get RULE
RULE = "-" * 40 + "\n"
JUDGING = {"originality", "show_copied", "copied_length"}
RULES = [
    excludes("beam", "writes the one likeliest text", "samples", "stop", "logit_bias", "heat", "verbose",
            *drawing.CHOOSING, *JUDGING),
    excludes("as_json", "prints JSON", "heat", "show_copied"),
    excludes("show_copied", "shows what is copied", "heat"),
    drawing.WINDOW_RULE,
    needs("copied_length", "originality", "show_copied"),
]  # fmt: skip
GONE = {
    "--score": "is a command of its own now: chargen score FILE",
    "--interactive": "is a command of its own now: chargen write",
    "--co-write": "is a command of its own now: chargen write --choose",
}
GROUPS = {
    "Text": ("model", "length", "samples", "beam", *drawing.GROUPS["Text"], "clamp"),
    "Sampling": drawing.GROUPS["Sampling"],
    "Report": ("originality", "show_copied", "copied_length", "heat", "raw", "as_json", "verbose"),
    "Engine": drawing.GROUPS["Engine"],
}


@dataclass(frozen=True)
class SampleOptions:
    """What to write and how to show it, as typed; None: not typed."""

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

    def max_characters(self, drawing_options: DrawingOptions, framed: bool) -> int:
        """The most characters to write in one sample; `framed`: the model was trained on documents."""
        if self.length is not None:
            return self.length
        return DOCUMENT_LENGTH if framed and drawing_options.end != "length" else STREAM_LENGTH


@click.command(cls=Command, groups=GROUPS, rules=RULES, gone=GONE)
@click.argument("prompt", default="")
@drawing.model_option
@click.option(
    "-l",
    "--length",
    type=int,
    help=f"Most characters to write.  [default: {STREAM_LENGTH}; {DOCUMENT_LENGTH} if the model ends its documents]",
)
@drawing.drawing_options
@click.option("-n", "--samples", type=int, default=1, show_default=True, help="Number of texts to write.")
@click.option("--beam", type=int, metavar="W", help="Write the likeliest text that a beam search of width W finds.")
@click.option(
    "--clamp",
    multiple=True,
    metavar="LAYER.UNIT=VALUE",
    help="Hold a unit of a layer's output, both counted from 0, at a value: 1.42=0.9; repeatable.",
)
@drawing.engine_options
@click.option("--originality", is_flag=True, help="Report how much of the text is copied from the training text.")
@click.option("--show-copied", is_flag=True, help="Like --originality, and mark the copied parts in the text.")
@click.option(
    "--copied-length", type=int, help="Count parts of at least this many characters as copied.  [default: 20]"
)
@click.option("--heat", is_flag=True, help="Colour the text by how much it surprises the model.")
@click.option("--raw", is_flag=True, help="Pass control characters on to a terminal as they are.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per text, with log-probability, seconds, …"
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Report run, seed and speed even if standard error is not a terminal."
)
def command(model: str | None, engine: str, device: str | None, clamp: tuple[str, ...], **options: Any) -> None:
    """Write new text with a language model, starting from PROMPT.

    In PROMPT, \\n is a line break and \\t a tab, as in --stop; PROMPT - is all of standard input.

    \b
    chargen sample "Once upon a time" --length 1000
    chargen sample -m names -n 20 --temperature 1
    chargen sample "ROMEO:" --stop "JULIET:" --json
    """
    from chargen.kinds import LANGUAGE_MODEL
    from chargen.runs.search import find_run
    from chargen.text.records import TextRecord

    run, drawing_options = find_run(model, LANGUAGE_MODEL), DrawingOptions.pop_from(options)
    options["prompt"] = drawing.prompt_text(options["prompt"])
    sample_options, framed = SampleOptions(**options), run.data(TextRecord).framed
    characters = sample_options.samples * sample_options.max_characters(drawing_options, framed)
    clamps = _parse_clamps(clamp)
    writer = drawing.engine_of(run, engine, device, sample_options.samples, characters)
    writer = writer.clamped(clamps) if clamps else writer
    with reader_may_leave():
        if sample_options.beam is None:
            _sample(run, writer, sample_options, drawing_options)
        else:
            _search(run, writer, sample_options, drawing_options, sample_options.beam)


def _parse_clamps(texts: Iterable[str]) -> dict[tuple[int, int], float]:
    """Split each LAYER.UNIT=VALUE."""
    from chargen.models.units import parse_unit

    clamps: dict[tuple[int, int], float] = {}
    for text in texts:
        named, _, number = text.partition("=")
        try:
            unit, value = parse_unit(named), float(number)
        except ValueError:
            raise click.BadParameter(
                f"{text!r} is not LAYER.UNIT=VALUE, as in 1.42=0.9", param_hint="--clamp"
            ) from None
        if unit in clamps:
            raise click.BadParameter(f"unit {unit} is held twice: leave one out", param_hint="--clamp")
        clamps[unit] = value
    return clamps


def _sample(run: Run, engine: Engine, options: SampleOptions, drawing_options: DrawingOptions) -> None:
    """Write samples, then report on them."""
    from chargen.cli import judging, showing
    from chargen.text.records import TextRecord

    start_time = time.perf_counter()
    seed, tokenizer = drawing.any_seed(drawing_options.seed), run.tokenizer()
    is_judged = options.originality or options.show_copied
    judge = judging.originality_judge(run, options.copied_length) if is_judged else None
    pieces = showing.in_sample_order(_pieces(run, engine, tokenizer, options, drawing_options, seed))
    separator = SEPARATORS.get(run.data(TextRecord).documents or "", RULE)
    if options.as_json:
        records = showing.records(pieces, {"model": run.name, "seed": seed, "prompt": options.prompt}, start_time)
        texts = _print_records(records, judge)
    elif options.show_copied:
        texts = ["".join(piece.text for piece in own) for _, own in groupby(pieces, key=attrgetter("sample"))]
    else:
        heat = tokenizer if options.heat else None
        texts = showing.print_text(pieces, options.prompt, separator, heat=heat, raw=options.raw)
    sys.stdout.flush()
    seconds = time.perf_counter() - start_time
    if judge and not options.as_json:
        for number, (text, judged) in enumerate(zip(texts, judge(texts), strict=True)):
            if options.show_copied:
                above = separator if number else ""
                shown = for_reader(options.raw)
                sys.stdout.write(above + shown(options.prompt) + showing.mark_copied(text, judged, shown) + "\n")
            tell(showing.describe_copied(text, judged, judging.min_length(options.copied_length)))
    if options.verbose or sys.stderr.isatty():
        characters = sum(map(len, texts))
        speed = f"{characters:,} characters in {seconds:.2f} s, {characters / seconds:,.0f} per second"
        tell(f"{run.name}, seed {seed}: {speed}")


def _print_records(
    records: Iterator[dict[str, Any]], judge: Callable[[list[str]], list[Originality]] | None
) -> list[str]:
    """Print one JSON object per sample and return their texts; with a judge, print only when all are written."""
    texts = []
    if judge:
        unjudged = list(records)
        judged = judge([record["text"] for record in unjudged])
        records = (
            record | {"copied": found.fraction, "longest_copied": record["text"][slice(*found.longest)]}
            for record, found in zip(unjudged, judged, strict=True)
        )
    for record in records:
        sys.stdout.write(json_line(record))
        texts.append(record["text"])
    return texts


def _pieces(
    run: Run,
    engine: Engine,
    tokenizer: Tokenizer,
    options: SampleOptions,
    drawing_options: DrawingOptions,
    seed: int,
) -> Iterator[Piece]:
    """Draw the pieces of all samples."""
    from chargen.generation.generate import generate
    from chargen.text.records import TextRecord

    framed = run.data(TextRecord).framed
    return generate(
        engine,
        tokenizer,
        options.prompt,
        length=options.max_characters(drawing_options, framed),
        sampling=drawing_options.sampling(),
        bias=drawing_options.bias(run, tokenizer),
        seed=seed,
        samples=options.samples,
        stop=drawing_options.stops(),
        documents=framed,
        scored=options.as_json or options.heat,
    )


def _search(run: Run, engine: Engine, options: SampleOptions, drawing_options: DrawingOptions, width: int) -> None:
    """Write the likeliest continuation that a beam search finds."""
    from chargen.generation.session import Session
    from chargen.text.records import TextRecord

    start_time, tokenizer, framed = time.perf_counter(), run.tokenizer(), run.data(TextRecord).framed
    session = Session(engine, tokenizer, documents=framed, bias=drawing_options.bias(run, tokenizer))
    session.read(options.prompt)
    best = session.search(width, options.max_characters(drawing_options, framed))
    if options.as_json:
        record = {
            "model": run.name,
            "prompt": options.prompt,
            "text": best.text,
            "tokens": len(best.ids),
            "log_probability": best.log_prob,
            "end": "document" if best.ids[-1] == tokenizer.eos_id else "length",
            "seconds": time.perf_counter() - start_time,
        }
        sys.stdout.write(json_line(record))
    else:
        sys.stdout.write(for_reader(options.raw)(options.prompt + best.text) + "\n")

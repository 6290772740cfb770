"""`chargen write`: a person and a model write a text in turns."""

from __future__ import annotations

from typing import Any

import click

from chargen.cli import drawing
from chargen.cli.output import reader_may_leave, show_anything, unescape

TURN_LENGTH = 200
IDLE = {"length", "stop", "logit_bias", *drawing.CHOOSING}  # where a person chooses


@click.command()
@click.argument("prompt", default="")
@drawing.model_option
@click.option("--choose", is_flag=True, help="Choose among the likeliest next pieces, or type your own.")
@click.option("-l", "--length", type=int, help=f"Characters of the model's turn.  [default: {TURN_LENGTH}]")
@drawing.drawing_options
@drawing.engine_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Write with a language model in turns, going on from PROMPT: a line by you, then --length characters by it.

    With --choose, it shows the likeliest next pieces, and you take one or type your own; the text goes to standard
    output in the end. Ctrl-D ends.

    \b
    chargen write "Dear"
    chargen write "Once upon" --choose > story.txt
    """
    from chargen.cli import interactive
    from chargen.generation.session import Session
    from chargen.kinds import LANGUAGE_MODEL
    from chargen.runs.search import find_run
    from chargen.text.records import TextRecord

    given = drawing.typed(ctx)
    if options["choose"] and (idle := sorted(given & IDLE)):
        raise click.UsageError(
            f"with --choose you write, so {drawing.flag(idle[0])} has no use: leave one of them out"
        )
    drawing.refuse_idle_window(given)
    run = find_run(options["model"], LANGUAGE_MODEL)
    documents, tokenizer = run.data(TextRecord).documents, run.tokenizer()
    session = Session(
        drawing.engine_of(run, options),
        tokenizer,
        documents=bool(documents),
        sampling=drawing.sampling_of(options),
        bias=drawing.bias_of(run, tokenizer, options),
        seed=drawing.seed_of(options),
    )
    show_anything()
    with reader_may_leave():
        if options["choose"]:
            interactive.co_write(session, options["prompt"])
            return
        stop = tuple(unescape(text) for text in options["stop"])
        length = TURN_LENGTH if options["length"] is None else options["length"]
        line_break = "" if documents == "line" or tokenizer.unknown("\n") else "\n"
        interactive.talk(session, options["prompt"], length, stop, line_break)

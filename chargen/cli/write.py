"""`chargen write`: a person and a model write a text in turns."""

from __future__ import annotations

from typing import Any

import click

from chargen.cli import drawing
from chargen.cli.command import Command, without
from chargen.cli.drawing import Drawing
from chargen.cli.output import reader_may_leave, show_anything

TURN_LENGTH = 200
RULES = [
    without("choose", "lets you write", "length", "stop", "logit_bias", *drawing.CHOOSING),
    drawing.WINDOW_RULE,
]


@click.command(cls=Command, rules=RULES)
@click.argument("prompt", default="")
@drawing.model_option
@click.option("--choose", is_flag=True, help="Choose among the likeliest next pieces, or type your own.")
@click.option("-l", "--length", type=int, help=f"Characters of the model's turn.  [default: {TURN_LENGTH}]")
@drawing.drawing_options
@drawing.engine_options
def command(
    prompt: str, model: str | None, choose: bool, length: int | None, engine: str, device: str | None, **options: Any
) -> None:
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

    run, drawn = find_run(model, LANGUAGE_MODEL), Drawing.taken_from(options)
    documents, tokenizer = run.data(TextRecord).documents, run.tokenizer()
    session = Session(
        drawing.engine_of(run, engine, device),
        tokenizer,
        documents=documents is not None,
        sampling=drawn.sampling(),
        bias=drawn.bias(run, tokenizer),
        seed=drawing.any_seed(drawn.seed),
    )
    show_anything()
    with reader_may_leave():
        if choose:
            interactive.co_write(session, prompt)
            return
        line_break = "" if documents == "line" or tokenizer.unknown("\n") else "\n"
        interactive.talk(session, prompt, TURN_LENGTH if length is None else length, drawn.stops(), line_break)

"""`chargen write`: the user and a language model write a text in turns."""

from __future__ import annotations

from typing import Any

import click

from chargen.cli import drawing
from chargen.cli.command import Command, excludes
from chargen.cli.drawing import DrawingOptions
from chargen.cli.output import reader_may_leave, unescape

TURN_LENGTH = 200  # characters
RULES = [
    excludes("choose", "lets you write", "length", "stop", "logit_bias", *drawing.CHOOSING),
    drawing.WINDOW_RULE,
]
GROUPS = {**drawing.GROUPS, "Text": ("model", "choose", "length", *drawing.GROUPS["Text"])}


@click.command(cls=Command, groups=GROUPS, rules=RULES)
@click.argument("prompt", default="")
@drawing.model_option
@click.option("--choose", is_flag=True, help="Choose the next piece from the likeliest, or type your own.")
@click.option("-l", "--length", type=int, help=f"Most characters in a turn of the model.  [default: {TURN_LENGTH}]")
@drawing.drawing_options
@drawing.engine_options
def command(
    prompt: str, model: str | None, choose: bool, length: int | None, engine: str, device: str | None, **options: Any
) -> None:
    """Write a text in turns with a language model, starting from PROMPT, in which \\n is a line break.

    You type a line, the model writes up to --length characters, and so on. Ctrl-D ends.

    With --choose, the model shows the likeliest next pieces, and you choose one or type your own. The whole text is
    written to standard output at the end.

    \b
    chargen write "Dear"
    chargen write "Once upon" --choose > story.txt
    """
    from chargen.cli import interactive
    from chargen.generation.session import Session
    from chargen.kinds import LANGUAGE_MODEL
    from chargen.runs.search import find_run
    from chargen.text.records import TextRecord

    run, drawing_options = find_run(model, LANGUAGE_MODEL), DrawingOptions.pop_from(options)
    documents, tokenizer = run.data(TextRecord).documents, run.tokenizer()
    session = Session(
        drawing.engine_of(run, engine, device),
        tokenizer,
        documents=documents is not None,
        sampling=drawing_options.sampling(),
        bias=drawing_options.bias(run, tokenizer),
        seed=drawing.any_seed(drawing_options.seed),
    )
    prompt = unescape(prompt)
    with reader_may_leave():
        if choose:
            interactive.co_write(session, prompt)
            return
        line_break = "" if documents == "line" or tokenizer.unknown("\n") else "\n"
        turn_length = TURN_LENGTH if length is None else length
        interactive.talk(session, prompt, turn_length, drawing_options.stops(), line_break)

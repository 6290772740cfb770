"""`chargen score`: how surprised a language model is by a text."""

from __future__ import annotations

from typing import Any

import click

from chargen.cli import drawing
from chargen.cli.output import reader_may_leave, show_anything


@click.command()
@click.argument("file", default="-")
@drawing.model_option
@click.option("--heat", is_flag=True, help="Show the text, coloured by how surprised the model is.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object a text, with each symbol's log-probability."
)
@drawing.engine_options
def command(**options: Any) -> None:
    """Print the log-probability (nats) of each symbol of a text in FILE, by default of standard input.

    What it comes to is told on standard error.

    \b
    chargen score other.txt
    chargen score other.txt --heat
    echo "Once upon a time" | chargen score -m book --json
    """
    from chargen.cli.judging import print_score
    from chargen.kinds import LANGUAGE_MODEL
    from chargen.runs.search import find_run

    if options["heat"] and options["as_json"]:
        raise click.UsageError("--json prints JSON, so --heat has no use with it: leave one of them out")
    run = find_run(options["model"], LANGUAGE_MODEL)
    show_anything()
    with reader_may_leave():
        form = "json" if options["as_json"] else "heat" if options["heat"] else "lines"
        print_score(run, drawing.engine_of(run, options), run.tokenizer(), options["file"], form)

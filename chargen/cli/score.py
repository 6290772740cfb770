"""`chargen score`: how surprised a language model is by a text."""

from __future__ import annotations

import click

from chargen.cli import drawing
from chargen.cli.command import Command, without
from chargen.cli.output import reader_may_leave, show_anything


@click.command(cls=Command, rules=[without("as_json", "prints JSON", "heat")])
@click.argument("file", default="-")
@drawing.model_option
@click.option("--heat", is_flag=True, help="Show the text, coloured by how surprised the model is.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object a text, with each token's log-probability."
)
@drawing.engine_options
def command(file: str, model: str | None, heat: bool, as_json: bool, engine: str, device: str | None) -> None:
    """Print the log-probability (nats) of each token of a text in FILE, by default of standard input.

    What it comes to is told on standard error.

    \b
    chargen score other.txt
    chargen score other.txt --heat
    echo "Once upon a time" | chargen score -m book --json
    """
    from chargen.cli.judging import print_score
    from chargen.kinds import LANGUAGE_MODEL
    from chargen.runs.search import find_run

    run = find_run(model, LANGUAGE_MODEL)
    show_anything()
    with reader_may_leave():
        form = "json" if as_json else "heat" if heat else "lines"
        print_score(run, drawing.engine_of(run, engine, device), run.tokenizer(), file, form)

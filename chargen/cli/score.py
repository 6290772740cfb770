"""`chargen score`: how likely a language model finds each token of a text."""

from __future__ import annotations

import click

from chargen.cli import drawing
from chargen.cli.command import Command, excludes
from chargen.cli.output import reader_may_leave

RULES = [excludes("as_json", "prints JSON", "heat")]
GROUPS = {"Text": ("model",), "Report": ("heat", "as_json"), "Engine": drawing.GROUPS["Engine"]}


@click.command(cls=Command, groups=GROUPS, rules=RULES)
@click.argument("file", default="-")
@drawing.model_option
@click.option("--heat", is_flag=True, help="Show the text, coloured by how much it surprises the model.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per text, with the log-probability of each token."
)
@drawing.engine_options
def command(file: str, model: str | None, heat: bool, as_json: bool, engine: str, device: str | None) -> None:
    """Print the log-probability, in nats, of each token of the text in FILE (default: standard input).

    The averages, in nats and bits per character, go to standard error.

    \b
    chargen score other.txt
    chargen score other.txt --heat
    echo "Once upon a time" | chargen score -m book --json
    """
    from chargen.cli.judging import print_score
    from chargen.kinds import LANGUAGE_MODEL
    from chargen.runs.search import find_run

    run = find_run(model, LANGUAGE_MODEL)
    with reader_may_leave():
        form = "json" if as_json else "heat" if heat else "lines"
        print_score(run, drawing.engine_of(run, engine, device), run.tokenizer(), file, form)

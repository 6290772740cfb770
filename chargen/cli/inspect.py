"""`chargen inspect`: look inside a run."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chargen.cli.command import Command, excludes
from chargen.cli.completion import Input, RunName
from chargen.cli.output import json_line, reader_may_leave, tell

if TYPE_CHECKING:
    from chargen.runs.folder import Run

GROUPS = {
    "Text": ("model", "length"),
    "What to look at": ("unit", "compare"),
    "Output": ("page", "no_page", "plot", "as_json"),
}
RULES = [excludes("no_page", "writes no page", "page")]


@click.command(cls=Command, groups=GROUPS, rules=RULES)
@click.argument("text", required=False, type=Input(), metavar="[TEXT]")
@click.option(
    "-m", "--model", type=RunName(), help="A run: its name under checkpoints/, or its path.  [default: the newest]"
)
@click.option(
    "-l",
    "--length",
    type=click.IntRange(min=1),
    default=30_000,
    show_default=True,
    help="Most characters to read. All units are kept for 10,000 tokens, 64 of them for the rest.",
)
@click.option(
    "--unit",
    multiple=True,
    metavar="LAYER.UNIT",
    help="Show this unit along the text, both numbers counted from 0; repeatable.",
)
@click.option(
    "--compare",
    multiple=True,
    metavar="NAMES",
    help="Measure the gradients of other runs and cells too, such as rnn,gru,lstm: of each cell a small model is "
    "trained first; repeatable.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw gradients and gates to a .png, .svg, .pdf, … file.",
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the page, one HTML file, here.  [default: RUN-inspection.html in the current folder]",
)
@click.option("--no-page", is_flag=True, help="Write no page.")
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as one JSON object.")
def command(
    text: str | None,
    model: str | None,
    length: int,
    unit: tuple[str, ...],
    compare: tuple[str, ...],
    plot: Path | None,
    page: Path | None,
    no_page: bool,
    as_json: bool,
) -> None:
    """Look inside a run while it reads TEXT, a file or - for standard input, or the text that it held out.

    Shows how well the text is predicted; which units tell, for example, whether a quotation is open; how often gates
    are shut, and how long units remember; how far gradients reach back in time; and for a classifier which units and
    which parts of a text carry its decisions. All this is printed, and shown by a page for a browser, which needs no
    network.

    \b
    chargen inspect
    chargen inspect other.txt -m book --unit 1.42
    chargen inspect -m book --compare rnn,gru,lstm --plot gradients.svg
    chargen inspect -m reviews new.csv --json
    """
    from chargen.api.inspect import inspect
    from chargen.cli.findings import show
    from chargen.cli.progress import fraction_bar
    from chargen.evaluation.plotting import require_plot
    from chargen.inspection.export import as_json as all_numbers
    from chargen.inspection.page import check_page, write_page
    from chargen.inspection.plotting import plot_findings
    from chargen.runs.search import find_run

    run = find_run(model)
    if plot:
        require_plot(plot)
    page = None if no_page else page or Path(f"{run.path.resolve().name}-inspection.html")
    if page:
        check_page(page)
    texts = None if text is None else _texts(run, text, length)
    with fraction_bar("inspecting") as progress:
        found = inspect(run, texts, length=length, units=unit, compare=compare, progress=progress)
    for note in found.notes:
        tell(note)
    if plot:
        plot_findings(found, plot)
        tell(f"plot: {plot}")
    numbers = all_numbers(found)
    if page:
        write_page(page, numbers)
        tell(f"page: {page}")
    with reader_may_leave():
        if as_json:
            sys.stdout.write(json_line(numbers))
        else:
            show(found)


def _texts(run: Run, file: str, length: int) -> list[str]:
    """The texts in a file, as the run reads its own; at least as many as have `length` characters, if there are."""
    from chargen.cli.labelling import open_files
    from chargen.kinds import kind_of
    from chargen.text.records import LabelledRecord, TextRecord
    from chargen.text.sources import resolve
    from chargen.text.text_data import read_like

    if kind_of(run.kind).has_labels:
        recorded = run.data(LabelledRecord)
        rows = open_files([file], recorded.encoding, (), recorded).rows
        return [text for text, _ in islice(rows, length) if text.strip()]
    record = run.data(TextRecord)
    blocks = read_like(record, resolve([file]))
    if record.framed:
        return list(islice(blocks, length))
    found, characters = [], 0
    for block in blocks:
        found.append(block)
        characters += len(block)
        if characters >= length:
            break
    return ["".join(found)]

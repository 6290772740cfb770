"""`chargen corpus`: the named corpora, and what is in a text."""

from __future__ import annotations

from dataclasses import asdict

import click

from chargen.cli.completion import Input
from chargen.cli.output import json_line
from chargen.text import corpora
from chargen.text.corpora import CORPORA, NamedCorpus

SHOWN = 8  # symbols, of the most and of the least frequent


@click.group(name="corpus")
def command() -> None:
    """List, fetch and inspect the named corpora.

    A corpus can be named wherever a file can: chargen train tinyshakespeare. They are kept in the folder data,
    or in the one that CHARGEN_DATA names.
    """


@command.command(name="list")
def list_corpora() -> None:
    """Show the named corpora, and which are here.

    chargen corpus list
    """
    header = ("NAME", "KIND", "SIZE", "FETCHED", "WHAT", "WHERE")
    rows = [header, *(_row(corpus) for corpus in CORPORA.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@command.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def fetch(names: tuple[str, ...]) -> None:
    """Download corpora and print the paths of their files.

    The built-in ones are made. A download that was broken off goes on where it ended, and a file that is not
    the expected one is not kept.

    chargen corpus fetch tinyshakespeare
    """
    from tqdm import tqdm

    for corpus in [corpora.find_corpus(name) for name in names]:
        with tqdm(desc=corpus.name, unit="B", unit_scale=True, disable=None, leave=False) as bar:

            def show(so_far: int, total: int | None, bar: tqdm = bar) -> None:
                bar.total = total
                bar.update(so_far - bar.n)

            paths = corpora.fetch(corpus.name, show)
        for path in paths:
            click.echo(path)


@command.command()
@click.argument("inputs", type=Input(), metavar="[INPUT]...", nargs=-1)
@click.option("--encoding", default="utf-8", show_default=True, help="How the text is encoded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with the count of every symbol.")
def stats(inputs: tuple[str, ...], encoding: str, as_json: bool) -> None:
    """Show what is in a text, and what xz makes of it.

    An INPUT is a file, a folder, a pattern, - for standard input, or a named corpus; with none, it is
    python-docs. A model worth its weights needs fewer bits per character than xz.

    chargen corpus stats book.txt
    """
    from tqdm import tqdm

    from chargen.text.sources import resolve
    from chargen.text.stats import text_stats

    sources = resolve(inputs or ["python-docs"], kinds=("text", "labelled"))
    size = sum(source.size for source in sources)
    with tqdm(total=size, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        found = text_stats(sources, encoding, bar.update)
    if as_json:
        click.echo(json_line(asdict(found)), nl=False)
        return
    ranked = list(found.counts.items())
    click.echo(f"characters        {found.characters:,}")
    click.echo(f"lines             {found.lines:,}")
    click.echo(f"longest line      {found.longest_line:,} characters")
    click.echo(f"distinct symbols  {len(ranked):,}")
    click.echo(f"most frequent     {_shares(ranked[:SHOWN], found.characters)}")
    click.echo(f"least frequent    {_times(ranked[: -SHOWN - 1 : -1])}")
    click.echo(f"compressed by xz  {found.xz_bits_per_character:.3f} bits per character")


def _shares(ranked: list[tuple[str, int]], characters: int) -> str:
    return "  ".join(f"{symbol!r} {count / characters:.1%}" for symbol, count in ranked)


def _times(ranked: list[tuple[str, int]]) -> str:
    return "  ".join(f"{symbol!r} {count:,}" for symbol, count in ranked)


def _row(corpus: NamedCorpus) -> tuple[str, ...]:
    fetched = "yes" if corpus.fetched else "no"
    if corpus.fetched:
        size = sum(path.stat().st_size for path in corpus.paths)
        where = str(corpus.paths[0].parent)
    else:
        size = sum(file.size for file in corpus.files)
        where = "your Python" if corpus.built_in else corpus.files[0].address.split("/")[2]
    what = f"{corpus.description} ({corpus.licence})"
    return corpus.name, corpus.kind, f"{size / 1e6:,.1f} MB" if size else "-", fetched, what, where

"""`chargen corpus`: list and fetch the named corpora, and count what is in a text."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from chargen.cli.completion import Input
from chargen.cli.output import echo, json_line
from chargen.text import corpora
from chargen.text.corpora import CORPORA, NamedCorpus

SHOWN = 8  # characters to show, of the most and of the least frequent


@click.group(name="corpus")
def command() -> None:
    """List, fetch and inspect the named corpora.

    A corpus can be named wherever a file can: chargen train tinyshakespeare. Corpora are kept in the folder data/,
    or in the folder that the environment variable CHARGEN_DATA names.
    """


@command.command(name="list")
def list_corpora() -> None:
    """List the named corpora, and which of them are fetched.

    chargen corpus list
    """
    header = ("NAME", "KIND", "SIZE", "FETCHED", "WHAT", "WHERE")
    rows = [header, *(_row(corpus) for corpus in CORPORA.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        echo("  ".join(cells).rstrip())


@command.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def fetch(names: tuple[str, ...]) -> None:
    """Download corpora and print the paths of their files.

    Built-in corpora are made from your own Python. An interrupted download continues where it stopped. A file whose
    checksum is wrong is deleted.

    chargen corpus fetch tinyshakespeare
    """
    from tqdm import tqdm

    for corpus in [corpora.find_corpus(name) for name in names]:
        with tqdm(desc=corpus.name, unit="B", unit_scale=True, disable=None, leave=False) as bar:

            def update(downloaded: int, total: int | None, bar: tqdm = bar) -> None:
                bar.total = total
                bar.update(downloaded - bar.n)

            paths = corpora.fetch(corpus.name, update)
        for path in paths:
            echo(str(path))


@command.command()
@click.argument("inputs", type=Input(), metavar="[INPUT]...", nargs=-1)
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the text.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with the count of every character.")
def stats(inputs: tuple[str, ...], encoding: str, as_json: bool) -> None:
    """Count characters and lines of a text, and measure how far xz compresses it.

    An INPUT is a file, a folder, a pattern, - for standard input, or a named corpus; the default is python-docs.
    A good model needs fewer bits per character than xz.

    chargen corpus stats book.txt
    """
    from tqdm import tqdm

    from chargen.text.sources import resolve
    from chargen.text.stats import text_stats

    sources = resolve(inputs or ["python-docs"], kinds=("text", "labelled"))
    size = sum(source.size for source in sources)
    with tqdm(total=size, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        counted = text_stats(sources, encoding, bar.update)
    if as_json:
        sys.stdout.write(json_line(asdict(counted)))
        return
    ranked = list(counted.counts.items())
    echo(f"characters        {counted.characters:,}")
    echo(f"lines             {counted.lines:,}")
    echo(f"longest line      {counted.longest_line:,} characters")
    echo(f"distinct symbols  {len(ranked):,}")
    echo(f"most frequent     {_fractions(ranked[:SHOWN], counted.characters)}")
    echo(f"least frequent    {_counts(ranked[: -SHOWN - 1 : -1])}")
    echo(f"compressed by xz  {counted.xz_bits_per_character:.3f} bits per character")


def _fractions(ranked: list[tuple[str, int]], characters: int) -> str:
    return "  ".join(f"{character!r} {count / characters:.1%}" for character, count in ranked)


def _counts(ranked: list[tuple[str, int]]) -> str:
    return "  ".join(f"{character!r} {count:,}" for character, count in ranked)


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

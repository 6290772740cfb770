"""What the pages in docs/ say exists: commands, options, files and folders."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import click
import pytest
from snippets import ROOT, broken_links, command_lines, parse

PAGES = sorted((ROOT / "docs").glob("*.md"))
LINKED = [*PAGES, *sorted(ROOT.glob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md"))]
PLACES = ("chargen/", "tests/", "benchmarks/", "docs/")


def test_the_page_of_commands_is_up_to_date() -> None:
    generator = runpy.run_path(str(ROOT / "docs" / "generate_cli.py"))
    written = generator["PAGE"].read_text(encoding="utf-8")
    assert written == generator["page"](), f"docs/cli.md is out of date: run `{generator['COMMAND']}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_exists(page: Path) -> None:
    for quoted in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")):
        if quoted.startswith(PLACES):
            assert (ROOT / quoted).exists(), f"{page.name} names {quoted}"


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert not broken_links(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page: Path) -> None:
    for arguments in command_lines(page.read_text(encoding="utf-8")):
        try:
            parse(arguments)
        except click.UsageError as error:
            pytest.fail(f"{page.name}: chargen {' '.join(arguments)}: {error.format_message()}")


def test_a_command_that_does_not_exist_is_found() -> None:
    lines = list(command_lines("```sh\necho x | chargen train a.txt --hidden 3 > y && chargen sing # chargen x\n```"))
    assert lines == [["train", "a.txt", "--hidden", "3"], ["sing"]]
    for arguments in lines:
        with pytest.raises(click.UsageError):
            parse(arguments)

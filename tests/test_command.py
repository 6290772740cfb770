"""Groups of options, rules between them, and answers for flags that have gone: for every command."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from commands import call

from chargen.cli import COMMANDS, main
from chargen.cli.command import Command, flag
from chargen.runs.formats import RENAMED_OPTIONS

ALL = {name: main.get_command(click.Context(main), name) for name in COMMANDS}
OURS = {name: command for name, command in ALL.items() if isinstance(command, Command)}


def options(command: click.Command) -> set[str]:
    return {str(param.name) for param in command.params}


@pytest.mark.parametrize("name", OURS)
def test_groups_and_rules_name_options_that_there_are_once(name: str) -> None:
    command = OURS[name]
    grouped = [option for group in command.groups.values() for option in group]
    assert len(grouped) == len({*grouped}) and {*grouped} <= options(command)
    for rule in command.rules:
        assert {rule.option, *rule.others} <= options(command)
    for gone in command.gone:
        assert gone not in {spelling for param in command.params for spelling in param.opts}


@pytest.mark.parametrize("name", OURS)
def test_help_shows_every_option_once_under_its_heading(name: str) -> None:
    shown = call(name, "--help").stdout
    for param in OURS[name].params:
        if isinstance(param, click.Option):
            assert len(re.findall(rf"^ .*(?<!\S){re.escape(param.opts[-1])}\b", shown, re.MULTILINE)) >= 1
    headings = re.findall(r"^(\S.*):$", shown, re.MULTILINE)
    assert headings == [*OURS[name].groups, "Other options" if OURS[name].groups else "Options"]


@pytest.mark.parametrize(("old", "new"), RENAMED_OPTIONS.items())
def test_an_old_flag_answers_with_the_new_name(old: str, new: str, tmp_path: Path) -> None:
    for typed in ((flag(old), "4"), (f"{flag(old)}=4",)):
        said = call("train", str(tmp_path), *typed, code=2).stderr
        assert f"{flag(old)} is called {flag(new)} now" in said


def test_what_is_mistyped_is_answered_with_the_nearest() -> None:
    assert "--hidden-size" in call("train", "--hiden-size", "3", code=2).stderr
    assert "did you mean train?" in call("trian", code=2).stderr
    assert "did you mean" not in call("zzzzzz", code=2).stderr


def test_moved_flags_name_their_command() -> None:
    for old, new in (("--score", "score FILE"), ("--interactive", "write"), ("--co-write", "write --choose")):
        assert f"is a command of its own now: chargen {new}" in call("sample", old, code=2).stderr

"""A command whose options stand in groups, and which says in a sentence when two of them contradict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

import click
from click.core import ParameterSource

SPELLINGS = {  # of options and arguments that are not called as they are typed
    **{"prompt": "PROMPT", "texts": "TEXT", "inputs": "INPUT", "data": "DATA"},
    **{"as_json": "--json", "start_from": "--from", "files": "--file", "tied": "--tied/--untied"},
}
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def flag(name: str) -> str:
    """An option or argument as a person types it.

    >>> flag("hidden_size"), flag("as_json"), flag("start_from"), flag("prompt")
    ('--hidden-size', '--json', '--from', 'PROMPT')
    """
    return SPELLINGS.get(name, f"--{name.replace('_', '-')}")


@dataclass(frozen=True)
class Without:
    """One option under which others have no use."""

    option: str
    does: str  # why: what the option does
    others: frozenset[str]

    def check(self, typed: set[str], ctx: click.Context) -> None:
        """UsageError when the option and one of the others are typed."""
        if self.option in typed and (idle := sorted(typed & self.others)):
            raise click.UsageError(
                f"{flag(self.option)} {self.does}, so {flag(idle[0])} has no use with it: leave one of them out", ctx
            )


@dataclass(frozen=True)
class Needs:
    """One option that has no use without another."""

    option: str
    others: tuple[str, ...]

    def check(self, typed: set[str], ctx: click.Context) -> None:
        """UsageError when the option is typed and none of the others is."""
        if self.option in typed and not typed & {*self.others}:
            what = "give both or none" if len(self.others) == 1 else "give one of them"
            raise click.UsageError(
                f"{flag(self.option)} has no use without {' or '.join(map(flag, self.others))}: {what}", ctx
            )


def without(option: str, does: str, *others: str) -> Without:
    """A `Without` of options by name."""
    return Without(option, does, frozenset(others))


def needs(option: str, *others: str) -> Needs:
    """A `Needs` of options by name."""
    return Needs(option, others)


class Command(click.Command):
    """A command with groups of options, rules between them, and answers for flags that have gone."""

    def __init__(
        self,
        *arguments: Any,
        groups: Mapping[str, Iterable[str]] | None = None,
        rules: Sequence[Without | Needs] = (),
        gone: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """Make the command.

        Args:
            *arguments: As for `click.Command`.
            groups: Names of options under a heading each, for the help; the rest comes last.
            rules: Checked when the command line is read.
            gone: What is said of flags that are there no more, by flag.
            **settings: As for `click.Command`.
        """
        super().__init__(*arguments, **settings)
        self.groups, self.rules, self.gone = groups or {}, rules, gone or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; UsageError for what it cannot be."""
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name in self.gone:
                raise click.UsageError(f"{error.option_name} {self.gone[error.option_name]}", ctx) from error
            raise
        given = {name for name in ctx.params if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
        for rule in self.rules:
            rule.check(given, ctx)
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options group by group, each option once."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        records = {option.name: record for option in options if (record := option.get_help_record(ctx))}
        grouped = {title: [records.pop(name) for name in names] for title, names in self.groups.items()}
        for title, rows in {**grouped, "Other options" if grouped else "Options": list(records.values())}.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def add_options(*declared: Callable[[Any], Any]) -> Callable[[Decorated], Decorated]:
    """A decorator that gives a command options in this order."""

    def decorate(command: Decorated) -> Decorated:
        for option in reversed(declared):
            command = option(command)
        return command

    return decorate


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint on what was perhaps meant; no text where nothing is near.

    >>> nearest("trian", ["train", "sample"])
    ' (did you mean train?)'
    """
    found = get_close_matches(name, list(known), 1)
    return f" (did you mean {found[0]}?)" if found else ""

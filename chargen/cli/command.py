"""A click command whose help groups the options, and which checks rules between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

import click
from click.core import ParameterSource

SPELLINGS = {  # options and arguments whose parameter name differs from what is typed
    **{"prompt": "PROMPT", "texts": "TEXT", "inputs": "INPUT", "data": "DATA"},
    **{"as_json": "--json", "start_from": "--from", "files": "--file", "tied": "--tied/--untied"},
}
Function = TypeVar("Function", bound=Callable[..., Any])


def flag(name: str) -> str:
    """Spell an option or argument as the user types it.

    >>> flag("hidden_size"), flag("as_json"), flag("start_from"), flag("prompt")
    ('--hidden-size', '--json', '--from', 'PROMPT')
    """
    return SPELLINGS.get(name, f"--{name.replace('_', '-')}")


@dataclass(frozen=True)
class Excludes:
    """A rule: one option makes others pointless."""

    option: str
    does: str  # what the option does, which is the reason
    others: frozenset[str]

    def check(self, typed: set[str], ctx: click.Context) -> None:
        """Raise UsageError if both the option and one of the others are typed."""
        if self.option in typed and (excluded := sorted(typed & self.others)):
            raise click.UsageError(
                f"{flag(self.option)} {self.does}, so {flag(excluded[0])} has no use with it: leave one of them out",
                ctx,
            )


@dataclass(frozen=True)
class Needs:
    """A rule: one option is pointless without another."""

    option: str
    others: tuple[str, ...]

    def check(self, typed: set[str], ctx: click.Context) -> None:
        """Raise UsageError if the option is typed and none of the others is."""
        if self.option in typed and not typed & {*self.others}:
            advice = "give both or none" if len(self.others) == 1 else "give one of them"
            raise click.UsageError(
                f"{flag(self.option)} has no use without {' or '.join(map(flag, self.others))}: {advice}", ctx
            )


def excludes(option: str, does: str, *others: str) -> Excludes:
    """Make the rule that `option` goes without each of `others`.

    Args:
        option: Its parameter name.
        does: What the option does, for the message: "--json {does}, so --heat has no use with it".
        *others: Parameter names.
    """
    return Excludes(option, does, frozenset(others))


def needs(option: str, *others: str) -> Needs:
    """Make the rule that `option` goes only with one of `others`, by parameter name."""
    return Needs(option, others)


class Command(click.Command):
    """A command with groups of options, rules between them, and messages for removed flags."""

    def __init__(
        self,
        *arguments: Any,
        groups: Mapping[str, Iterable[str]] | None = None,
        rules: Sequence[Excludes | Needs] = (),
        gone: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """Make the command.

        Args:
            *arguments: As for `click.Command`.
            groups: Parameter names of options, by heading of the help; options in no group come last.
            rules: Rules between options, checked when the command line is parsed.
            gone: Removed flags, each with the end of the sentence "--flag …" that says what to use instead.
            **settings: As for `click.Command`.
        """
        super().__init__(*arguments, **settings)
        self.groups, self.rules, self.gone = groups or {}, rules, gone or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; UsageError for a removed flag or a broken rule."""
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name in self.gone:
                raise click.UsageError(f"{error.option_name} {self.gone[error.option_name]}", ctx) from error
            raise
        typed = {name for name in ctx.params if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
        for rule in self.rules:
            rule.check(typed, ctx)
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options to the help, group by group."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        rest = {option.name: record for option in options if (record := option.get_help_record(ctx))}
        grouped = {title: [rest.pop(name) for name in names] for title, names in self.groups.items()}
        for title, rows in {**grouped, "Other options" if grouped else "Options": list(rest.values())}.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def add_options(*options: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Make one decorator of several `click.option` decorators; the help keeps their order."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):  # as stacked decorators are applied
            function = option(function)
        return function

    return decorate


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the most similar known name; empty if none is similar.

    >>> did_you_mean("trian", ["train", "sample"])
    ' (did you mean train?)'
    """
    found = get_close_matches(name, list(known), 1)
    return f" (did you mean {found[0]}?)" if found else ""

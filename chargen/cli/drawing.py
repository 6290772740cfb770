"""What `chargen sample`, `write` and `score` share: how symbols are drawn, and what draws them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from chargen.cli.completion import RunName
from chargen.cli.output import unescape

if TYPE_CHECKING:
    import numpy as np

    from chargen.generation.engines.contract import Engine
    from chargen.generation.samplers import Sampling
    from chargen.runs.folder import Run
    from chargen.text.tokenizers.base import Tokenizer

CHOOSING = {"temperature", "top_k", "top_p", "min_p", "typical", "repetition_penalty", "repetition_window", "seed"}

Command = TypeVar("Command", bound=Callable[..., Any])


def options(*declared: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """A decorator that gives a command options in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(declared):
            command = option(command)
        return command

    return decorate


model_option = click.option(
    "-m", "--model", type=RunName(), help="A run: its name under checkpoints/, or a path.  [default: the newest]"
)
drawing_options = options(
    click.option(
        "-t", "--temperature", type=float, help="Below 1 safer, above 1 wilder, 0 the likeliest.  [default: 0.8]"
    ),
    click.option("--top-k", type=int, help="Choose among the K likeliest symbols."),
    click.option("--top-p", type=float, help="Choose among the fewest symbols that have this probability together."),
    click.option("--min-p", type=float, help="Choose among symbols with this share of the likeliest's probability."),
    click.option("--typical", type=float, help="As --top-p, of the symbols nearest to the expected surprise."),
    click.option("--repetition-penalty", type=float, help="Above 1: what has just been written becomes less likely."),
    click.option("--repetition-window", type=int, help="Symbols that count as just written.  [default: 64]"),
    click.option("--stop", multiple=True, metavar="TEXT", help=r"End before this text; repeatable; \n: line break."),
    click.option("--allow", metavar="CHARACTERS", help=r"Write these characters only; \n and \t as in --stop."),
    click.option("--forbid", default="", metavar="CHARACTERS", help="Write none of these characters."),
    click.option(
        "--logit-bias",
        multiple=True,
        metavar="TEXT=NUMBER",
        help="Make one symbol likelier, or with -2 rarer; repeatable.",
    ),
    click.option("--seed", type=int, help="Same seed and engine, same text.  [default: another each time]"),
    click.option(
        "--end",
        type=click.Choice(["document", "length"]),
        help="Documents: stop at the end symbol, or never write one.  [default: document, where the model has them]",
    ),
)
engine_options = options(
    click.option(
        "--engine",
        type=click.Choice(["auto", "numpy", "torch"]),
        default="auto",
        show_default=True,
        help="auto: numpy; for much text in many samples torch, in bfloat16 where the hardware has it.",
    ),
    click.option("--device", help="For the engine torch: cpu, cuda, …  [default: the GPU, if there is one]"),
)


def engine_of(run: Run, options: dict[str, Any], samples: int = 1, characters: int = 0) -> Engine:
    """The engine that the options ask for, or that suits so many samples of so many characters together."""
    from chargen.generation.engines.choice import choose_engine
    from chargen.models.config import LanguageModelConfig

    config = run.model_config(LanguageModelConfig)
    kind, device = options["engine"], options["device"]
    if kind == "numpy" and device is not None:
        raise click.UsageError("--device is for the engine torch: leave it out, or choose --engine torch")
    return choose_engine(config, run.weights(), kind, device, samples=samples, characters=characters)


def sampling_of(options: dict[str, Any]) -> Sampling:
    """How the options draw symbols."""
    from chargen.generation.samplers import Sampling

    settings = {field.name: options[field.name] for field in fields(Sampling)}
    return Sampling(**{name: value for name, value in settings.items() if value is not None})


def bias_of(run: Run, tokenizer: Tokenizer, options: dict[str, Any]) -> np.ndarray:
    """What the options add to the logits."""
    from chargen.errors import ChargenError
    from chargen.generation.constraints import symbol_bias
    from chargen.text.records import TextRecord

    bias = symbol_bias(
        tokenizer,
        allow=None if options["allow"] is None else unescape(options["allow"]),
        forbid=unescape(options["forbid"]),
        add=_sums(_named_number(text) for text in options["logit_bias"]),
    )
    if options["end"] == "document" and not run.data(TextRecord).framed:
        raise ChargenError(
            f"{run.name} was trained on one stream of text, where nothing ends: leave --end document out"
        )
    if options["end"] == "length":
        bias[tokenizer.eos_id] = -math.inf
    return bias


def seed_of(options: dict[str, Any]) -> int:
    """The seed that was typed, or another each time."""
    return int.from_bytes(os.urandom(4), "big") if options["seed"] is None else int(options["seed"])


def _sums(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for name, number in pairs:
        total[name] = total.get(name, 0.0) + number
    return total


def _named_number(text: str) -> tuple[str, float]:
    """TEXT=NUMBER as what it says; TEXT may hold `=` too."""
    name, _, number = text.rpartition("=")
    try:
        return unescape(name), float(number)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not TEXT=NUMBER, as in e=-2", param_hint="--logit-bias") from None


def typed(ctx: click.Context) -> set[str]:
    """The options and arguments that were typed, by name."""
    return {name for name in ctx.params if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}


def flag(name: str) -> str:
    """An option or argument as it is typed."""
    return {"prompt": "prompt", "as_json": "--json"}.get(name, f"--{name.replace('_', '-')}")


def refuse_idle_window(given: set[str]) -> None:
    """UsageError for a window without a penalty on what is in it."""
    if "repetition_window" in given and "repetition_penalty" not in given:
        raise click.UsageError("--repetition-window has no use without --repetition-penalty: give both or none")

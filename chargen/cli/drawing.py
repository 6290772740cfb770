"""What `chargen sample`, `write` and `score` share: how tokens are drawn, and what draws them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click

from chargen.cli.command import add_options, needs
from chargen.cli.completion import RunName
from chargen.cli.output import unescape

if TYPE_CHECKING:
    import numpy as np

    from chargen.generation.engines.contract import Engine
    from chargen.generation.samplers import Sampling
    from chargen.runs.folder import Run
    from chargen.text.tokenizers.base import Tokenizer

WINDOW_RULE = needs("repetition_window", "repetition_penalty")
CHOOSING = {"temperature", "top_k", "top_p", "min_p", "typical", "repetition_penalty", "repetition_window", "seed"}


model_option = click.option(
    "-m", "--model", type=RunName(), help="A run: its name under checkpoints/, or a path.  [default: the newest]"
)
drawing_options = add_options(
    click.option(
        "-t", "--temperature", type=float, help="Below 1 safer, above 1 wilder, 0 the likeliest.  [default: 0.8]"
    ),
    click.option("--top-k", type=int, help="Choose among the K likeliest tokens."),
    click.option("--top-p", type=float, help="Choose among the fewest tokens that have this probability together."),
    click.option(
        "--min-p", type=float, help="Choose among tokens with at least this fraction of the likeliest's probability."
    ),
    click.option("--typical", type=float, help="As --top-p, of the tokens nearest to the expected surprise."),
    click.option("--repetition-penalty", type=float, help="Above 1: what has just been written becomes less likely."),
    click.option("--repetition-window", type=int, help="Tokens that count as just written.  [default: 64]"),
    click.option("--stop", multiple=True, metavar="TEXT", help=r"End before this text; repeatable; \n: line break."),
    click.option("--allow", metavar="CHARACTERS", help=r"Write these characters only; \n and \t as in --stop."),
    click.option("--forbid", default="", metavar="CHARACTERS", help="Write none of these characters."),
    click.option(
        "--logit-bias",
        multiple=True,
        metavar="TEXT=NUMBER",
        help="Make one token likelier, or with -2 rarer; repeatable.",
    ),
    click.option("--seed", type=int, help="Same seed and engine, same text.  [default: another each time]"),
    click.option(
        "--end",
        type=click.Choice(["document", "length"]),
        help="Documents: stop at the end symbol, or never write one.  [default: document, where the model has them]",
    ),
)
engine_options = add_options(
    click.option(
        "--engine",
        type=click.Choice(["auto", "numpy", "torch"]),
        default="auto",
        show_default=True,
        help="auto: numpy; for much text in many samples torch, in bfloat16 where the hardware has it.",
    ),
    click.option("--device", help="For the engine torch: cpu, cuda, …  [default: the GPU, if there is one]"),
)


@dataclass(frozen=True)
class Drawing:
    """What a person asks of how tokens are drawn, and of what draws them."""

    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    typical: float | None
    repetition_penalty: float | None
    repetition_window: int | None
    stop: tuple[str, ...]
    allow: str | None
    forbid: str
    logit_bias: tuple[str, ...]
    seed: int | None
    end: str | None

    @classmethod
    def taken_from(cls, options: dict[str, Any]) -> Drawing:
        """Its options, which are taken out of those that were typed."""
        return cls(**{field.name: options.pop(field.name) for field in fields(cls)})

    def sampling(self) -> Sampling:
        """How the logits become probabilities."""
        from chargen.generation.samplers import Sampling

        settings = {field.name: getattr(self, field.name) for field in fields(Sampling)}
        return Sampling(**{name: value for name, value in settings.items() if value is not None})

    def bias(self, run: Run, tokenizer: Tokenizer) -> np.ndarray:
        """What is added to the logits (V,)."""
        from chargen.errors import ChargenError
        from chargen.generation.constraints import token_bias
        from chargen.text.records import TextRecord

        bias = token_bias(
            tokenizer,
            allow=None if self.allow is None else unescape(self.allow),
            forbid=unescape(self.forbid),
            add=_sums(_named_number(text) for text in self.logit_bias),
        )
        if self.end == "document" and not run.data(TextRecord).framed:
            raise ChargenError(
                f"{run.name} was trained on one stream of text, where nothing ends: leave --end document out"
            )
        if self.end == "length":
            bias[tokenizer.eos_id] = -math.inf
        return bias

    def stops(self) -> tuple[str, ...]:
        """The texts that end a sample."""
        return tuple(map(unescape, self.stop))


def any_seed(seed: int | None) -> int:
    """The seed that was typed, or another each time."""
    return int.from_bytes(os.urandom(4), "big") if seed is None else seed


def engine_of(run: Run, kind: str, device: str | None, samples: int = 1, characters: int = 0) -> Engine:
    """The engine that is asked for, or that suits so many samples of so many characters together."""
    from chargen.generation.engines.choice import choose_engine
    from chargen.models.config import LanguageModelConfig

    if kind == "numpy" and device is not None:
        raise click.UsageError("--device is for the engine torch: leave it out, or choose --engine torch")
    config = run.model_config(LanguageModelConfig)
    return choose_engine(config, run.weights(), kind, device, samples=samples, characters=characters)


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

"""Options that `chargen sample`, `write` and `score` share: how to draw tokens, and with which engine."""

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

    from chargen.generation.engines.contract import EmbeddingEngine
    from chargen.generation.samplers import Sampling
    from chargen.runs.folder import Run
    from chargen.text.tokenizers.base import Tokenizer

SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical", "repetition_penalty", "repetition_window")
CHOOSING = {*SAMPLING, "seed"}  # no use where no token is drawn
GROUPS = {  # of the help of `sample` and `write`, after the options that are their own
    "Text": ("stop", "allow", "forbid", "logit_bias", "seed", "end"),
    "Sampling": SAMPLING,
    "Engine": ("engine", "device"),
}
WINDOW_RULE = needs("repetition_window", "repetition_penalty")

model_option = click.option(
    "-m",
    "--model",
    type=RunName(),
    help="A run: its name under checkpoints/, or its path.  [default: the newest language model]",
)
drawing_options = add_options(
    click.option(
        "-t",
        "--temperature",
        type=float,
        help="Below 1 is safer, above 1 wilder; 0 always takes the likeliest token.  [default: 0.8]",
    ),
    click.option("--top-k", type=int, metavar="K", help="Draw from the K likeliest tokens."),
    click.option(
        "--top-p",
        type=float,
        metavar="P",
        help="Draw from the fewest tokens whose probabilities sum to at least P.",
    ),
    click.option(
        "--min-p", type=float, metavar="P", help="Draw from the tokens at least P times as likely as the likeliest."
    ),
    click.option(
        "--typical",
        type=float,
        metavar="P",
        help="Like --top-p, but keep the tokens whose surprise is nearest to the expected.",
    ),
    click.option(
        "--repetition-penalty",
        type=float,
        help="Above 1, tokens that were written recently become less likely.  [default: 1]",
    ),
    click.option("--repetition-window", type=int, help="Number of tokens that count as recent.  [default: 64]"),
    click.option(
        "--stop",
        multiple=True,
        metavar="TEXT",
        help=r"Stop before this text, in which \n is a line break and \t a tab; repeatable.",
    ),
    click.option("--allow", metavar="CHARACTERS", help=r"Write only these characters; \n and \t as in --stop."),
    click.option(
        "--forbid", default="", metavar="CHARACTERS", help=r"Write none of these characters; \n and \t as in --stop."
    ),
    click.option(
        "--logit-bias",
        multiple=True,
        metavar="TEXT=NUMBER",
        help="Add a number to the logit of the token TEXT: e=2 makes e likelier, e=-2 rarer; repeatable.",
    ),
    click.option(
        "--seed", type=int, help="The same seed and engine give the same text.  [default: a new seed each time]"
    ),
    click.option(
        "--end",
        type=click.Choice(["document", "length"]),
        help="Stop where the model ends the document, or only at --length.  [default: document, for a model trained "
        "on documents]",
    ),
)
engine_options = add_options(
    click.option(
        "--engine",
        type=click.Choice(["auto", "numpy", "torch"]),
        default="auto",
        show_default=True,
        help="auto is numpy, but torch for much text in many samples, in bfloat16 where the hardware has it.",
    ),
    click.option("--device", help="cpu, cuda, …; for the engine torch.  [default: the GPU, if there is one]"),
)


@dataclass(frozen=True)
class DrawingOptions:
    """How to draw tokens, as typed; None: not typed."""

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
    def pop_from(cls, options: dict[str, Any]) -> DrawingOptions:
        """Remove the drawing options from the options of a command, and return them."""
        return cls(**{field.name: options.pop(field.name) for field in fields(cls)})

    def sampling(self) -> Sampling:
        """The settings that turn logits into probabilities."""
        from chargen.generation.samplers import Sampling

        settings = {field.name: getattr(self, field.name) for field in fields(Sampling)}
        return Sampling(**{name: value for name, value in settings.items() if value is not None})

    def bias(self, run: Run, tokenizer: Tokenizer) -> np.ndarray:
        """Make the bias (V,) to add to the logits, from the options allow, forbid, logit_bias and end.

        Raises:
            ChargenError: A text is no single token of the model, or `--end document` is asked of a model that was
                trained on one stream of text.
        """
        from chargen.errors import ChargenError
        from chargen.generation.constraints import token_bias
        from chargen.text.records import TextRecord

        bias = token_bias(
            tokenizer,
            allow=None if self.allow is None else unescape(self.allow),
            forbid=unescape(self.forbid),
            add=_sum_by_token(_parse_bias(text) for text in self.logit_bias),
        )
        if self.end == "document" and not run.data(TextRecord).framed:
            raise ChargenError(
                f"{run.name} was trained on one stream of text, without documents that end: leave --end document out"
            )
        if self.end == "length":
            bias[tokenizer.eos_id] = -math.inf
        return bias

    def stops(self) -> tuple[str, ...]:
        """The texts before which a sample stops, unescaped."""
        return tuple(map(unescape, self.stop))


def prompt_text(typed: str) -> str:
    """The text to start from: PROMPT unescaped, or for `-` all of standard input without its last line break."""
    if typed != "-":
        return unescape(typed)
    from chargen.text.documents import read_whole
    from chargen.text.sources import resolve

    return read_whole(resolve(["-"])[0]).removesuffix("\n")


def any_seed(seed: int | None) -> int:
    """Return the seed that was typed, or a random one for None."""
    return int.from_bytes(os.urandom(4), "big") if seed is None else seed


def engine_of(run: Run, kind: str, device: str | None, samples: int = 1, characters: int = 0) -> EmbeddingEngine:
    """Make the engine that a command asks for.

    Args:
        run: A language model.
        kind: auto, numpy or torch.
        device: For torch; None: the GPU, if there is one.
        samples: Number of texts to write at once, which decides what `auto` means.
        characters: Length of all samples together, which also does.

    Raises:
        UsageError: A device is typed for the engine numpy.
    """
    from chargen.generation.engines.choice import choose_engine
    from chargen.models.config import LanguageModelConfig

    if kind == "numpy" and device is not None:
        raise click.UsageError("--device is for the engine torch: leave it out, or use --engine torch")
    config = run.model_config(LanguageModelConfig)
    return choose_engine(config, run.weights(), kind, device, samples=samples, characters=characters)


def _sum_by_token(biases: Iterable[tuple[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for token, bias in biases:
        total[token] = total.get(token, 0.0) + bias
    return total


def _parse_bias(text: str) -> tuple[str, float]:
    """Split TEXT=NUMBER at its last `=`, since TEXT may contain one."""
    token, _, number = text.rpartition("=")
    try:
        return unescape(token), float(number)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not TEXT=NUMBER, as in e=-2", param_hint="--logit-bias") from None

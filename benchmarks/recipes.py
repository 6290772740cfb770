"""What each choice of the default recipe is worth: one training for each variation, the rest left as it is.

    CHARGEN_BENCH_DATA=… python benchmarks/recipes.py                   # all variations, 640 steps of one shape each
    CHARGEN_BENCH_DATA=… python benchmarks/recipes.py adamw dropout     # those whose name has one of these words
    CHARGEN_BENCH_DATA=… python benchmarks/recipes.py --text ptb-char --minutes 3 default size
    CHARGEN_BENCH_DATA=… python benchmarks/recipes.py --first 50000 --minutes 3 default   # a short text

With --steps the model is the shape `small` without dropout, whatever the text; losses then compare whatever else the
machine does. With --minutes all is chosen as `chargen train` does, and the machine must do nothing else.

The folder that CHARGEN_BENCH_DATA names holds `tinyshakespeare.txt`, whose last tenth is held out, and
`ptb/train.txt` and `ptb/valid.txt`; `python-source` is made from this Python, its last tenth held out.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import click

from chargen.training.events import outcome
from chargen.training.options import LanguageModelOptions, options_of
from chargen.training.start import start

TEXTS: dict[str, dict[str, tuple[str, ...]]] = {
    "tinyshakespeare": {"inputs": ("{data}/tinyshakespeare.txt",)},
    "ptb-char": {"inputs": ("{data}/ptb/train.txt",), "val": ("{data}/ptb/valid.txt",)},
    "python-source": {"inputs": ("python-source",)},
}
VARIATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "adamw, learning rate 0.006": {"optimizer": "adamw", "learning_rate": 0.006, "weight_decay": 0.01},
    "adamw, learning rate 0.003": {"optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.01},
    "learning rate 0.006": {"learning_rate": 0.006},
    "learning rate 0.02": {"learning_rate": 0.02},
    "weight decay 0.01": {"weight_decay": 0.01},
    "weight decay 0.3": {"weight_decay": 0.3},
    "dropout 0.1": {"dropout": 0.1},
    "weight drop 0.1": {"weight_drop": 0.1},
    "batch 64": {"batch_size": 64},
    "batch 256": {"batch_size": 256},
    "batch 64, window 64": {"batch_size": 64, "sequence_length": 64},
    "batch 256, window 16": {"batch_size": 256, "sequence_length": 16},
    "embedding 64": {"embedding_size": 64},
    "lstm": {"cell": "lstm"},
    "three layers": {"num_layers": 3},
    "residual": {"connections": "residual"},
    "layer norm": {"layer_norm": True},
    "layer norm, residual": {"layer_norm": True, "connections": "residual"},
    "three layers, residual": {"connections": "residual", "num_layers": 3},
    "three layers, both": {"layer_norm": True, "connections": "residual", "num_layers": 3},
    "tied weights": {"tied": True, "embedding_size": 256},
    "fp32": {"precision": "fp32"},
    "size tiny": {"size": "tiny"},
    "size small": {"size": "small"},
    "size medium": {"size": "medium"},
    "size large": {"size": "large"},
}
TOKENS_A_STEP = 128 * 32


@click.command()
@click.argument("words", nargs=-1)
@click.option("--text", type=click.Choice(list(TEXTS)), default="tinyshakespeare", show_default=True)
@click.option("--steps", default=640, show_default=True, help="Steps of 4,096 tokens; of others as many tokens.")
@click.option("--minutes", type=float, help="Train for so long instead, every choice left to the recipe.")
@click.option("--first", type=int, help="With --minutes: learn from so many characters of tinyshakespeare.")
@click.option("--seed", default=0, show_default=True)
def main(words: tuple[str, ...], text: str, steps: int, minutes: float | None, first: int | None, seed: int) -> None:
    if first is not None and (minutes is None or text != "tinyshakespeare"):
        raise click.UsageError("--first is for --minutes and tinyshakespeare: streams follow the text's length")
    if first is not None and not 0 < first <= 1_000_000:
        raise click.UsageError("--first is from 1 to 1,000,000: the last tenth of tinyshakespeare measures")
    sources = sources_of(text)
    with tempfile.TemporaryDirectory(prefix="chargen-recipes-") as folder:
        if first:
            sources = cut(Path(sources["inputs"][0]), first, Path(folder))
        compare(words, sources, steps, minutes, seed)


def sources_of(text: str) -> dict[str, tuple[str, ...]]:
    """The options that name one of TEXTS."""
    data = os.environ.get("CHARGEN_BENCH_DATA", "data")
    return {name: tuple(path.format(data=data) for path in paths) for name, paths in TEXTS[text].items()}


def cut(text: Path, first: int, folder: Path) -> dict[str, tuple[str, ...]]:
    """Files of the first characters of a text, to learn from, and of its last tenth, to measure on."""
    whole = text.read_text(encoding="utf-8")
    parts = {"inputs": whole[:first], "val": whole[int(0.9 * len(whole)) :]}
    for name, part in parts.items():
        (folder / name).write_text(part, encoding="utf-8")
    return {name: (str(folder / name),) for name in parts}


def compare(
    words: tuple[str, ...], sources: dict[str, tuple[str, ...]], steps: int, minutes: float | None, seed: int
) -> None:
    """Train each variation whose name has one of the words, and print a line for it."""
    names = [name for name in VARIATIONS if not words or any(word in name for word in words)]
    if not names:
        raise click.UsageError(f"no name has one of these words: choose from {'; '.join(VARIATIONS)}")
    print("variation                    model         dropout   nats      bpc  seconds     weights   tokens/s")
    for name in names:
        changes = VARIATIONS[name]
        if minutes is None:
            tokens_a_step = changes.get("batch_size", 128) * changes.get("sequence_length", 32)
            budget = {"size": "small", "dropout": 0.0, "steps": steps * TOKENS_A_STEP // tokens_a_step}
        else:
            budget = {"minutes": minutes}
        options = LanguageModelOptions(**(sources | {"seed": seed} | budget | changes))
        with tempfile.TemporaryDirectory(prefix="chargen-recipes-") as folder:
            done = outcome(start(options, Path(folder, "run")))
            chosen = options_of(done.run, LanguageModelOptions)
        found, shape = done.summary, f"{chosen.cell} {chosen.num_layers}x{chosen.hidden_size}"
        print(
            f"{name:<28} {shape:<12} {chosen.dropout:>8} {found['val_loss']:>8.4f} {found['val_bpc']:>8.4f} "
            f"{found['seconds']:>8.0f} {found['parameters']:>11,} {found['tokens_per_second']:>10,.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

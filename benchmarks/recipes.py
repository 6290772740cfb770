"""What each choice of the default recipe is worth: one training for each variation, the rest left as it is.

    CHARGEN_BENCH_DATA=… python benchmarks/recipes.py                 # all variations, 640 steps each
    CHARGEN_BENCH_DATA=… python benchmarks/recipes.py adamw dropout   # those whose name has one of these words

`tinyshakespeare.txt` is looked for in the folder that CHARGEN_BENCH_DATA names. Nats a character on the last tenth.
Losses of one number of steps compare whatever else the machine does; seconds do only when it does nothing else.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import click

from chargen.training.events import Done
from chargen.training.options import LanguageModelOptions
from chargen.training.start import start

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
    "batch 32, twice the steps": {"batch": 32},
    "batch 128, half the steps": {"batch": 128},
    "window 32, twice the steps": {"window": 32},
    "lstm": {"cell": "lstm"},
    "three layers": {"layers": 3},
    "tied weights": {"tied": True, "embedding": 256},
    "fp32": {"precision": "fp32"},
}
TOKENS_A_STEP = 64 * 64


@click.command()
@click.argument("words", nargs=-1)
@click.option("--steps", default=640, show_default=True, help="Steps of the default, 4,096 tokens each.")
@click.option("--seed", default=0, show_default=True)
def main(words: tuple[str, ...], steps: int, seed: int) -> None:
    text = Path(os.environ["CHARGEN_BENCH_DATA"], "tinyshakespeare.txt")
    print("variation                      nats a character   seconds   weights")
    for name, changes in VARIATIONS.items():
        if words and not any(word in name for word in words):
            continue
        tokens_a_step = changes.get("batch", 64) * changes.get("window", 64)
        shape = {"size": "small", "steps": steps * TOKENS_A_STEP // tokens_a_step, "seed": seed, "dropout": 0.0}
        options = LanguageModelOptions(inputs=(str(text),), **(shape | changes))
        with tempfile.TemporaryDirectory(prefix="chargen-recipes-") as folder:
            for event in start(options, Path(folder, "run")):
                if isinstance(event, Done):
                    found = event.summary
        print(f"{name:<30} {found['val_loss']:>16.4f} {found['seconds']:>9.0f} {found['parameters']:>9,}", flush=True)


if __name__ == "__main__":
    main()

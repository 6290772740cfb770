"""What it is worth that each document starts from the zero state: surnames, each a document.

    CHARGEN_BENCH_DATA=… python benchmarks/documents.py --seeds 3

Two models are trained for each seed, of which one carries its state from one name into the next, as chargen did once.
That one is measured twice: as it was trained, and as it is used, each name alone. The folder that CHARGEN_BENCH_DATA
names holds `names/*.txt`; a fifth of the names, drawn by `random.Random(0)`, is held out.
"""

from __future__ import annotations

import os
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import click
import torch

from chargen.evaluation.losses import text_loss
from chargen.models.config import LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.models.weights import load_weights
from chargen.runs.folder import Run
from chargen.text.text_data import load_text
from chargen.training.events import outcome
from chargen.training.options import LanguageModelOptions
from chargen.training.start import start
from chargen.training.tasks import language_model


@click.command()
@click.option("--seeds", default=3, show_default=True)
@click.option("--steps", default=1000, show_default=True)
def main(seeds: int, steps: int) -> None:
    with tempfile.TemporaryDirectory(prefix="chargen-documents-") as name:
        folder = Path(name)
        write_names(folder)
        print("seed  state reset  state carried  carried, as it is used     nats a token", flush=True)
        for seed in range(seeds):
            options = LanguageModelOptions(
                inputs=(str(folder / "names.txt"),),
                val=(str(folder / "held-out.txt"),),
                documents="line",
                steps=steps,
                seed=seed,
            )
            reset, carried = (train(options, folder / f"{seed}-{carry}", carry=carry) for carry in (False, True))
            figures = loss(reset, options, True), loss(carried, options, False), loss(carried, options, True)
            print(f"{seed:>4}" + "".join(f"{figure:>14.4f}" for figure in figures), flush=True)


def write_names(folder: Path) -> None:
    """Write the names to learn from and those held out."""
    data = Path(os.environ.get("CHARGEN_BENCH_DATA", "data"))
    files = sorted((data / "names").glob("*.txt"))
    names = [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    random.Random(0).shuffle(names)
    most = len(names) * 4 // 5
    for name, part in (("names.txt", names[:most]), ("held-out.txt", names[most:])):
        (folder / name).write_text("\n".join(part) + "\n", encoding="utf-8")


def train(options: LanguageModelOptions, path: Path, *, carry: bool) -> Run:
    """Train a model that resets its state, or carries it as a model of one stream of text does."""
    made = language_model.model_config
    if carry:
        language_model.model_config = lambda options, tokenizer, bos_id=None: made(options, tokenizer)
    try:
        return outcome(start(options, path)).run
    finally:
        language_model.model_config = made


def loss(run: Run, options: LanguageModelOptions, reset: bool) -> float:
    """Nats a token on the names held out, with the state reset or carried, whatever the model was trained with."""
    tokenizer = run.tokenizer()
    config = run.model_config(LanguageModelConfig)
    encoder = replace(config.encoder, bos_id=tokenizer.bos_id if reset else None)
    model = load_weights(LanguageModel(replace(config, encoder=encoder)), run.weights())
    data = load_text(options.corpus, val=options.val, tokenizer=tokenizer)
    with torch.inference_mode():
        return text_loss(model, tokenizer, data.validation).nats_per_token


if __name__ == "__main__":
    main()

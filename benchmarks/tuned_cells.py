"""Cells with as many parameters, each tuned by a random search, as the Mogrifier's paper did it.

    CHARGEN_BENCH_DATA=… python benchmarks/tuned_cells.py             # goes on where it was ended; an hour in all
    CHARGEN_BENCH_DATA=… python benchmarks/tuned_cells.py --trials 30 gru mogrifier lstm
    python benchmarks/tuned_cells.py --show                           # what has been found

Melis et al. 2019 (arXiv:1909.01792) tuned learning rate, weight decay, dropout, the size of the embedding, and a
Mogrifier's rounds and rank, by many trials for each cell. Here each cell has two layers and gets as many trials as
the others, of --steps steps of 4,096 characters of PTB-char. Then the best settings of each are trained for
--final-steps steps with three seeds. Losses are compared, not times, so the machine may do other work. Each result is
a line of the file that --results names, and is not made again.
"""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from cells import hidden_size, read
from recipes import sources_of

from chargen.training.events import outcome
from chargen.training.options import LanguageModelOptions
from chargen.training.start import start

RATES = {"muon": (0.004, 0.05), "adamw": (0.001, 0.012)}
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Trial:
    """One training."""

    cell: str
    number: int  # of the settings
    steps: int
    seed: int = 0


@click.command()
@click.argument("cells", nargs=-1)
@click.option("--results", default="benchmarks/tuned_cells.jsonl", show_default=True, type=click.Path(path_type=Path))
@click.option("--trials", default=12, show_default=True, help="For each cell.")
@click.option("--steps", default=250, show_default=True, help="Of a trial.")
@click.option("--final-steps", default=1000, show_default=True, help="With the best settings.")
@click.option("--show", is_flag=True, help="Train nothing; print what has been found.")
def main(cells: tuple[str, ...], results: Path, trials: int, steps: int, final_steps: int, show: bool) -> None:
    found = read(results)

    def run_once(trial: Trial) -> None:
        if show or any(asdict(trial).items() <= result.items() for result in found):
            return
        found.append(asdict(trial) | run(trial))
        with results.open("a", encoding="utf-8") as file:
            print(json.dumps(found[-1]), file=file)
        print(f"{trial}: {found[-1]['bpc']:.4f} bits a character", flush=True)

    for number in range(trials):
        for cell in cells or ("gru", "mogrifier"):
            run_once(Trial(cell, number, steps))
    for cell in cells or ("gru", "mogrifier"):
        own = sorted((r for r in found if r["cell"] == cell and r["steps"] == steps), key=lambda r: r["bpc"])
        for seed in SEEDS if own else ():
            run_once(Trial(cell, own[0]["number"], final_steps, seed))
        best = own[0]["number"] if own else None
        final = [r["bpc"] for r in found if (r["cell"], r["steps"], r["number"]) == (cell, final_steps, best)]
        print(f"\n{cell}: best after {final_steps} steps", " ".join(f"{bpc:.4f}" for bpc in final))
        for result in own:
            print(f"{result['bpc']:8.4f}  {result['parameters']:,} parameters  {result['settings']}")


def settings(cell: str, number: int) -> dict[str, Any]:
    """The settings of a trial, drawn at random; the same for the same number."""
    draw = random.Random(f"{cell} {number}")
    optimizer = draw.choice(list(RATES))
    low, high = RATES[optimizer]
    drawn: dict[str, Any] = {
        "cell": cell,
        "num_layers": 2,
        "optimizer": optimizer,
        "learning_rate": round(low * (high / low) ** draw.random(), 5),
        "weight_decay": round(0.01 * 30 ** draw.random(), 4),
        "dropout": draw.choice((0.0, 0.0, 0.05, 0.1)),
        "embedding_size": draw.choice((64, 128, 192)),
    }
    if cell == "mogrifier":
        drawn |= {"rounds": draw.randint(2, 6), "rank": draw.choice((0, 16, 24, 40, 64))}
    return drawn


def run(trial: Trial) -> dict[str, Any]:
    """Train, and say what was found."""
    chosen = settings(trial.cell, trial.number)
    shape: dict[str, Any] = {
        name: chosen[name] for name in ("cell", "num_layers", "embedding_size", "rounds", "rank") if name in chosen
    }
    options: dict[str, Any] = sources_of("ptb-char") | chosen | {"batch_size": 128, "sequence_length": 32}
    options |= {"hidden_size": hidden_size(shape), "steps": trial.steps, "seed": trial.seed}
    with tempfile.TemporaryDirectory(prefix="chargen-cells-") as folder:
        done = outcome(start(LanguageModelOptions(**options), Path(folder, "run")))
    return {
        "settings": {name: value for name, value in chosen.items() if name not in ("cell", "num_layers")},
        "hidden_size": options["hidden_size"],
        "parameters": done.summary["parameters"],
        "bpc": done.summary["val_bpc"],
        "tokens_per_second": done.summary["tokens_per_second"],
    }


if __name__ == "__main__":
    main()

"""Every cell with as many parameters: what it learns from as many tokens, and in as many minutes.

    CHARGEN_BENCH_DATA=… python benchmarks/cells.py                 # goes on where it was ended; hours in all
    CHARGEN_BENCH_DATA=… python benchmarks/cells.py mingru lstm     # those whose name has one of these words
    python benchmarks/cells.py --show --picture cells.png           # the table of what has been found, and a picture

Each result is a line of the file that --results names, and is not made again. Trainings are in this order:

1. tuning: each cell with each learning rate, for --steps steps, and with rates beyond while they are better; --tune
   ends here, as this part may share the machine with other work;
2. minutes: each cell with its best rate, for --minutes minutes, so the machine must do nothing else; those near the
   best also with half of it, and so on while that is better, since more steps want a lower rate;
3. seeds: the best four of those with two more seeds.

Embedding, batch and optimizer are the same for all, there are two layers unless the name has another number, dropout
is 0, and the hidden size makes as many parameters as the first cell has. `texts` is where CHARGEN_BENCH_DATA points
to, as for `benchmarks/recipes.py`.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from recipes import TEXTS, sources_of

from chargen.api.load import load_language_model
from chargen.models.config import EncoderConfig, LanguageModelConfig, weight_shapes
from chargen.training.events import outcome
from chargen.training.options import LanguageModelOptions
from chargen.training.start import start

DEEP = {"layer_norm": True, "connections": "residual"}
CONTESTANTS: dict[str, dict[str, Any]] = {
    "gru": {},
    "lstm": {},
    "rnn": {},
    "mlstm": {},
    "mogrifier": {},
    "mogrifier, rank 32": {"rank": 32},
    "grid-lstm": {},
    "mingru": {},
    "minlstm": {},
    "qrnn": {},
    "gru, residual": DEEP,
    "mingru, residual, 4 layers": DEEP | {"num_layers": 4},
    "qrnn, residual, 4 layers": DEEP | {"num_layers": 4},
}
FIXED = {"batch_size": 128, "sequence_length": 32, "dropout": 0.0}
SHAPE = {"num_layers": 2, "embedding_size": 128}
HIDDEN = 192  # of the first contestant
RATES = (0.006, 0.012, 0.024)
SEEDS = (1, 2)
NEAR = 0.1  # bits a character from the best
SAMPLED = 2000  # characters


@dataclass(frozen=True)
class Job:
    """One training."""

    text: str
    name: str
    rate: float
    seed: int = 0
    steps: int | None = None
    minutes: float | None = None


Result = dict[str, Any]


@click.command()
@click.argument("words", nargs=-1)
@click.option("--results", default="benchmarks/cells.jsonl", show_default=True, type=click.Path(path_type=Path))
@click.option(
    "--text", "texts", multiple=True, type=click.Choice(list(TEXTS)), default=["tinyshakespeare", "ptb-char"]
)
@click.option("--steps", default=320, show_default=True, help="Of 4,096 tokens, for the tuning.")
@click.option("--minutes", default=2.0, show_default=True, help="For the comparison in time.")
@click.option("--tune", is_flag=True, help="Only find each cell's learning rate.")
@click.option("--show", is_flag=True, help="Train nothing; print the table of what has been found.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw loss against time, and against tokens, too.")
def main(
    words: tuple[str, ...],
    results: Path,
    texts: tuple[str, ...],
    steps: int,
    minutes: float,
    tune: bool,
    show: bool,
    picture: Path | None,
) -> None:
    names = [name for name in CONTESTANTS if not words or any(word in name for word in words)]
    if not names:
        raise click.UsageError(f"no name has one of these words: choose from {'; '.join(CONTESTANTS)}")
    budgets = {"steps": (None, steps), "minutes": (None, minutes)}
    found = [result for result in read(results) if all(result[name] in own for name, own in budgets.items())]
    for text in texts:
        for job in () if show else jobs(text, names, steps, None if tune else minutes, found):
            with results.open("a", encoding="utf-8") as file:
                found.append(run(job))
                print(json.dumps(found[-1]), file=file)
            print(f"{job}: {found[-1]['bpc']:.4f} bits a character", flush=True)
        print_table(text, found)
    if picture:
        draw(texts, found, picture)


def read(path: Path) -> list[Result]:
    """The results so far."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def jobs(text: str, names: list[str], steps: int, minutes: float | None, found: list[Result]) -> Iterator[Job]:
    """The trainings that are left; later ones depend on what the earlier ones found."""

    def left(job: Job) -> bool:
        return not any(asdict(job).items() <= result.items() for result in found)

    for name in names:
        yield from filter(left, (Job(text, name, rate, steps=steps) for rate in RATES))
        while left(job := Job(text, name, rate_beyond(text, name, found), steps=steps)):
            yield job
    if minutes is None:
        return
    yield from filter(
        left, (Job(text, name, best(text, name, "steps", found)["rate"], minutes=minutes) for name in names)
    )

    def timed(name: str) -> Result:
        return best(text, name, "minutes", found)

    leader = min(timed(name)["bpc"] for name in names)
    for name in names:
        while timed(name)["bpc"] < leader + NEAR and left(
            job := Job(text, name, lower_rate(text, name, found), minutes=minutes)
        ):
            yield job
    winners = sorted(names, key=lambda name: timed(name)["bpc"])[:4]
    yield from filter(
        left, (Job(text, name, timed(name)["rate"], seed, minutes=minutes) for name in winners for seed in SEEDS)
    )


def of(text: str, name: str, found: list[Result]) -> list[Result]:
    """Results of a contestant on a text."""
    return [result for result in found if (result["text"], result["name"]) == (text, name)]


def best(text: str, name: str, limit: str, found: list[Result]) -> Result:
    """The result of the first seed with the lowest loss after so many `steps`, or `minutes`."""
    own = [result for result in of(text, name, found) if result[limit] and not result["seed"]]
    return min(own, key=lambda result: result["bpc"])


def rate_beyond(text: str, name: str, found: list[Result]) -> float:
    """The best rate of the tuning if higher and lower ones are worse; else the next one beyond it."""
    rates = [result["rate"] for result in of(text, name, found) if result["steps"]]
    rate = float(best(text, name, "steps", found)["rate"])
    return rate * 2 if rate == max(rates) else rate / 2 if rate == min(rates) else rate


def lower_rate(text: str, name: str, found: list[Result]) -> float:
    """The best rate in minutes if a lower one is worse; else half of it."""
    rates = [result["rate"] for result in of(text, name, found) if result["minutes"]]
    rate = float(best(text, name, "minutes", found)["rate"])
    return rate / 2 if rate == min(rates) else rate


def run(job: Job) -> Result:
    """Train, and write with what was trained."""
    shape = SHAPE | CONTESTANTS[job.name]
    shape = {"cell": job.name.partition(",")[0], **shape}
    options: dict[str, Any] = sources_of(job.text) | shape | FIXED
    options |= {"hidden_size": hidden_size(shape), "learning_rate": job.rate, "seed": job.seed}
    options |= {"steps": job.steps, "minutes": job.minutes}
    with tempfile.TemporaryDirectory(prefix="chargen-cells-") as folder:
        done = outcome(start(LanguageModelOptions(**options), Path(folder, "run")))
        curve = [json.loads(line) for line in (done.run.path / "metrics.jsonl").read_text().splitlines()]
        writer = load_language_model(done.run.path)
        began = time.perf_counter()
        writer.generate("\n", length=SAMPLED, seed=0)
        written = SAMPLED / (time.perf_counter() - began)
    return asdict(job) | {
        "hidden_size": options["hidden_size"],
        "parameters": done.summary["parameters"],
        "nats": done.summary["val_loss"],
        "bpc": done.summary["val_bpc"],
        "tokens_per_second": done.summary["tokens_per_second"],
        "characters_per_second": written,
        "curve": [(record["seconds"], record["tokens"], record["val_bpc"]) for record in curve],
    }


def hidden_size(shape: dict[str, Any]) -> int:
    """The multiple of 8 with which a contestant has nearest as many parameters as the first one."""
    wanted = parameters({"cell": "gru", **SHAPE}, HIDDEN)
    return min(range(8, 1024, 8), key=lambda size: abs(parameters(shape, size) - wanted))


def parameters(shape: dict[str, Any], size: int) -> int:
    """Parameters of a contestant with a hidden size, with a vocabulary like tinyshakespeare's."""
    config = LanguageModelConfig(EncoderConfig(vocab_size=68, hidden_size=size, **shape))
    return sum(math.prod(weights) for weights in weight_shapes(config).values())


def print_table(text: str, found: list[Result]) -> None:
    """A row for each contestant that is tuned: bits a character, and speeds on this machine."""
    print(f"\n{text}, bits a character")
    print(f"{'cell':<26}hidden  parameters    rate    steps    rate  {'minutes (seeds)':<22}   tokens/s  written/s")
    for name in CONTESTANTS:
        results = of(text, name, found)
        if not any(result["steps"] for result in results):
            continue
        tuned = best(text, name, "steps", found)
        timed = [result for result in results if result["minutes"]]
        rate = best(text, name, "minutes", found)["rate"] if timed else None
        last = [result for result in timed if result["rate"] == rate] or [tuned]
        speed, written = (
            statistics.median(result[of_what] for result in last)
            for of_what in ("tokens_per_second", "characters_per_second")
        )
        seeds = " ".join(f"{result['bpc']:.4f}" for result in last) if timed else ""
        print(
            f"{name:<26}{tuned['hidden_size']:>6}{tuned['parameters']:>12,}{tuned['rate']:>8}{tuned['bpc']:>9.4f}"
            f"{rate or '':>8}  {seeds:<22}{speed:>11,.0f}{written:>11,.0f}"
        )


def draw(texts: tuple[str, ...], found: list[Result], path: Path) -> None:
    """Bits a character against tokens and seconds, each with the best rate; variations of a cell are dashed."""
    from matplotlib.figure import Figure

    cells = list(dict.fromkeys(name.partition(",")[0] for name in CONTESTANTS))
    figure = Figure(figsize=(13, 5 * len(texts)), layout="constrained")
    axes = figure.subplots(len(texts), 2, squeeze=False)
    for row, text in zip(axes, texts, strict=True):
        for axis, kind, column, label in ((row[0], "steps", 1, "tokens"), (row[1], "minutes", 0, "seconds")):
            for name in CONTESTANTS:
                if any(result[kind] for result in of(text, name, found)):
                    curve = best(text, name, kind, found)["curve"]
                    colour, style = f"C{cells.index(name.partition(',')[0])}", "--" if "," in name else "-"
                    axis.plot([x[column] for x in curve], [x[2] for x in curve], style, color=colour, label=name)
            axis.set(title=text, xlabel=label, ylabel="bits a character")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.savefig(path)


if __name__ == "__main__":
    main()

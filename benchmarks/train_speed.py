"""Training speed: our loop beside a bare loop over torch.nn of the same shape, in turns, in one process.

    python benchmarks/train_speed.py                  # CPU
    python benchmarks/train_speed.py --device cuda

Tokens a second of whole updates: forward, backward, clipping, optimizer. The bare loop is what a tutorial has: one
`nn.LSTM` or `nn.GRU`, AdamW, the same batches. Ours is `chargen.training.loop.update` with AdamW too, so that loop
and kernels alone differ, and then with Muon, which `chargen train` chooses. Medians of all turns, and the ratios of
ours with AdamW to the bare loop of the same precision and to the bare loop in fp32. Freed memory is kept
for all of them, as `chargen train` keeps it, or with --give-back for none.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import click
import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from chargen.hardware import autocast, choose_device, choose_precision, keep_freed_memory
from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.text.tokenizers import CharTokenizer
from chargen.training.batches import Streams
from chargen.training.distributed import ALONE
from chargen.training.language_modelling import LanguageModelling
from chargen.training.loop import update
from chargen.training.optimizers import make_optimizers

CASES = [("gru", 256, 64), ("gru", 512, 32), ("lstm", 256, 64), ("lstm", 512, 32)]
LAYERS, EMBEDDING, WINDOW = 2, 128, 64
TOKENIZER = CharTokenizer("\n" + "".join(map(chr, range(32, 94))))  # about as many symbols as tinyshakespeare has
CLIP, RATE = 1.0, 1e-3
PAUSE = 0.2  # seconds between turns, so that the threads of the one that was running fall asleep

Step = Callable[[int], object]


class BareModel(nn.Module):
    """What a tutorial has."""

    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENIZER.vocab_size, EMBEDDING)
        self.layers = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](EMBEDDING, hidden, LAYERS)
        self.projection = nn.Linear(hidden, TOKENIZER.vocab_size)


def bare_loop(cell: str, hidden: int, streams: Streams, device: torch.device, precision: str) -> Step:
    """A step of the bare loop."""
    model = BareModel(cell, hidden).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    ids = torch.from_numpy(streams.ids).to(device)
    state = None

    def step(number: int) -> None:
        nonlocal state
        tokens = ids[torch.from_numpy(streams.places(number)).to(device)]
        optimizer.zero_grad()
        with autocast(device, precision):
            outputs, state = model.layers(model.embedding(tokens[:-1]), state)
            logits = model.projection(outputs)
        loss = cross_entropy(logits.flatten(0, 1).float(), tokens[1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        state = tuple(part.detach().float() for part in state) if cell == "lstm" else state.detach().float()

    return step


def our_loop(cell: str, hidden: int, streams: Streams, device: torch.device, precision: str, optimizer: str) -> Step:
    """A step of ours."""
    encoder = EncoderConfig(TOKENIZER.vocab_size, cell, LAYERS, hidden, EMBEDDING)
    model = LanguageModel(LanguageModelConfig(encoder)).to(device)
    task = LanguageModelling(model, streams, streams.ids, TOKENIZER, 1.0, device, precision, ALONE)
    optimizers = make_optimizers(model, optimizer, 0.0)
    return lambda number: update(task, optimizers, number, RATE, CLIP)


def turn_of(step: Step, tokens: int, seconds: float, device: torch.device) -> Callable[[], float]:
    """A function that takes one turn of about `seconds` and gives the tokens a second."""
    number = 0

    def turn(steps: int) -> float:
        nonlocal number
        wait(device)
        began = time.perf_counter()
        for _ in range(steps):
            step(number)
            number += 1
        wait(device)
        return steps * tokens / (time.perf_counter() - began)

    turn(2)  # warm
    steps = max(2, int(seconds * turn(3) / tokens))
    return lambda: turn(steps)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def compare(
    cell: str, hidden: int, batch: int, device: torch.device, precisions: list[str], rounds: int, seconds: float
) -> None:
    """Print the rows of one shape."""
    ids = np.random.default_rng(0).integers(3, TOKENIZER.vocab_size, 200_000)
    streams = Streams(ids, batch, WINDOW)
    contestants: dict[tuple[str, str], Step] = {}
    for precision in precisions:
        contestants[precision, "bare"] = bare_loop(cell, hidden, streams, device, precision)
        for optimizer in ("adamw", "muon"):
            contestants[precision, optimizer] = our_loop(cell, hidden, streams, device, precision, optimizer)
    turns = {name: turn_of(step, batch * WINDOW, seconds, device) for name, step in contestants.items()}
    results: dict[tuple[str, str], list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            time.sleep(PAUSE)
            results[name].append(turn())
    speed = {name: statistics.median(result) for name, result in results.items()}
    for precision in precisions:
        bare, ours, muon = (speed[precision, name] for name in ("bare", "adamw", "muon"))
        fp32 = speed["fp32", "bare"]
        print(
            f"{cell} {LAYERS}x{hidden:<4} {batch:>6} {precision:>10} {bare:>10,.0f} {ours:>10,.0f} {muon:>10,.0f}"
            f" {ours / bare:>10.2f} {ours / fp32:>10.2f}",
            flush=True,
        )


@click.command()
@click.option("--device", default="auto", show_default=True)
@click.option("--rounds", default=7, show_default=True, help="Turns that each contestant has.")
@click.option("--seconds", default=1.0, show_default=True, help="About how long a turn is.")
@click.option("--give-back", is_flag=True, help="Freed memory goes back to the system, as in a tutorial.")
def main(device: str, rounds: int, seconds: float, give_back: bool) -> None:
    if not give_back:
        keep_freed_memory()
    where = choose_device(device)
    precisions = ["fp32"] + (["bf16"] if choose_precision("auto", where) == "bf16" else [])
    print(f"torch {torch.__version__} on {where} with {torch.get_num_threads()} threads, window {WINDOW}\n")
    print("model      batch  precision       bare       ours  with muon  ours/bare  ours/bare fp32")
    for cell, hidden, batch in CASES:
        compare(cell, hidden, batch, where, precisions, rounds, seconds)


if __name__ == "__main__":
    main()

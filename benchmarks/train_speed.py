"""Training speed: our loop beside a bare loop over torch.nn of the same shape, in turns, in one process.

    python benchmarks/train_speed.py                  # CPU
    python benchmarks/train_speed.py --isa avx2       # as an older processor would
    python benchmarks/train_speed.py --busy 1         # beside another program, too
    python benchmarks/train_speed.py --device cuda

Tokens a second of whole updates: forward, backward, clipping, optimizer. The bare loop is what a tutorial has: one
`nn.LSTM` or `nn.GRU`, AdamW, the same batches, torch's own threads. Ours is `chargen.training.loop.update` with
workers, with AdamW too, and then with Muon, which `chargen train` chooses. Medians of all turns, and ratios to the
bare loop of the same precision. `product` is the share of the rate of large products (measured in the same run, all
cores) that ours with AdamW reaches: 6 operations a weight and token, those that are looked up not counted. With
--busy each turn is taken twice, idle and beside busy loops, and the last columns are busy speed over idle speed.
Freed memory is kept for all of them, as `chargen train` keeps it, or with --give-back for none.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import click
import numpy as np
import torch
from conditions import apply_isa, conditions, neighbours, processor
from torch import nn
from torch.nn.functional import cross_entropy

from chargen.hardware import autocast, choose_device, choose_precision, keep_freed_memory, matmul_rate
from chargen.models.classifier import Classifier
from chargen.models.config import ClassifierConfig, EncoderConfig, LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.text.tokenizers.char import CharTokenizer
from chargen.training.batches import Streams, Texts
from chargen.training.loop import update
from chargen.training.optimizers import make_optimizers
from chargen.training.task import Task
from chargen.training.tasks.classifier import Classification
from chargen.training.tasks.language_model import LanguageModelling
from chargen.workers import Workers, workers_for

CASES = [("gru", 256), ("gru", 512), ("lstm", 256), ("lstm", 512)]
LAYERS, EMBEDDING, BATCH, WINDOW = 2, 128, 128, 32
TOKENIZER = CharTokenizer("\n" + "".join(map(chr, range(32, 94))))  # about as many symbols as tinyshakespeare has
CLIP, RATE = 1.0, 1e-3
PAUSE = 0.2  # seconds between turns, so that the threads of the one that was running fall asleep
TEXTS, LABELS, TEXT_LENGTH, TEXTS_A_STEP = 640, 2, 100, 64  # of the classifier

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

Step = Callable[[int], int]  # the number of a step -> the tokens read


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

    def step(number: int) -> int:
        nonlocal state
        tokens = ids[torch.from_numpy(streams.indices(number)).to(device)]
        optimizer.zero_grad()
        with autocast(device, precision):
            outputs, state = model.layers(model.embedding(tokens[:-1]), state)
            logits = model.projection(outputs)
        loss = cross_entropy(logits.flatten(0, 1).float(), tokens[1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        state = tuple(part.detach().float() for part in state) if cell == "lstm" else state.detach().float()
        return BATCH * WINDOW

    return step


def our_loop(task: Task, optimizer: str, precision: str, workers: Workers) -> Step:
    """A step of ours."""
    optimizers = make_optimizers(task.model, optimizer, 0.0, precision, workers)
    return lambda number: update(task, optimizers, number, RATE, CLIP, workers=workers)[1]


def language_modelling(
    cell: str, hidden: int, streams: Streams, device: torch.device, precision: str, workers: Workers
) -> LanguageModelling:
    """A language model as `chargen train` has it on eight cores or fewer."""
    encoder = EncoderConfig(TOKENIZER.vocab_size, cell, LAYERS, hidden, EMBEDDING)
    model = LanguageModel(LanguageModelConfig(encoder)).to(device)
    return LanguageModelling(
        model, streams, streams.ids, TOKENIZER, 1.0, device, precision, workers=workers, shards=workers.size
    )


def classification(hidden: int, device: torch.device, precision: str, workers: Workers) -> Classification:
    """A bidirectional classifier of texts of 50 to 150 tokens."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(TEXT_LENGTH // 2, 3 * TEXT_LENGTH // 2, TEXTS)
    texts = [rng.integers(3, TOKENIZER.vocab_size, length) for length in lengths]
    data = Texts(texts, rng.integers(LABELS, size=TEXTS), TEXTS_A_STEP)
    encoder = EncoderConfig(TOKENIZER.vocab_size, "gru", 1, hidden, EMBEDDING, bidirectional=True)
    model = Classifier(ClassifierConfig(encoder, LABELS)).to(device)
    return Classification(model, data, data, ["a", "b"], device, precision, workers, workers.size)


def speed_of(step: Step, seconds: float, device: torch.device, workers: Workers | None) -> float:
    """Tokens a second in a turn of about `seconds`, within the workers or as torch does by itself."""
    numbers = iter(range(10**9))

    def turn(steps: int) -> tuple[int, float]:
        began = time.perf_counter()
        tokens = sum(step(next(numbers)) for _ in range(steps))
        if device.type == "cuda":
            torch.cuda.synchronize()
        return tokens, time.perf_counter() - began

    time.sleep(PAUSE)
    with workers or nullcontext():
        turn(1)
        _, one = turn(1)
        tokens, took = turn(max(1, round(seconds / one)))
    return tokens / took


def granted(busy: int, workers: Workers, seconds: float) -> float:
    """Share of their idle rate that small products of one thread a worker keep beside the busy loops: the limit."""

    def count(until: float) -> int:
        one, other, done = torch.ones(64, 256), torch.ones(256, 768), 0
        while time.perf_counter() < until:
            torch.mm(one, other)
            done += 1
        return done

    rates = []
    with workers:
        for number in (0, busy):
            with neighbours(number):
                until = time.perf_counter() + seconds
                rates.append(sum(workers.map(count, [until] * workers.size)))
    return rates[1] / rates[0]


def medians(
    contestants: dict[str, tuple[Step, Workers | None]], device: torch.device, rounds: int, seconds: float, busy: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Median tokens a second of each contestant, idle and beside the busy loops, in turns."""
    idle: dict[str, list[float]] = {name: [] for name in contestants}
    beside: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (step, workers) in contestants.items():
            idle[name].append(speed_of(step, seconds, device, workers))
            if busy:
                with neighbours(busy):
                    beside[name].append(speed_of(step, seconds, device, workers))
    return (
        {name: statistics.median(found) for name, found in idle.items()},
        {name: statistics.median(found) for name, found in beside.items() if found},
    )


@click.command()
@conditions
@click.option("--device", default="auto", show_default=True)
@click.option("--rounds", default=7, show_default=True, help="Turns that each contestant has.")
@click.option("--seconds", default=1.0, show_default=True, help="About how long a turn is.")
@click.option("--give-back", is_flag=True, help="Freed memory goes back to the system, as in a tutorial.")
@click.option("--only", help="Only rows whose name has this word, such as gru or 256.")
def main(
    isa: str | None, busy: int, device: str, rounds: int, seconds: float, give_back: bool, only: str | None
) -> None:
    apply_isa(isa)
    if not give_back:
        keep_freed_memory()
    where = choose_device(device)
    workers = workers_for(where)
    precisions = ["fp32"] + (["bf16"] if choose_precision("auto", where) == "bf16" else [])
    size = 4096 if where.type == "cuda" else 768
    rates = {name: matmul_rate(where, dtype, size) for name, dtype in DTYPES.items() if name in precisions}
    print(f"torch {torch.__version__} on {where}, {processor()}, isa {isa or 'all'}")
    print(f"{torch.get_num_threads()} threads for the bare loop, {workers.size} workers, {BATCH} x {WINDOW} tokens")
    print(", ".join(f"{name} product {rate / 1e9:,.0f} GF/s" for name, rate in rates.items()))
    if busy:
        print(
            f"beside {busy} busy loops, products alone keep {granted(busy, workers, 3 * seconds):.2f} of their rate"
        )
    print()
    print("                                    tokens a second           ours/bare       of the   busy/idle")
    print("model      precision  a step       bare     AdamW      Muon  AdamW   Muon  product   bare  AdamW   Muon")
    ids = np.random.default_rng(0).integers(3, TOKENIZER.vocab_size, 200_000)
    streams = Streams(ids, BATCH, WINDOW)
    for cell, hidden in [*CASES, ("classify", 256)]:
        for precision in precisions:
            contestants: dict[str, tuple[Step, Workers | None]] = {}
            name = f"{cell} {hidden}"
            if only and only not in name:
                continue
            if cell != "classify":
                contestants["bare"] = bare_loop(cell, hidden, streams, where, precision), None
            for optimizer in ("adamw", "muon"):
                task: Task
                if cell == "classify":
                    task = classification(hidden, where, precision, workers)
                else:
                    task = language_modelling(cell, hidden, streams, where, precision, workers)
                contestants[optimizer] = our_loop(task, optimizer, precision, workers), workers
            tokens = contestants["adamw"][0](0)
            weights = sum(w.numel() for n, w in task.model.named_parameters() if "embedding" not in n)
            idle, beside = medians(contestants, where, rounds, seconds, busy)
            bare = idle.get("bare", float("nan"))
            reached = 6 * weights * idle["adamw"] / rates[precision]
            row = (
                f"{name:<10} {precision:>9} {tokens:>7,} {bare:>10,.0f} {idle['adamw']:>9,.0f} {idle['muon']:>9,.0f}"
            )
            row += f" {idle['adamw'] / bare:>6.2f} {idle['muon'] / bare:>6.2f} {reached:>8.0%}"
            for one in ("bare", "adamw", "muon"):
                row += f" {beside[one] / idle[one]:>6.2f}" if one in beside else "      -"
            print(row, flush=True)


if __name__ == "__main__":
    main()

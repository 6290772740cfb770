"""How fast text is written: our engines, a plain step loop over torch.nn with the same weights, and the bound.

    python benchmarks/sample_speed.py                    # the table
    python benchmarks/sample_speed.py --run RUN          # and the time from the command to its first character
    python benchmarks/sample_speed.py --busy 1           # and beside another program

All write real characters, softmax and draw included; they take turns in one process, and the medians of all turns
are shown. The ratio is that of the engine that `chargen sample` takes for much text in so many samples; torch's is in
bfloat16 where the processor has it. The bound is what memory allows: the bandwidth at which this machine reads an
array larger than its caches, divided by the bytes of the weights that one step must read. A model that fits into a
cache may exceed it. `threads` is the number that BLAS was found to be fastest with, at last.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import cast

import click
import numpy as np
import torch
from conditions import apply_isa, conditions, neighbours, processor

from chargen.api.writer import TextWriter
from chargen.generation.engines.choice import MANY_SAMPLES
from chargen.generation.engines.contract import Engine
from chargen.generation.engines.numpy_engine import NumpyEngine
from chargen.generation.engines.torch_engine import TorchEngine
from chargen.generation.generate import generate
from chargen.generation.scoring import score
from chargen.hardware import choose_precision
from chargen.models.cells_numpy.fused import GatedLayer
from chargen.models.config import EncoderConfig, LanguageModelConfig, ModelConfig
from chargen.runs.search import find_run
from chargen.text.tokenizers.char import CharTokenizer

CASES = [("lstm", 512, 1), ("gru", 512, 1), ("lstm", 1024, 1), ("gru", 256, 1), ("lstm", 512, 64), ("gru", 512, 64)]
LAYERS, EMBEDDING = 2, 128
TOKENIZER = CharTokenizer("\n" + "".join(map(chr, range(32, 93))))  # V = 65, as tinyshakespeare has it
PAUSE = 0.2  # seconds between turns, so that the threads of the one that was running fall asleep
BIG = 1 << 29  # bytes of an array that no cache holds


class PlainModel(torch.nn.Module):
    """What most programs that sample have: a module, called one character at a time."""

    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(TOKENIZER.vocab_size, EMBEDDING)
        self.layers = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](EMBEDDING, hidden, LAYERS)
        self.projection = torch.nn.Linear(hidden, TOKENIZER.vocab_size)

    @torch.inference_mode()
    def write(self, batch: int, steps: int) -> list[str]:
        """The characters of all streams, step by step."""
        ids, state, written = torch.full((1, batch), 3), None, []
        for _ in range(steps):
            outputs, state = self.layers(self.embedding(ids), state)
            probabilities = torch.softmax(self.projection(outputs[0]) / 0.8, dim=-1)
            ids = torch.multinomial(probabilities, 1).T
            written += [TOKENIZER.decode([token]) for token in ids[0].tolist()]
        return written

    def engines(self, cell: str, hidden: int) -> tuple[NumpyEngine, TorchEngine]:
        """Ours, with the same weights."""
        encoder = EncoderConfig(TOKENIZER.vocab_size, cell, LAYERS, hidden, EMBEDDING)
        names = {"embedding.weight": "encoder.embedding.weight"}
        for layer in range(LAYERS):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                names[f"layers.{name}_l{layer}"] = f"encoder.layers.{layer}.{name}_l0"
        weights = {names.get(name, name): tensor.detach().numpy() for name, tensor in self.state_dict().items()}
        config = LanguageModelConfig(encoder)
        precision = choose_precision("auto", torch.device("cpu"))
        return NumpyEngine(config, weights), TorchEngine(config, weights, precision=precision)


def speed_of(write: Callable[[int], object], batch: int, seconds: float) -> float:
    """Characters a second in a turn of about `seconds`, once threads are awake and chosen."""

    def turn(steps: int) -> float:
        began = time.perf_counter()
        write(steps)
        return time.perf_counter() - began

    time.sleep(PAUSE)
    turn(20)
    steps = max(20, round(20 * seconds / turn(20)))
    turn(steps)
    return steps * batch / turn(steps)


def bandwidth() -> float:
    """Bytes a second at which all threads together read memory."""
    array = torch.ones(BIG // 4)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        array.sum()
        times.append(time.perf_counter() - began)
    return BIG / min(times)


def compare(cell: str, hidden: int, batch: int, rounds: int, seconds: float, busy: int) -> str:
    """One row of the table."""
    model = PlainModel(cell, hidden)
    engine, torch_engine = model.engines(cell, hidden)

    def writer(one: Engine) -> Callable[[int], object]:
        return lambda steps: list(islice(generate(one, TOKENIZER, samples=batch, scored=False), steps * batch))

    contestants = [writer(engine), writer(torch_engine), lambda steps: model.write(batch, steps)]
    results: list[list[float]] = [[] for _ in contestants]
    beside: list[float] = []  # of ours, beside the busy loops
    others = model.engines(cell, hidden)  # which find their own number of threads there
    narrow = choose_precision("auto", torch.device("cpu")) == "bf16"
    first = 1 if batch >= MANY_SAMPLES and narrow else 0  # the engine that `chargen sample` takes
    for _ in range(rounds):
        for write, result in zip(contestants, results, strict=True):
            result.append(speed_of(write, batch, seconds))
        if busy:
            with neighbours(busy):
                beside.append(speed_of(writer(others[first]), batch, seconds))
    speeds = [statistics.median(result) for result in results]
    ours, plain = speeds[first], speeds[2]
    layers = cast("list[GatedLayer]", engine.layers)
    read = sum(layer.weight_hh.nbytes for layer in layers) + engine.projection.nbytes
    read += sum(layer.weight_ih.nbytes for layer in layers[1:])
    bound = bandwidth() / read * batch
    kept = f"{statistics.median(beside) / ours:>10.2f}" if beside else "         -"
    return (
        f"{cell} {LAYERS}x{hidden:<5} {batch:>5} {speeds[0]:>10,.0f} {speeds[1]:>10,.0f} {plain:>10,.0f} "
        f"{ours / plain:>10.1f} {read / 1e6:>7.1f} {bound:>10,.0f} {ours / bound:>7.0%} {kept} "
        f"{(engine, torch_engine)[first].stepping.count or '-':>8}"
    )


def first_character(*arguments: str, **environment: str) -> float:
    """Seconds from starting chargen to the first character that it prints."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        command = [str(Path(sys.executable).with_name("chargen")), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | environment) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def bits_lost(run: str) -> tuple[float, float]:
    """Bits a character that both engines need for a text that the run wrote, torch's in bfloat16."""
    writer = TextWriter(find_run(run))
    text = writer.generate(length=20_000, temperature=1.0, seed=0)
    config = find_run(run).model_config(ModelConfig)
    assert isinstance(config, LanguageModelConfig)
    narrow = TorchEngine(config, find_run(run).weights(), precision="bf16")
    scores = [score(engine, writer.tokenizer, text).log_probs.sum() for engine in (writer.engine, narrow)]
    return -scores[0] / len(text) / math.log(2), -scores[1] / len(text) / math.log(2)


@click.command()
@conditions
@click.option("--rounds", default=7, show_default=True, help="Turns that each contestant has.")
@click.option("--seconds", default=1.0, show_default=True, help="About how long a turn is.")
@click.option("--run", help="A trained run, to time `chargen sample` to its first character.")
@click.option("--only", help="Only rows whose name has this word, such as lstm or 512.")
def main(isa: str | None, busy: int, rounds: int, seconds: float, run: str | None, only: str | None) -> None:
    apply_isa(isa)
    print(f"{processor()}, isa {isa or 'all'}")
    print(f"torch {torch.__version__} with {torch.get_num_threads()} threads, numpy {np.__version__}")
    print(f"memory is read at {bandwidth() / 1e9:.1f} GB/s\n")
    print(
        "model      batch    numpy/s    torch/s    plain/s ours/plain MB read    bound/s of bound  busy/idle  threads"
    )
    for cell, hidden, batch in CASES:
        if not only or only in f"{cell} {hidden}":
            print(compare(cell, hidden, batch, rounds, seconds, busy), flush=True)
    if run:
        print("\n{:.4f} bits a character in fp32, {:.4f} in bf16".format(*bits_lost(run)))
        written = first_character("sample", "-m", run, "--length", "1")
        print(f"first character of `chargen sample -m {run}` after {written:.2f} s")
    tab = {"_CHARGEN_COMPLETE": "bash_complete", "COMP_WORDS": "chargen sample -m ./", "COMP_CWORD": "3"}
    print(f"first character of `chargen --help` after {first_character('--help'):.2f} s")
    print(f"names of runs offered to the shell after {first_character(**tab):.2f} s")


if __name__ == "__main__":
    main()

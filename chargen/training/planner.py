"""How fast this device trains a model: measured by a few real steps where a budget in minutes needs it, and cached.

The cache is `speeds.json` in the data folder, keyed by device, versions, shape and batch. Every training updates it.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

import chargen
from chargen.runs.files import write_atomically
from chargen.text.corpora import data_folder
from chargen.training.chosen import ENCODER_OPTIONS, ChosenLanguageModelOptions
from chargen.training.distributed import World
from chargen.training.loop import update
from chargen.training.optimizers import make_optimizers
from chargen.training.task import Task
from chargen.workers import Workers

MEASURED_SECONDS = 0.3  # duration of a measurement, after one step that loads kernels; up to four delay a training
MAX_KEPT = 1000  # speeds in the cache, the most recent ones: far more than one person tries, yet a small file
MIN_SECONDS = 10.0  # a shorter training is no better than the measurement, and does not replace it


@dataclass(frozen=True)
class Planner:
    """Finds the speed of a training on this device: from the cache, or by measuring it."""

    build: Callable[[ChosenLanguageModelOptions], Task]  # makes a model with random weights, and some data, to time
    device: torch.device
    precision: str
    vocab_size: int
    world: World
    workers: Workers

    def speed(self, options: ChosenLanguageModelOptions) -> float:
        """Tokens per second that a training with these options reads, all processes together."""
        known: float | None = self.world.broadcast(lambda: _speeds().get(self._key(options)))
        if known is None:
            known = self.world.broadcast(self._measure(options))
            self._keep(options, known)
        return known

    def record(self, options: ChosenLanguageModelOptions, seconds: float, tokens_per_second: float) -> None:
        """Cache the speed of a whole training.

        Args:
            options: The training's.
            seconds: How long it took; a training shorter than MIN_SECONDS is ignored.
            tokens_per_second: Its speed, all processes together.
        """
        if seconds >= MIN_SECONDS:
            self._keep(options, tokens_per_second)

    def _measure(self, options: ChosenLanguageModelOptions) -> float:
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            task = self.build(options)
            return tokens_per_second(task, options.optimizer, self.precision, self.world, self.workers)

    def _keep(self, options: ChosenLanguageModelOptions, tokens_per_second: float) -> None:
        if not self.world.is_writer:
            return
        speeds = _speeds()
        speeds.pop(self._key(options), None)  # so that it becomes the most recent
        speeds[self._key(options)] = round(tokens_per_second, 1)
        kept = dict(list(speeds.items())[-MAX_KEPT:])
        with suppress(OSError):  # without a cache, it is measured again next time
            write_atomically(_path(), (json.dumps(kept, indent=1) + "\n").encode())

    def _key(self, options: ChosenLanguageModelOptions) -> str:
        if self.device.type == "cpu":
            device = f"{platform.node()} {torch.backends.cpu.get_cpu_capability()}, {self.workers.size} workers"
        else:
            device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        shape = ", ".join(f"{name} {getattr(options, name)}" for name in (*ENCODER_OPTIONS, "tied"))
        step = f"{options.batch_size} streams of {options.sequence_length}"
        parts = f"{options.shards} shards, {self.world.size} processes"
        versions = f"chargen {chargen.__version__}, torch {torch.__version__}"
        rest = f"{self.vocab_size} symbols, {options.optimizer}, {self.precision}"
        return "; ".join((device, versions, shape, step, parts, rest))


def tokens_per_second(task: Task, optimizer: str, precision: str, world: World, workers: Workers) -> float:
    """Time some real steps with learning rate 0, which changes neither weights nor random numbers.

    Args:
        task: The model and its data.
        optimizer: One of options.OPTIMIZERS.
        precision: Of the optimizer, `fp32` or `bf16`.
        world: The processes that train together.
        workers: The threads that share a step.

    Returns:
        Tokens per second, all processes together.
    """
    device = next(task.model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        optimizers = make_optimizers(task.model, optimizer, 0.0, precision, workers)
        update(task, optimizers, 0, 0.0, 1.0, world, workers)
        began, tokens, step = time.perf_counter(), 0, 0
        while world.broadcast((seconds := time.perf_counter() - began) < MEASURED_SECONDS):
            step += 1
            tokens += update(task, optimizers, step, 0.0, 1.0, world, workers)[1]
    return tokens / seconds


def _path() -> Path:
    return data_folder() / "speeds.json"


def _speeds() -> dict[str, float]:
    """The cached tokens per second by key; empty if the file is missing or damaged."""
    try:
        speeds = json.loads(_path().read_bytes())
        return {str(key): float(value) for key, value in speeds.items() if float(value) > 0}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}

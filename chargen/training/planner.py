"""How fast this device trains a shape: measured by real steps where a budget in minutes needs it, and remembered.

What was measured is kept beside the corpora, by device, versions and shape; every training begun here corrects it.
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
from chargen.training.distributed import World
from chargen.training.loop import update
from chargen.training.optimizers import make_optimizers
from chargen.training.options import ChosenLanguageModelOptions
from chargen.training.task import Task
from chargen.workers import Workers

SECONDS = 0.3  # of steps that are measured, after one that loads kernels
MOST_KEPT = 1000  # speeds, the last ones
ENOUGH = 10.0  # seconds of training that correct what was measured


@dataclass(frozen=True)
class Planner:
    """Tokens a second of trainings here, known or else measured."""

    build: Callable[[ChosenLanguageModelOptions], Task]  # a model of random weights and some data to time
    device: torch.device
    precision: str
    vocab_size: int
    world: World
    workers: Workers

    def speed(self, options: ChosenLanguageModelOptions) -> float:
        """Tokens a second that all processes together read by options whose shape, batch and optimizer are chosen."""
        known: float | None = self.world.agree(lambda: _speeds().get(self._key(options)))
        if known is None:
            known = self.world.agree(self._measure(options))
            self._keep(options, known)
        return known

    def correct(self, options: ChosenLanguageModelOptions, seconds: float, tokens_per_second: float) -> None:
        """Remember how fast a whole training was."""
        if seconds >= ENOUGH:
            self._keep(options, tokens_per_second)

    def _measure(self, options: ChosenLanguageModelOptions) -> float:
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            task = self.build(options)
            return tokens_a_second(task, options.optimizer, self.precision, self.world, self.workers)

    def _keep(self, options: ChosenLanguageModelOptions, tokens_per_second: float) -> None:
        if not self.world.is_writer:
            return
        speeds = _speeds()
        speeds.pop(self._key(options), None)  # so that it is the last again
        speeds[self._key(options)] = round(tokens_per_second, 1)
        kept = dict(list(speeds.items())[-MOST_KEPT:])
        with suppress(OSError):  # where nothing can be written, it is measured again next time
            write_atomically(_path(), (json.dumps(kept, indent=1) + "\n").encode())

    def _key(self, options: ChosenLanguageModelOptions) -> str:
        if self.device.type == "cpu":
            device = f"{platform.node()} {torch.backends.cpu.get_cpu_capability()}, {self.workers.size} workers"
        else:
            device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        shape = f"{options.cell} {options.num_layers}x{options.hidden_size}"
        width = f"embedding {options.embedding_size} tied {options.tied}"
        step = f"{options.batch_size} streams of {options.sequence_length}"
        parts = f"{options.shards} shards, {self.world.size} processes"
        versions = f"chargen {chargen.__version__}, torch {torch.__version__}"
        rest = f"{self.vocab_size} symbols, {options.optimizer}, {self.precision}"
        return "; ".join((device, versions, shape, width, step, parts, rest))


def tokens_a_second(task: Task, optimizer: str, precision: str, world: World, workers: Workers) -> float:
    """How many tokens all processes together read, by some real steps at a learning rate of 0.

    The weights, and what is drawn at random afterwards, stay as they are.
    """
    device = next(task.model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        optimizers = make_optimizers(task.model, optimizer, 0.0, precision, workers)
        update(task, optimizers, 0, 0.0, 1.0, world, workers)
        began, tokens, step = time.perf_counter(), 0, 0
        while world.agree((seconds := time.perf_counter() - began) < SECONDS):
            step += 1
            tokens += update(task, optimizers, step, 0.0, 1.0, world, workers)[1]
    return tokens / seconds


def _path() -> Path:
    return data_folder() / "speeds.json"


def _speeds() -> dict[str, float]:
    """Tokens a second by key; none where the file is absent or damaged."""
    try:
        speeds = json.loads(_path().read_bytes())
        return {str(key): float(value) for key, value in speeds.items() if float(value) > 0}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}

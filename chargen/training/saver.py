"""The state that `--resume` goes on from, saved as one file and checked against the model before any of it loads."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from chargen.errors import ChargenError
from chargen.runs.files import read_record
from chargen.runs.folder import STATE, Run
from chargen.training.distributed import World
from chargen.training.optimizers import moments_of
from chargen.training.progress import Progress
from chargen.training.task import Task

SAVE_INTERVAL = 60.0  # seconds between saves: the most that a power cut loses
MIN_INTERVAL_PER_SAVE = 50.0  # the interval is at least this many times the last save's own time, so saves take 2 %
MOST = 1 << 53  # steps or tokens: beyond, a float is not exact
ROLLBACKS = 2  # returns to the last save, each at half the learning rate, before a diverged training gives up


class Saver:
    """Saves and restores a training: weights, optimizers, random numbers, recurrent state and progress."""

    def __init__(self, task: Task, optimizers: Sequence[Optimizer], run: Run, world: World) -> None:
        self.task, self.optimizers, self.run, self.world = task, optimizers, run, world
        self.saved_at = time.monotonic()
        self.took = 0.0

    def is_due(self) -> bool:
        """Whether the last save is so long ago that another is worth its time."""
        waited = time.monotonic() - self.saved_at
        return waited > max(SAVE_INTERVAL, MIN_INTERVAL_PER_SAVE * self.took)

    def save(self, progress: Progress) -> Progress:
        """Replace the saved state; skip the save if weights are not finite or the loss is spiking.

        Returns:
            The progress given, unchanged.
        """
        if progress.strikes or not all(weight.isfinite().all() for weight in self.task.model.parameters()):
            return progress
        began = time.monotonic()
        tensors = self._state()
        for number, optimizer in enumerate(self.optimizers):
            for index, parts in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{number}.{index}.{name}": part for name, part in parts.items()}
        if self.world.is_writer:
            arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
            self.run.save_training_state(arrays, asdict(progress))
        self.saved_at = time.monotonic()
        self.took = self.saved_at - began
        return progress

    def restore(self) -> Progress:
        """Load the saved state into model, optimizers, task and random generators.

        Returns:
            How far the training had come.

        Raises:
            ChargenError: There is no saved state, or it does not fit the model; nothing is changed then.
        """
        saved = self.world.broadcast(self.run.training_state)  # other machines may not see the folder
        if saved is None:
            raise self._error(f"lacks {STATE}")
        arrays, facts = saved
        found = {name: torch.from_numpy(array) for name, array in arrays.items()}
        self._check(found)
        progress = self._progress(facts)
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "carried": {}, "random": {}}
        for name, tensor in found.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = tensor
        self.task.model.load_state_dict(groups["model"])
        for number, optimizer in enumerate(self.optimizers):
            states: dict[int, dict[str, Tensor]] = defaultdict(dict)
            for name, tensor in groups["optimizer"].items():
                owner, index, part = name.split(".")
                if int(owner) == number:
                    states[int(index)][part] = tensor
            optimizer.load_state_dict({**optimizer.state_dict(), "state": dict(states)})
        self.task.load_state_dict(groups["carried"])
        torch.set_rng_state(groups["random"]["cpu"])
        if torch.cuda.is_available() and "cuda" in groups["random"]:
            torch.cuda.set_rng_state(groups["random"]["cuda"])
        self.world.seed(progress.step)
        return progress

    def _check(self, found: Mapping[str, Tensor]) -> None:
        """Raise ChargenError unless names, shapes and dtypes are those of this model and its optimizers.

        Called before anything is loaded, because a fused optimizer writes past the end of a buffer that is too short.
        """
        needed = self._state()
        moments = moments_of(self.optimizers)
        if any(name.startswith("optimizer.") for name in found):  # none are saved before the first step
            needed |= {f"optimizer.{name}": tensor for name, tensor in moments.items()}
        optional = {"random.cuda"}  # either machine may have no GPU
        for name in sorted((needed.keys() ^ found.keys()) - optional):
            raise self._error(f"{'lacks' if name in needed else 'has an unknown'} {name} in {STATE}")
        for name, tensor in found.items():
            if name not in needed:
                continue
            if tensor.shape != needed[name].shape or tensor.dtype != needed[name].dtype:
                raise self._error(
                    f"has {name} in {STATE} as {tuple(tensor.shape)} of {tensor.dtype}, where the model needs "
                    f"{tuple(needed[name].shape)} of {needed[name].dtype}"
                )
            if not tensor.isfinite().all():
                raise self._error(f"has {name} in {STATE} with numbers that are not finite")
        try:
            torch.Generator().set_state(found["random.cpu"])
        except RuntimeError as error:
            raise self._error(f"has random.cpu in {STATE} that is no state of a generator") from error

    def _state(self) -> dict[str, Tensor]:
        """The current tensors of model, task and random generators, by the names that the file has."""
        tensors = {f"model.{name}": tensor for name, tensor in self.task.model.state_dict().items()}
        tensors |= {f"carried.{name}": tensor for name, tensor in self.task.state_dict().items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        return tensors

    def _progress(self, facts: Mapping[str, Any]) -> Progress:
        """Parse the saved progress; ChargenError if it is malformed or its numbers are impossible."""
        progress = read_record(Progress, facts, f"{self.run.path / STATE} does not record a training's progress")
        counts = (progress.step, progress.tokens, progress.stale, progress.evaluation_tokens, progress.strikes)
        fits = min(counts) >= 0 and max(counts) <= MOST and 0 <= progress.rollbacks <= ROLLBACKS
        losses = (progress.seconds, progress.best or 0.0, progress.average_loss or 0.0)
        if not fits or progress.seconds < 0 or not all(map(math.isfinite, losses)):
            raise self._error(f"has impossible numbers in {STATE}")
        return progress

    def _error(self, problem: str) -> ChargenError:
        return ChargenError(
            f"{self.run.path} {problem}, so it cannot be resumed: train another run on its text with --from "
            f"{self.run.argument} and --out, or train it again with --overwrite"
        )

    def roll_back(self, progress: Progress, rate: float) -> Progress:
        """Return to the last save after the loss diverged.

        Args:
            progress: How far the training had come when it diverged.
            rate: Its learning rate then, for the error message.

        Returns:
            The saved progress, with one more rollback and with the time spent since.

        Raises:
            ChargenError: It was already rolled back ROLLBACKS times.
        """
        if progress.rollbacks >= ROLLBACKS:
            raise ChargenError(
                f"the loss explodes at step {progress.step}, after {ROLLBACKS} attempts to go on: train again with "
                f"--learning-rate below {rate:.2g} or a lower --clip; {self.run.path} keeps its best weights"
            )
        rollbacks = progress.rollbacks + 1
        seconds = progress.seconds  # time does not roll back
        progress = self.restore()
        progress.rollbacks, progress.seconds = rollbacks, seconds
        return progress

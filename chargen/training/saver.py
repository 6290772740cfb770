"""What `--resume` goes on from: saved whole, and compared with the live model before anything of it is taken up."""

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

SAVE_EVERY = 60.0  # seconds between saves, or SAVE_SHARE times what the last one took, if that is longer
SAVE_SHARE = 50.0
ROLLBACKS = 2  # times that a training which diverged goes on from its last save before it gives up


class Saver:
    """What `--resume` goes on from: weights, optimizer, random numbers, carried state and progress, in one file."""

    def __init__(self, task: Task, optimizers: Sequence[Optimizer], run: Run, world: World) -> None:
        self.task, self.optimizers, self.run, self.world = task, optimizers, run, world
        self.saved_at = time.monotonic()
        self.took = 0.0

    def is_due(self) -> bool:
        """Whether so much would be lost by a power cut that it is worth a save."""
        waited = time.monotonic() - self.saved_at
        return waited > max(SAVE_EVERY, SAVE_SHARE * self.took)

    def save(self, progress: Progress) -> Progress:
        """Replace the saved state, unless weights are not finite or the loss is spiking; gives the progress back."""
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
        """Take up the saved state; ChargenError, and nothing is changed, when there is none that fits."""
        saved = self.world.agree(self.run.training_state)  # other machines may not see the folder
        if saved is None:
            raise self._unfit("lacks its folder training/")
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
        self.task.carry(groups["carried"])
        torch.set_rng_state(groups["random"]["cpu"])
        if torch.cuda.is_available() and "cuda" in groups["random"]:
            torch.cuda.set_rng_state(groups["random"]["cuda"])
        self.world.seed(progress.step)
        return progress

    def _check(self, found: Mapping[str, Tensor]) -> None:
        """ChargenError unless the tensors are, by name, shape and type, those of this model and its optimizers.

        A fused optimizer writes beyond a buffer that is too short, so all is compared before anything is loaded.
        """
        needed = self._state()
        moments = moments_of(self.optimizers)
        if any(name.startswith("optimizer.") for name in found):  # there are none before the first step
            needed |= {f"optimizer.{name}": tensor for name, tensor in moments.items()}
        optional = {"random.cuda"}  # this machine may have no GPU, or that one none
        for name in sorted((needed.keys() ^ found.keys()) - optional):
            raise self._unfit(f"{'lacks' if name in needed else 'has an unknown'} {name} in {STATE}")
        for name, tensor in found.items():
            if name in optional:
                continue
            if tensor.shape != needed[name].shape or tensor.dtype != needed[name].dtype:
                raise self._unfit(
                    f"has {name} in {STATE} as {tuple(tensor.shape)} of {tensor.dtype}, where the model needs "
                    f"{tuple(needed[name].shape)} of {needed[name].dtype}"
                )

    def _state(self) -> dict[str, Tensor]:
        """All that is saved of model, task and random numbers, as it is now."""
        tensors = {f"model.{name}": tensor for name, tensor in self.task.model.state_dict().items()}
        tensors |= {f"carried.{name}": tensor for name, tensor in self.task.carried().items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        return tensors

    def _progress(self, facts: Mapping[str, Any]) -> Progress:
        """Where the training was; ChargenError for facts that are none, or that no training comes to."""
        progress = read_record(Progress, facts, f"{self.run.path / STATE} has no progress of a training")
        counts = (progress.step, progress.tokens, progress.stale, progress.evaluation_tokens, progress.strikes)
        if min(counts) < 0 or not 0 <= progress.seconds < math.inf or not 0 <= progress.rollbacks <= ROLLBACKS:
            raise self._unfit(f"has numbers in {STATE} that no training comes to")
        return progress

    def _unfit(self, problem: str) -> ChargenError:
        return ChargenError(
            f"{self.run.path} {problem}, so it cannot be resumed: begin another run with its weights, with --from "
            f"{self.run.name}, or train it again with --overwrite"
        )

    def roll_back(self, progress: Progress, rate: float) -> Progress:
        """Go on from the last save; ChargenError when that was done ROLLBACKS times already."""
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

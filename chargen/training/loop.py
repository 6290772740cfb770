"""The training loop: one for language models and classifiers, a generator of events that prints nothing."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from chargen.errors import ChargenError
from chargen.runs.folder import Run
from chargen.training.distributed import ALONE, World
from chargen.training.events import Done, Evaluated, Event, Note, Started, Step
from chargen.training.optimizers import make_optimizers, set_rate
from chargen.training.schedule import Budget, learning_rate_factor
from chargen.workers import ONE_WORKER, Workers

# Tokens measured for each that was trained on: in all evaluations on the way, and in the last one, which is larger in
# a short training, so that an epoch of labelled texts is followed by all that are held out. Measuring in single
# precision takes most of the time of training in bfloat16 on as many.
EVALUATION_SHARE, LAST_SHARE = 0.02, 0.25
SMALLEST_EVALUATION, LARGE_EVALUATION = 2_000, 100_000  # tokens
SAVE_EVERY = 60.0  # seconds between saves, or SAVE_SHARE times what the last one took, if that is longer
SAVE_SHARE = 50.0
INTERRUPTED = "interrupted"
OUT_OF_PATIENCE = "no better for a while"
NOISE = 1e-3  # of the best merit: what is better by less does not restore patience
AVERAGED = 50  # steps
EXPLODED = 1.5  # times the average loss, and a nat, are too much
STRIKES = 10  # losses in a row that are too much: the training has diverged, not met a strange batch
ROLLBACKS = 2  # times that a training which diverged goes on from its last save before it gives up


@dataclass(frozen=True)
class Optimisation:
    """How weights move."""

    learning_rate: float  # peak
    optimizer: str = "adamw"  # one of optimizers.OPTIMIZERS
    weight_decay: float = 0.0  # of matrices, each step by so much of the learning rate
    clip: float = 1.0  # largest joint norm of the gradients
    precision: str = "fp32"  # of the products that an optimizer makes, fp32 or bf16
    patience: int | None = None  # evaluations without a better one before stopping early


class Task(Protocol):
    """A model and its data, as the loop sees them."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches that read the training set once."""

    def losses(self, step: int) -> tuple[list[Callable[[], Tensor]], int]:
        """The batch of a step in shards, and the tokens in it, those of all processes counted.

        A function for each shard gives its part of the mean loss in nats; any thread may call it, once.
        """

    def bits(self, nats: float) -> float | None:
        """A loss in bits per character, where that means something."""

    def evaluate(self, most_tokens: int, *, last: bool = False) -> dict[str, Any]:
        """Figures on the validation set or so many tokens of it; `val_loss`, in nats, is what training lowers.

        last: these are the figures that a person is told in the end.
        """

    def weights(self) -> dict[str, np.ndarray]:
        """What the run stores of the model as it was evaluated last."""

    def merit(self, figures: Mapping[str, Any]) -> float:
        """How good these figures are: the weights whose merit is the highest are the run's."""

    def carried(self) -> dict[str, Tensor]:
        """What passes from step to step beside weights, by name: the recurrent state of all processes."""

    def carry(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `carried` gave."""


@dataclass
class Progress:
    """Where a training is; saved with the weights, so that a resumed one goes on from there."""

    step: int = 0
    seconds: float = 0.0  # of training, in all sittings
    tokens: int = 0
    best: float | None = None  # highest merit so far, on the part of the validation set that is measured on the way
    stale: int = 0  # evaluations since one that was clearly better
    evaluation_tokens: int = 0  # size of that part, set at the first evaluation
    average_loss: float | None = None  # of the last steps, nats
    strikes: int = 0  # of the last losses in a row were too much
    rollbacks: int = 0  # each halves the learning rate

    def count(self, loss: float, tokens: int) -> None:
        """Take a step's loss and tokens into account."""
        self.step += 1
        self.tokens += tokens
        if not math.isfinite(loss):
            self.strikes = STRIKES
            return
        before = loss if self.average_loss is None else self.average_loss
        self.strikes = self.strikes + 1 if loss > EXPLODED * before + 1 else 0
        self.average_loss = before + (loss - before) / AVERAGED

    @property
    def has_diverged(self) -> bool:
        """Whether going on from here is hopeless."""
        return self.strikes >= STRIKES


def train(
    task: Task,
    optimisation: Optimisation,
    budget: Budget,
    run: Run,
    *,
    resume: bool = False,
    renewed: bool = False,
    stop: Callable[[], bool] = lambda: False,
    world: World = ALONE,
    workers: Workers = ONE_WORKER,
) -> Iterator[Event]:
    """Train until the budget is spent, patience ends or `stop()` says so, and save on the way.

    resume: go on from what the run saved last; renewed: with its patience anew.
    ChargenError when losses still explode after ROLLBACKS attempts to go on: the run keeps its best weights.
    """
    optimizers = make_optimizers(
        task.model, optimisation.optimizer, optimisation.weight_decay, optimisation.precision, workers
    )
    saver = Saver(task, optimizers, run, world)
    begun = resume and world.agree(lambda: run.is_begun or run.has_weights)
    progress = saver.restore() if begun else saver.save(Progress())
    if renewed:
        progress.stale = 0
    evaluations = budget.evaluations(task.steps_per_epoch)
    began = time.monotonic() - progress.seconds
    fraction = budget.fraction(progress.step, progress.seconds, task.steps_per_epoch)
    impatient = progress.stale >= (optimisation.patience or math.inf)
    reason = "budget spent" if fraction >= 1 else OUT_OF_PATIENCE if impatient else None
    task.model.train()
    yield Started(run, sum(weight.numel() for weight in task.model.parameters()), progress.step)
    while reason is None:
        rate = optimisation.learning_rate * learning_rate_factor(fraction) / 2**progress.rollbacks
        loss, tokens = update(task, optimizers, progress.step, rate, optimisation.clip, world, workers)
        progress.count(loss, tokens)
        if progress.has_diverged:
            progress = saver.roll_back(progress, rate)
            fraction = budget.fraction(progress.step, progress.seconds, task.steps_per_epoch)
            yield Note(f"the loss was {loss:.3g}; going on from step {progress.step:,} at half the learning rate")
            continue
        seconds, stopped, unsaved = world.agree((time.monotonic() - began, stop(), saver.is_due()))
        progress.seconds = seconds
        before, fraction = fraction, budget.fraction(progress.step, progress.seconds, task.steps_per_epoch)
        yield Step(progress.step, loss, task.bits(loss), rate, fraction, progress.seconds, progress.tokens)
        reason = INTERRUPTED if stopped else "budget spent" if fraction >= 1 else None
        if int(fraction * evaluations) > int(before * evaluations):
            yield evaluate(task, run, progress, fraction * evaluations, world)
            saver.save(progress)
            if progress.stale >= (optimisation.patience or math.inf):
                reason = reason or OUT_OF_PATIENCE
        elif unsaved or reason:
            saver.save(progress)
    if progress.best is None:  # stopped before its first evaluation: out of turn, so not part of the saved progress
        yield evaluate(task, run, replace(progress), 1.0, world)
    yield finish(task, run, progress, reason, world)


def update(
    task: Task,
    optimizers: Sequence[Optimizer],
    step: int,
    rate: float,
    clip: float,
    world: World = ALONE,
    workers: Workers = ONE_WORKER,
) -> tuple[float, int]:
    """Move the weights once, unless loss or gradient is no finite number.

    Gives the batch's loss in nats, not a number when the gradient's norm is none, and its tokens.
    """
    set_rate(optimizers, rate)
    losses, tokens = task.losses(step)
    loss = world.average(task.model, workers.gradients(task.model, losses))
    norm = nn.utils.clip_grad_norm_(task.model.parameters(), clip)
    nats = (loss + 0 * norm).item()  # one wait for the device, and not a number when either is none
    if math.isfinite(nats):
        for optimizer in optimizers:
            optimizer.step()
    return nats, tokens


def evaluate(task: Task, run: Run, progress: Progress, number: float, world: World) -> Evaluated:
    """Measure the model, record it, and keep its weights if they are the best so far."""
    if not progress.evaluation_tokens:  # as many each time, so that the figures compare
        share = int(EVALUATION_SHARE * progress.tokens / max(1.0, number))
        progress.evaluation_tokens = max(SMALLEST_EVALUATION, share)
    measured = world.agree(lambda: task.evaluate(progress.evaluation_tokens))
    record = {"step": progress.step, "tokens": progress.tokens, "seconds": round(progress.seconds, 3), **measured}
    merit = task.merit(measured)
    first = progress.best is None
    best = math.isfinite(measured["val_loss"]) and (progress.best is None or merit > progress.best)
    clearly = best and (progress.best is None or merit > progress.best + NOISE * abs(progress.best))
    progress.stale = 0 if clearly else progress.stale + 1
    if best:
        progress.best = merit
    if world.is_writer:
        if best:
            run.save_weights(task.weights())
        # What was measured beyond the save that a training went on from is forgotten.
        earlier = [] if first else [old for old in run.metrics() if old["step"] < progress.step]
        run.save_metrics([*earlier, record])
    return Evaluated(run, record, best)


def finish(task: Task, run: Run, progress: Progress, reason: str | None, world: World) -> Done:
    """Measure the best weights on more of the validation set, unless someone waits for the training to stop."""

    def measure() -> dict[str, Any]:
        if reason == INTERRUPTED:
            return max(run.metrics(), key=task.merit)
        load_weights(task.model, run.weights())
        shares = EVALUATION_SHARE * progress.tokens, min(LARGE_EVALUATION, LAST_SHARE * progress.tokens)
        return task.evaluate(max(SMALLEST_EVALUATION, *map(int, shares)), last=True)

    figures = world.agree(measure)
    summary = {name: value for name, value in figures.items() if name != "step"} | {
        "parameters": sum(weight.numel() for weight in task.model.parameters()),
        "steps": progress.step,
        "seconds": round(progress.seconds, 3),
        "tokens": progress.tokens,
        "tokens_per_second": round(progress.tokens / max(progress.seconds, 1e-9), 1),
        "stopped": reason,
    }
    if world.is_writer:
        if reason != INTERRUPTED:
            run.save_weights(task.weights())
        run.save_summary(summary)
    return Done(run, summary)


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
        """Replace the saved state, unless this is none to go back to; gives the progress back."""
        if progress.strikes or not all(weight.isfinite().all() for weight in self.task.model.parameters()):
            return progress
        began = time.monotonic()
        tensors = {f"model.{name}": tensor for name, tensor in self.task.model.state_dict().items()}
        for number, optimizer in enumerate(self.optimizers):
            for index, parts in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{number}.{index}.{name}": part for name, part in parts.items()}
        tensors |= {f"carried.{name}": tensor for name, tensor in self.task.carried().items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        if self.world.is_writer:
            arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
            self.run.save_training_state(arrays, asdict(progress))
        self.saved_at = time.monotonic()
        self.took = self.saved_at - began
        return progress

    def restore(self) -> Progress:
        """Take up the saved state; ChargenError when there is none."""
        saved = self.world.agree(self.run.training_state)  # other machines may not see the folder
        if saved is None:
            raise ChargenError(
                f"{self.run.path} lacks its folder training/, so it cannot be resumed: begin another run with its "
                f"weights, with --from {self.run.name}, or train it again with --overwrite"
            )
        arrays, facts = saved
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "carried": {}, "random": {}}
        for name, array in arrays.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = torch.from_numpy(array)
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
        progress = Progress(**facts)
        self.world.seed(progress.step)
        return progress

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


def weights_of(model: nn.Module) -> dict[str, np.ndarray]:
    """The weights that a run stores, by name; tied ones once, under the encoder's name."""
    return {name: weight.detach().float().cpu().numpy() for name, weight in model.named_parameters()}


def load_weights(model: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Give the model the weights that `weights_of` gave, all of them."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.from_numpy(weights[name]))

"""The training loop: one for language models and classifiers, a generator of events that prints nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import nn
from torch.optim import Optimizer

from chargen.models.weights import load_weights
from chargen.runs.folder import Run
from chargen.training.distributed import ALONE, World
from chargen.training.events import Done, Evaluated, Event, Note, Started, Step
from chargen.training.optimizers import make_optimizers, set_rate
from chargen.training.progress import Progress
from chargen.training.saver import Saver
from chargen.training.schedule import Budget, learning_rate_factor
from chargen.training.task import Optimisation, Task
from chargen.workers import ONE_WORKER, Workers

# Tokens measured for each that was trained on: in all evaluations on the way, and in the last one, which is larger in
# a short training, so that an epoch of labelled texts is followed by all that are held out. Measuring in single
# precision takes most of the time of training in bfloat16 on as many.
EVALUATION_SHARE, LAST_SHARE = 0.02, 0.25
SMALLEST_EVALUATION, LARGE_EVALUATION = 2_000, 100_000  # tokens
INTERRUPTED = "interrupted"
OUT_OF_PATIENCE = "no better for a while"
NOISE = 1e-3  # of the best merit: what is better by less does not restore patience


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
    begun = resume and world.agree(lambda: run.can_resume or run.has_weights)
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

"""The training loop of all kinds of model: a generator of events that prints nothing."""

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
from chargen.training.events import (
    BUDGET_SPENT,
    INTERRUPTED,
    OUT_OF_PATIENCE,
    Done,
    Evaluated,
    Event,
    Note,
    Started,
    Step,
)
from chargen.training.optimizers import make_optimizers, set_rate
from chargen.training.progress import Progress
from chargen.training.saver import Saver
from chargen.training.schedule import Budget, learning_rate_factor
from chargen.training.task import OptimizerSettings, Task
from chargen.workers import ONE_WORKER, Workers

# Tokens to read of the validation set, as fractions of the tokens trained on: for all evaluations during training
# together, and for the last one. The last is larger after a short training, so that an epoch of labelled texts is
# followed by an evaluation on all that are held out. Per token, evaluating in float32 takes most of the time that
# training in bfloat16 does. With these fractions, a training of a minute spends 2.4 % of its time on evaluations, and
# the last one adds 1.7 % (benchmarks/notes.md).
EVALUATION_FRACTION, LAST_EVALUATION_FRACTION = 0.02, 0.25
SMALLEST_EVALUATION = 2_000  # tokens; below, the loss is mostly noise
LARGE_EVALUATION = 100_000  # tokens, up to which LAST_EVALUATION_FRACTION holds
MIN_IMPROVEMENT = 1e-3  # fraction of the best score by which a new one must exceed it to reset patience


def train(
    task: Task,
    settings: OptimizerSettings,
    budget: Budget,
    run: Run,
    *,
    resume: bool = False,
    reset_patience: bool = False,
    stop: Callable[[], bool] = lambda: False,
    world: World = ALONE,
    workers: Workers = ONE_WORKER,
) -> Iterator[Event]:
    """Train until the budget is spent, patience runs out or `stop()` returns True, saving on the way.

    `resume` goes on from what the run saved last; `reset_patience` then forgets the evaluations without improvement
    that came before. `stop` is called after each step. Yields a Step for each update and an Evaluated for each
    evaluation, between Started and Done.

    Raises:
        ChargenError: The loss still diverges after ROLLBACKS rollbacks; the run keeps its best weights.
    """
    optimizers = make_optimizers(task.model, settings.optimizer, settings.weight_decay, settings.precision, workers)
    saver = Saver(task, optimizers, run, world)
    begun = resume and world.broadcast(lambda: run.can_resume or run.has_weights)
    progress = saver.restore() if begun else saver.save(Progress())
    if reset_patience:
        progress.stale = 0
    evaluations = budget.evaluations(task.steps_per_epoch)
    began = time.monotonic() - progress.seconds
    fraction = budget.fraction(progress.step, progress.seconds, task.steps_per_epoch)
    impatient = progress.stale >= (settings.patience or math.inf)
    reason = BUDGET_SPENT if fraction >= 1 else OUT_OF_PATIENCE if impatient else None
    task.model.train()
    yield Started(run, sum(weight.numel() for weight in task.model.parameters()), progress.step)
    while reason is None:
        rate = settings.learning_rate * learning_rate_factor(fraction) / 2**progress.rollbacks
        loss, tokens = update(task, optimizers, progress.step, rate, settings.clip, world, workers)
        progress.count(loss, tokens)
        if progress.has_diverged:
            progress = saver.roll_back(progress, rate)
            fraction = budget.fraction(progress.step, progress.seconds, task.steps_per_epoch)
            yield Note(f"the loss was {loss:.3g}; going on from step {progress.step:,} at half the learning rate")
            continue
        seconds, stopped, unsaved = world.broadcast((time.monotonic() - began, stop(), saver.is_due()))
        progress.seconds = seconds
        before, fraction = fraction, budget.fraction(progress.step, progress.seconds, task.steps_per_epoch)
        yield Step(progress.step, loss, task.bits(loss), rate, fraction, progress.seconds, progress.tokens)
        reason = INTERRUPTED if stopped else BUDGET_SPENT if fraction >= 1 else None
        if int(fraction * evaluations) > int(before * evaluations):
            yield evaluate(task, run, progress, fraction * evaluations, world)
            saver.save(progress)
            if progress.stale >= (settings.patience or math.inf):
                reason = reason or OUT_OF_PATIENCE
        elif unsaved or reason:
            saver.save(progress)
    if progress.best is None:  # stopped before its first evaluation; a resumed run is not to count this extra one
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
    """Make one step; leave the weights as they are if the loss or the gradient is not finite.

    Args:
        task: The model and its data.
        optimizers: Those that `make_optimizers` gave.
        step: Number of the step.
        rate: Learning rate, in AdamW's units.
        clip: Largest joint norm of all gradients.
        world: The processes that train together.
        workers: The threads that share the step.

    Returns:
        The batch's mean loss in nats, not finite if the gradient's norm is not finite; and its tokens.
    """
    set_rate(optimizers, rate)
    losses, tokens = task.losses(step)
    loss = world.average(task.model, workers.gradients(task.model, losses))
    norm = nn.utils.clip_grad_norm_(task.model.parameters(), clip)
    nats = (loss + 0 * norm).item()  # NaN if either is not finite; waits for the device only once
    if math.isfinite(nats):
        for optimizer in optimizers:
            optimizer.step()
    return nats, tokens


def evaluate(task: Task, run: Run, progress: Progress, number: float, world: World) -> Evaluated:
    """Evaluate the model, record the figures, and store the weights if their score is the highest so far.

    Args:
        task: The model and its data.
        run: Its metrics get a line.
        progress: Updated: best score, evaluations since an improvement, size of an evaluation.
        number: How many of the planned evaluations are due by now; sets how much the first one reads.
        world: The processes that train together.
    """
    if not progress.evaluation_tokens:  # the same number each time, so that the figures are comparable
        tokens = int(EVALUATION_FRACTION * progress.tokens / max(1.0, number))
        progress.evaluation_tokens = max(SMALLEST_EVALUATION, tokens)
    measured = world.broadcast(lambda: task.evaluate(progress.evaluation_tokens))
    record = {"step": progress.step, "tokens": progress.tokens, "seconds": round(progress.seconds, 3), **measured}
    score = task.score(measured)
    first = progress.best is None
    best = math.isfinite(measured["val_loss"]) and (progress.best is None or score > progress.best)
    clearly = best and (progress.best is None or score > progress.best + MIN_IMPROVEMENT * abs(progress.best))
    progress.stale = 0 if clearly else progress.stale + 1
    if best:
        progress.best = score
    if world.is_writer:
        if best:
            run.save_weights(task.weights())
        # A resumed training drops the records that an interrupted one wrote after its last save.
        earlier = [] if first else [old for old in run.metrics() if old["step"] < progress.step]
        run.save_metrics([*earlier, record])
    return Evaluated(run, record, best)


def finish(task: Task, run: Run, progress: Progress, reason: str | None, world: World) -> Done:
    """Evaluate the best weights on more of the validation set, and write the summary.

    After an interruption, when someone waits for the end, the best figures of the training are reported instead.

    Args:
        task: The model, whose weights are set to the run's best, and its data.
        run: Its summary is written.
        progress: How far the training came.
        reason: Why it ended, for the summary.
        world: The processes that train together.
    """

    def measure() -> dict[str, Any]:
        if reason == INTERRUPTED and (known := run.metrics()):
            return max(known, key=task.score)
        load_weights(task.model, run.weights())
        usual = int(EVALUATION_FRACTION * progress.tokens)
        large = int(min(LARGE_EVALUATION, LAST_EVALUATION_FRACTION * progress.tokens))
        return task.evaluate(max(SMALLEST_EVALUATION, usual, large), last=True)

    figures = world.broadcast(measure)
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

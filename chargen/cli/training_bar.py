"""How a training is shown: a progress bar, a line per evaluation, and the result."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from chargen.cli.output import tell, visible
from chargen.errors import abridge, shell_word
from chargen.kinds import kind_of

if TYPE_CHECKING:
    from chargen.training.events import Done, Evaluated, Event, Started, Step

SMOOTHING = 0.05  # weight of the newest loss in the moving average that the bar shows
BAR = "{percentage:3.0f}%|{bar}| {desc}"


def show_training(events: Iterator[Event], quiet: bool) -> Done | None:
    """Show a training on standard error while it runs.

    Args:
        events: The training's events; reading them runs it.
        quiet: Show only the result.

    Returns:
        The last event, or None if there is none.
    """
    from tqdm import tqdm

    from chargen.training.distributed import launched_rank
    from chargen.training.events import Done, Evaluated, Note, Started, Step

    quiet = quiet or launched_rank() > 0
    done: Done | None = None
    loss: float | None = None
    resumed = False
    hidden = True if quiet else None  # None: unless at a terminal
    with tqdm(total=1, bar_format=BAR, miniters=0, disable=hidden, leave=False, file=sys.stderr) as bar:

        def say(text: str) -> None:
            bar.write(visible(text), file=sys.stderr)

        for event in events:
            match event:
                case Step():
                    loss = event.loss if loss is None else loss + SMOOTHING * (event.loss - loss)
                    bar.n = min(1.0, event.fraction)
                    bar.set_description_str(progress_line(event, loss), refresh=False)
                    bar.update(0)
                case Note() if not quiet:
                    say(f"chargen: {abridge(event.text)}")
                case Started():
                    resumed = event.resumed_step > 0
                    if not quiet:
                        say(_start_line(event))
                case Evaluated() if not quiet:
                    say(_evaluation_line(event))
                    if event.best and (kind := kind_of(event.run.kind)).preview:
                        say(_indented(kind.get("preview")(event.run)))
                case Done():
                    done = event
    if done is not None and launched_rank() == 0:
        if resumed and loss is None:
            tell("no step was left to make: give a larger --minutes, --epochs or --steps to go on")
        tell(_result(done))
    return done


def _start_line(event: Started) -> str:
    from chargen.models.config import ModelConfig

    encoder = event.run.model_config(ModelConfig).encoder
    shape = f"{encoder.cell} {encoder.num_layers}x{encoder.hidden_size}, {event.parameters:,} parameters"
    resumed = f", going on from step {event.resumed_step:,}" if event.resumed_step else ""
    return f"chargen: {shape}, to {event.run.path}{resumed}"


def progress_line(event: Step, loss: float) -> str:
    """Time spent and left, loss and speed, as shown beside the bar.

    Args:
        event: The newest step.
        loss: Smoothed loss, in nats per token.
    """
    from tqdm import tqdm

    bits = f", {event.bits / event.loss * loss:.3f} bits/char" if event.bits is not None and event.loss else ""
    left = event.seconds * max(0.0, 1 / event.fraction - 1)  # tqdm does not count the time before a run was resumed
    times = "<".join(map(tqdm.format_interval, (event.seconds, left)))
    return f"{times}, loss {loss:.3f}{bits}, {event.tokens / event.seconds:,.0f} tokens/s"


def _metrics(record: dict[str, Any]) -> str:
    if "accuracy" in record:
        return f"accuracy {record['accuracy']:.4f}, macro-F1 {record['macro_f1']:.4f}, loss {record['val_loss']:.4f}"
    if "val_bpc" not in record:
        return f"loss {record['val_loss']:.4f}"
    return (
        f"{record['val_loss']:.4f} nats per token, {record['val_bpc']:.4f} bits per character, "
        f"perplexity {math.exp(min(record['val_loss'], 700)):.2f}"
    )


def _is_partly_read(record: dict[str, Any]) -> bool:
    """Whether a language model was measured on a part of what is held out."""
    return bool(record.get("val_tokens", 0) < record.get("held_out_tokens", 0))


def _evaluation_line(event: Evaluated) -> str:
    record = event.record
    line = f"step {record['step']:,}, {record['seconds']:.0f} s: {_metrics(record)}"
    if _is_partly_read(record):
        line += f" (first {record['val_tokens']:,} held-out tokens)"
    return line if event.best else f"{line}, not the best"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines() if line.strip())


def _result(event: Done) -> str:
    from chargen.training.events import INTERRUPTED

    summary, run = event.summary, event.run
    cost = f"{summary['seconds']:.0f} s, {summary['tokens_per_second']:,.0f} tokens/s"
    if summary["stopped"] == INTERRUPTED:
        again = f"chargen train --resume --out {shell_word(str(run.path))}"
        return f"interrupted after {cost}, saved in {run.path}: {again}"
    where = "held-out text"
    if _is_partly_read(summary):
        where = f"the first {summary['val_tokens']:,} of {summary['held_out_tokens']:,} held-out tokens"
    lines = [f"{_metrics(summary)} on {where}; {cost}"]
    if "accuracy_interval" in summary:
        low, high = summary["accuracy_interval"]
        lines.append(f"  measured on {summary['texts']:,} texts: accuracy {low:.3f} to {high:.3f} (95% interval)")
    if "ngrams" in summary:
        alone = (("n-grams", summary["ngrams"]), ("the network", summary["network"]))
        lines += [f"  {name} alone: {_metrics(metrics)}" for name, metrics in alone]
    lines.append(f"next: {kind_of(run.kind).use.format(run.argument)}")
    return "\n".join(lines)


@contextmanager
def encoding_bar(quiet: bool) -> Iterator[Callable[[float], object]]:
    """Yield a function that shows the progress of preparing the text, from 0 to 1, if that takes more than a second.

    Args:
        quiet: Show nothing.
    """
    from tqdm import tqdm

    bar_format = "preparing {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    bars: list[tqdm] = []  # made at the first call, so that no time before it counts

    def show(fraction: float) -> None:
        if not bars:
            bars.append(
                tqdm(total=1.0, bar_format=bar_format, delay=1.0, disable=True if quiet else None, leave=False)
            )
        bars[0].update(fraction - bars[0].n)
        if fraction >= 1:
            bars[0].close()

    try:
        yield show
    finally:
        for bar in bars:
            bar.close()

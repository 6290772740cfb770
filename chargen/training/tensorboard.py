"""Logs for TensorBoard, written into the run's folder during training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chargen.errors import ChargenError
from chargen.training.distributed import launched_rank
from chargen.training.events import Evaluated, Event, Started, Step


def logged(events: Iterator[Event]) -> Iterator[Event]:
    """Pass events on, writing their figures to `tensorboard/` in the run's folder.

    Args:
        events: Those of a training.

    Returns:
        The same events.

    Raises:
        ChargenError: The package is not installed, or cannot write to a folder of this name; raised before
            the training begins.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ChargenError("--log tensorboard needs a package: pip install 'chargen[tensorboard]'") from error
    return _write(events, SummaryWriter)


def _write(events: Iterator[Event], open_writer: Any) -> Iterator[Event]:
    writer: Any = None
    try:
        for event in events:
            match event:
                case Started() if launched_rank() == 0:
                    writer = _opened(open_writer, event.run.path / "tensorboard")
                case Step() if writer:
                    writer.add_scalar("train/loss", event.loss, event.step)
                    writer.add_scalar("train/learning_rate", event.learning_rate, event.step)
                case Evaluated() if writer:
                    for name, value in event.record.items():
                        if name not in ("step", "seconds", "tokens", "val_tokens", "held_out_tokens"):
                            writer.add_scalar(f"validation/{name}", value, event.record["step"])
            yield event
    finally:
        if writer:
            writer.close()


def _opened(open_writer: Any, folder: Path) -> Any:
    try:
        return open_writer(str(folder))
    except UnicodeEncodeError as error:
        raise ChargenError(
            f"TensorBoard cannot write to {folder}, a name that is no UTF-8: name another folder with --out"
        ) from error

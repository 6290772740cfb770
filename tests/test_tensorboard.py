"""TensorBoard gets the figures that the events have."""

from __future__ import annotations

from pathlib import Path

import pytest
from trainings import small

from chargen.training.events import Evaluated, Step
from chargen.training.start import start

pytestmark = pytest.mark.usefixtures("data_folder")


def test_tensorboard_gets_the_figures(text: str, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from chargen.training.tensorboard import logged

    events = list(logged(start(small(text), tmp_path / "run")))
    log = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert len(losses) == 30
    assert [scalar.value for scalar in log.Scalars("train/loss")] == pytest.approx(losses)
    evaluations = [event.record["val_bpc"] for event in events if isinstance(event, Evaluated)]
    assert len(evaluations) == 10
    assert [scalar.value for scalar in log.Scalars("validation/val_bpc")] == pytest.approx(evaluations)

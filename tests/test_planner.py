"""What is known of a device's speed: measured once, kept by shape, corrected by trainings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chargen.training import planner
from chargen.training.chosen import ChosenLanguageModelOptions, choose
from chargen.training.distributed import ALONE
from chargen.training.options import LanguageModelOptions
from chargen.training.planner import Planner
from chargen.training.recipes import cell_defaults
from chargen.workers import ONE_WORKER

OPTIONS = choose(
    ChosenLanguageModelOptions,
    LanguageModelOptions(inputs=("x",)),
    size="tiny",
    tied=False,
    learning_rate=0.1,
    weight_decay=0.0,
    clip=1.0,
    dropout=0.0,
    dropout_input=0.0,
    dropout_embedding=0.0,
    weight_drop=0.0,
    activation_reg=0.0,
    temporal_reg=0.0,
    **cell_defaults(LanguageModelOptions(inputs=("x",))),
    num_layers=1,
    hidden_size=8,
    embedding_size=4,
    batch_size=4,
    sequence_length=8,
    shards=1,
    optimizer="adamw",
)


class Counted:
    """A task of 32 tokens a step."""

    model = torch.nn.Linear(3, 2)
    steps = 0

    def losses(self, step: int) -> tuple[list[Any], int]:
        self.steps += 1
        return [lambda: self.model(torch.ones(4, 3)).sum()], 32


@pytest.fixture
def task(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counted:
    monkeypatch.setattr(planner, "MEASURED_SECONDS", 0.02)
    return Counted()


def planner_of(task: Any) -> Planner:
    return Planner(lambda options: task, torch.device("cpu"), "fp32", 10, ALONE, ONE_WORKER)


def test_a_shape_is_measured_once(task: Counted) -> None:
    found = planner_of(task).speed(OPTIONS)
    assert found > 0 and task.steps >= 2
    steps = task.steps
    assert planner_of(task).speed(OPTIONS) == pytest.approx(found, abs=0.1)
    assert task.steps == steps
    planner_of(task).speed(replace(OPTIONS, hidden_size=16))
    assert task.steps > steps


def test_measuring_takes_no_random_number(task: Counted) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    planner_of(task).speed(OPTIONS)
    assert torch.equal(torch.rand(2), expected)


def test_a_training_of_some_length_corrects_it(task: Counted) -> None:
    found = planner_of(task).speed(OPTIONS)
    planner_of(task).record(OPTIONS, seconds=1.0, tokens_per_second=7.0)
    assert planner_of(task).speed(OPTIONS) == pytest.approx(found, abs=0.1)
    planner_of(task).record(OPTIONS, seconds=60.0, tokens_per_second=7.0)
    assert planner_of(task).speed(OPTIONS) == 7.0


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": "b"}', '{"a": null}'])
def test_a_damaged_file_is_measured_anew(task: Counted, tmp_path: Path, content: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "speeds.json").write_text(content)
    assert planner_of(task).speed(OPTIONS) > 0


def test_a_folder_that_cannot_be_written_is_no_error(task: Counted, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    assert planner_of(task).speed(OPTIONS) > 0

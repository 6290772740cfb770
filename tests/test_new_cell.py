"""A cell that is defined here, and in no file of the package, does all that a cell does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import call
from torch import Tensor, nn

from chargen.models.cells.cell import Cell, State
from chargen.models.cells.registry import CELLS
from chargen.models.specs import SPECS, CellSpec
from chargen.runs.folder import load_run

SMALL = ("--cell", "leaky", "--num-layers", "2", "--hidden-size", "6", "--embedding-size", "5", "--quiet")
STEPS = ("--steps", "4", "--device", "cpu", "--precision", "fp32")


class Leaky(Cell):
    """A leaky unit: h' = a·h + (1 - a)·tanh(W x + b), with a = sigmoid(leak)."""

    spec = CellSpec(
        gates=("h",),
        weights=lambda gates, inputs, hidden: {"weight": (hidden, inputs), "bias": (hidden,), "leak": (hidden,)},
        matrices=("weight",),
        recurrent=None,
    )

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        for name, shape in self.spec.weight_shapes(input_size, hidden_size).items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    def initialise(self) -> None:
        nn.init.xavier_uniform_(self.get_parameter("weight"))

    def forward(self, inputs: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]:
        outputs = []
        for one in inputs:
            output, state = self.step(one, state)
            outputs.append(output)
        return torch.stack(outputs), state

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        new = (inputs @ self.get_parameter("weight").T + self.get_parameter("bias")).tanh()
        share = self.get_parameter("leak").sigmoid()
        after = share * state[0] + (1 - share) * new
        return after, (after,)


@pytest.fixture(autouse=True)
def _registered(tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SPECS, "leaky", Leaky.spec)
    monkeypatch.setitem(CELLS, "leaky", Leaky)
    Path("book.txt").write_text("once upon a time there was a fox. " * 60)
    rows = "".join(
        f"{word} film {number},{label}\n" for number in range(12) for word, label in (("good", "pos"), ("bad", "neg"))
    )
    Path("films.csv").write_text("text,label\n" + rows)


def test_it_trains_resumes_writes_and_is_measured() -> None:
    call("train", "book.txt", *SMALL, *STEPS, "--tokenizer", "char", "-o", "whole")
    call("train", "book.txt", *SMALL, "--steps", "2", *STEPS[2:], "--tokenizer", "char", "-o", "parts")
    call("train", "--resume", "-o", "parts", "--steps", "4", "--quiet")
    whole, parts = load_run(Path("whole")), load_run(Path("parts"))
    for name, weight in whole.weights().items():
        assert np.isfinite(weight).all() and weight.shape == parts.weights()[name].shape
    assert "encoder.layers.1.leak" in whole.weights()
    assert len(call("sample", "-m", "./whole", "once", "--length", "12").stdout) >= 16
    assert (
        "the engine numpy cannot run the cell leaky"
        in call("sample", "-m", "./whole", "once", "--engine", "numpy", code=1).stderr
    )
    call("score", "-m", "./whole", "book.txt")
    assert "bits" in call("evaluate", "-m", "./whole").stdout
    call("evaluate", "-m", "./whole", "--dynamic")


@pytest.mark.parametrize("direction", ["--bidirectional", "--unidirectional"])
def test_it_classifies(direction: str) -> None:
    call("train", "films.csv", "--task", "classify", *SMALL, *STEPS, direction, "-o", "films")
    (line,) = call("classify", "-m", "./films", "good film").stdout.splitlines()
    assert line.split("\t")[0] in ("pos", "neg")
    assert "accuracy" in call("evaluate", "-m", "./films").stdout


def test_a_name_that_no_cell_has_is_a_mistake_at_the_command_line() -> None:
    assert "'lsmt' is not one of" in call("train", "book.txt", "--cell", "lsmt", code=2).stderr

"""Cells beyond torch.nn: their recurrence over time, and all that a user does with one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import call
from hypothesis import given
from hypothesis import strategies as st
from textbook import run_layer

from chargen.models.cells.fused import FusedCell
from chargen.models.cells.mogrifier import Mogrifier
from chargen.models.cells.registry import CELLS
from chargen.models.cells_numpy.registry import LAYERS
from chargen.models.linear_scan import InPasses, StepByStep
from chargen.models.specs import SPECS
from chargen.runs.folder import load_run

OTHERS = [name for name, cell in CELLS.items() if not issubclass(cell, FusedCell)]
TYPED = [*OTHERS, "grid-lstm --tied-layers"]


def scan_inputs(steps: int) -> list[torch.Tensor]:
    """Shares, candidates and a state that need a gradient, and some resets."""
    generator = torch.Generator().manual_seed(steps)
    shapes = ((steps, 2, 3), (steps, 2, 3), (2, 3))
    values = [torch.rand(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]
    return [*values, (torch.rand(steps, 2, 1, generator=generator) < 0.8).double()]


@given(steps=st.integers(1, 40))
def test_a_scan_in_passes_is_one_step_by_step_and_so_are_its_gradients(steps: int) -> None:
    inputs = scan_inputs(steps)
    found, expected = (scan.apply(*inputs) for scan in (InPasses, StepByStep))  # type: ignore[no-untyped-call]
    weights = torch.linspace(-1, 1, found.numel(), dtype=torch.float64).view_as(found)
    grads = [torch.autograd.grad((states * weights).sum(), inputs[:3]) for states in (found, expected)]
    torch.testing.assert_close((found, *grads[0]), (expected, *grads[1]), atol=1e-12, rtol=0)


@pytest.mark.parametrize("scan", [InPasses, StepByStep])
def test_the_gradients_of_a_scan_are_those_of_finite_differences(scan: type[torch.autograd.Function]) -> None:
    assert torch.autograd.gradcheck(scan.apply, scan_inputs(5))


@pytest.mark.parametrize("cell", OTHERS)
def test_gradients_are_those_of_finite_differences(cell: str) -> None:
    torch.manual_seed(0)
    layer = CELLS[cell](3, 2).double()
    names = [name for name, _ in layer.named_parameters()]
    values = [torch.randn(weight.shape, dtype=torch.float64, requires_grad=True) for weight in layer.parameters()]
    inputs = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    state = [torch.randn(part.shape, dtype=torch.float64, requires_grad=True) for part in layer.initial_state(2)]

    def run(inputs: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        before, weights = rest[: len(state)], dict(zip(names, rest[len(state) :], strict=True))
        outputs, after = torch.func.functional_call(layer, weights, (inputs, before))
        return torch.cat([outputs.flatten(), *(part.flatten() for part in after)])

    assert torch.autograd.gradcheck(run, (inputs, *state, *values))


@pytest.mark.parametrize("rank", [0, 2])
def test_a_mogrifier_without_rounds_is_an_lstm_and_its_rank_factors_what_scales(rank: int) -> None:
    torch.manual_seed(0)
    plain = Mogrifier(3, 4, rounds=0, rank=rank)
    lstm = CELLS["lstm"](3, 4)
    plain.initialise()
    weights = {name: weight.detach() for name, weight in plain.named_parameters()}
    lstm.load_state_dict(
        {
            "weight_ih_l0": weights["weight_x"],
            "weight_hh_l0": weights["weight_h"],
            "bias_ih_l0": weights["bias"],
            "bias_hh_l0": torch.zeros(16),
        }
    )
    inputs = torch.randn(5, 2, 3)
    torch.testing.assert_close(
        plain(inputs, plain.initial_state(2)), lstm(inputs, lstm.initial_state(2)), atol=1e-6, rtol=0
    )
    cell = Mogrifier(3, 4, rounds=5, rank=rank)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.copy_(torch.randn_like(weight))
    arrays = {name: weight.detach().numpy() for name, weight in cell.named_parameters()}
    outputs, _ = cell(inputs, cell.initial_state(2))
    zeros = [np.zeros((2, 4), np.float32)] * 2
    expected, _ = run_layer("mogrifier", inputs.numpy(), zeros, arrays)
    np.testing.assert_allclose(outputs.detach().numpy(), expected, atol=1e-5)
    layer = LAYERS["mogrifier"](arrays)
    ours, _ = layer.run(layer.x_gates(inputs.numpy()), layer.initial_state(2))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert ("weight_q1_left" in arrays) == (rank > 0)


@pytest.mark.parametrize(("f", "i"), [(-15.0, -14.0), (-200.0, -199.0), (300.0, -300.0), (-300.0, 300.0)])
def test_the_shares_of_a_minlstm_are_quotients_of_its_gates_however_small(f: float, i: float) -> None:
    cell = CELLS["minlstm"](1, 1)
    with torch.no_grad():
        for name, values in (("weight_x", (f, i, 0.0)), ("bias", (0.0, 0.0, 2.0))):
            cell.get_parameter(name).copy_(torch.tensor(values).view_as(cell.get_parameter(name)))
    share = float(np.exp(-np.logaddexp(0, min(f, 0) - min(i, 0))))  # of the candidate, which is 2.5
    inputs = torch.ones(1, 1, 1)
    outputs, _ = cell(inputs, (torch.ones(1, 1),))
    layer = LAYERS["minlstm"]({name: weight.detach().numpy() for name, weight in cell.named_parameters()})
    ours, _ = layer.run(layer.x_gates(inputs.numpy()), (np.ones((1, 1), np.float32),))
    expected = 1 + share * 1.5
    assert outputs.item() == pytest.approx(expected, abs=1e-5) and ours.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("cell", TYPED)
def test_it_trains_resumes_writes_and_is_measured(cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("once upon a time there was a fox. " * 60)
    small = ("--cell", *cell.split(), "--num-layers", "2", "--hidden-size", "6", "--embedding-size", "5", "--quiet")
    rest = ("--tokenizer", "char", "--device", "cpu", "--precision", "fp32", "--dropout", "0.1")
    call("train", "book.txt", *small, *rest, "--steps", "4", "-o", "whole")
    call("train", "book.txt", *small, *rest, "--steps", "2", "-o", "parts")
    call("train", "--resume", "-o", "parts", "--steps", "4", "--quiet")
    whole, parts = load_run(Path("whole")), load_run(Path("parts"))
    for name, weight in whole.weights().items():
        assert np.isfinite(weight).all() and weight.shape == parts.weights()[name].shape
    texts = [
        call("sample", "-m", "./whole", "once", "--length", "40", "--seed", "1", "--engine", engine).stdout
        for engine in ("numpy", "torch")
    ]
    assert texts[0] == texts[1]
    assert "bits" in call("evaluate", "-m", "./whole").stdout
    call("evaluate", "-m", "./whole", "--dynamic")


@pytest.mark.parametrize("cell", TYPED)
def test_it_classifies(cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"good film {n},pos\nbad film {n},neg\n" for n in range(12))
    Path("films.csv").write_text("text,label\n" + rows)
    sizes = ("--num-layers", "2", "--hidden-size", "6", "--embedding-size", "5")
    rest = ("--steps", "4", "--device", "cpu", "--quiet", "--bidirectional")
    call("train", "films.csv", "--task", "classify", "--cell", *cell.split(), *sizes, *rest, "-o", "films")
    (line,) = call("classify", "-m", "./films", "good film").stdout.splitlines()
    assert line.split("\t")[0] in ("pos", "neg")
    assert "accuracy" in call("evaluate", "-m", "./films").stdout


def test_weight_drop_needs_a_recurrent_weight(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("once upon a time " * 60)
    command = (
        "train",
        str(tmp_path / "book.txt"),
        "--steps",
        "1",
        "--weight-drop",
        "0.5",
        "-o",
        str(tmp_path / "run"),
    )
    assert "has no recurrent weight" in call(*command, "--cell", "mingru", code=1).stderr
    call(*command, "--cell", "mlstm", "--hidden-size", "4", "--quiet")


def test_what_lies_between_layers_and_a_mogrifiers_settings_are_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("once upon a time there was a fox. " * 60)
    small = ("--num-layers", "2", "--hidden-size", "6", "--embedding-size", "6", "--steps", "3", "--quiet")
    mogrifier = ("--cell", "mogrifier", "--rounds", "2", "--rank", "3")
    call("train", "book.txt", *small, *mogrifier, "--layer-norm", "--connections", "highway", "-o", "book")
    weights = load_run(Path("book")).weights()
    assert weights["encoder.layers.0.weight_q1_left"].shape == (6, 3)
    assert "encoder.layers.0.weight_q3_left" not in weights
    assert "encoder.connections.norms.2.weight" in weights and "encoder.connections.highways.0.bias" in weights
    assert len(call("sample", "-m", "./book", "--length", "9").stdout) >= 9
    call("train", "book.txt", "--config", "book/config.json", "--cell", "lstm", "--quiet", "-o", "replayed")
    assert load_run(Path("replayed")).options["rounds"] == 0
    call("train", "book.txt", "--from", "./book", "--steps", "2", "--quiet", "-o", "further")
    assert load_run(Path("further")).options["connections"] == "highway"
    Path("films.csv").write_text("text,label\n" + "a fox,pos\na time,neg\n" * 20)
    call("train", "films.csv", "--task", "classify", "--from", "./book", "--steps", "2", "--quiet", "-o", "films")
    assert "encoder.connections.norms.1.weight" in load_run(Path("films")).weights()
    stderr = call("train", "book.txt", *small, "--rounds", "2", code=1).stderr
    assert "the cell gru has no rounds: leave out --rounds" in stderr
    call("train", "book.txt", *small, "--cell", "grid-lstm", "--tied-layers", "-o", "grid")
    weights = load_run(Path("grid")).weights()
    assert "encoder.layers.0.weight_time" in weights and "encoder.layers.1.weight_time" not in weights
    call("train", "book.txt", "--config", "grid/config.json", "--cell", "gru", "--quiet", "-o", "untied")
    tied = (*small, "--tied", "--hidden-size", "6")
    call("train", "book.txt", *tied, "-o", "one-matrix")
    call("train", "book.txt", "--config", "one-matrix/config.json", "--cell", "grid-lstm", "--quiet", "-o", "wider")
    assert load_run(Path("wider")).options["embedding_size"] == 12
    call("train", "book.txt", "--from", "./grid", "--steps", "2", "--quiet", "-o", "tied")
    assert load_run(Path("tied")).options["tied_layers"] is True
    stderr = call("train", "book.txt", *small, "--tied-layers", code=1).stderr
    assert "the cell gru cannot share weights: leave out --tied-layers" in stderr


def test_every_cell_has_a_row_in_each_table() -> None:
    assert SPECS.keys() == CELLS.keys() == LAYERS.keys()

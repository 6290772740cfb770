"""The gates that cells show: those of the papers' equations, spelled out in NumPy, and those that `step` uses."""

from __future__ import annotations

import numpy as np
import pytest
import textbook
import torch

from chargen.models.cells.cell import Cell, State
from chargen.models.cells.registry import CELLS

NAMES = {
    "lstm": ["i", "f", "o"],
    "gru": ["r", "z"],
    "rnn": [],
    "rnn-relu": [],
    "mlstm": ["i", "f", "o"],
    "mogrifier": ["i", "f", "o"],
    "mingru": ["z"],
    "minlstm": ["f", "i"],
    "qrnn": ["f", "o"],
    "grid-lstm": ["i", "f", "o", "depth i", "depth f", "depth o"],
}


def random_step(name: str) -> tuple[Cell, torch.Tensor, State]:
    torch.manual_seed(0)
    cell = CELLS[name](3, 4).double()
    with torch.no_grad():
        for weight in cell.parameters():
            weight.copy_(torch.randn_like(weight))
    return cell, torch.randn(2, 3).double(), tuple(torch.randn_like(part) for part in cell.initial_state(2))


@pytest.mark.parametrize("name", CELLS)
def test_gates_have_the_names_of_the_papers_and_are_between_0_and_1(name: str) -> None:
    cell, inputs, state = random_step(name)
    gates = cell.gates(inputs, state)
    assert list(gates) == NAMES[name]
    assert {gate.removeprefix("depth ") for gate in gates} <= {*cell.spec.gates}
    for gate in gates.values():
        assert gate.shape == (2, 4) and ((gate > 0) & (gate < 1)).all()
    assert (cell.kept(gates) is None) == (not gates)


@pytest.mark.parametrize("name", [name for name, gates in NAMES.items() if gates])
def test_what_is_kept_is_how_much_the_memory_follows_its_past(name: str) -> None:
    """The derivative of the new memory by the old one, where the gates do not read the old one."""
    cell, inputs, state = random_step(name)
    memory = 0 if name in ("gru", "mingru", "minlstm") else len(cell.spec.state) - 1 - (name == "qrnn")
    if name == "gru":  # its gates read its memory: cut that
        with torch.no_grad():
            cell.get_parameter("weight_hh_l0").zero_()
    state = tuple(part.clone().requires_grad_(number == memory) for number, part in enumerate(state))
    kept = cell.kept(cell.gates(inputs, state))
    (slope,) = torch.autograd.grad(cell.step(inputs, state)[1][memory].sum(), state[memory])
    torch.testing.assert_close(slope, kept)


def test_gates_are_those_of_the_equations_in_numpy() -> None:
    cell, inputs, state = random_step("lstm")
    weights = {name: weight.detach().numpy() for name, weight in cell.named_parameters()}
    sums = [sum(textbook.summed(inputs.numpy(), state[0].numpy(), weights, number)) for number in range(4)]
    for name, number in (("i", 0), ("f", 1), ("o", 3)):
        expected = textbook.sigmoid(sums[number])
        np.testing.assert_allclose(cell.gates(inputs, state)[name].detach().numpy(), expected, atol=1e-12)
    cell, inputs, state = random_step("minlstm")
    weights = {name: weight.detach().numpy() for name, weight in cell.named_parameters()}
    f, i = (textbook.sigmoid(textbook.of_input(inputs.numpy(), weights, number, 4)) for number in range(2))
    np.testing.assert_allclose(cell.gates(inputs, state)["i"].detach().numpy(), i / (f + i), atol=1e-12)

"""What a layer of each cell stores, without importing torch, for code that reads, moves or trains weights.

A new cell is a row here, a class in `cells`, and optionally a class in `layers_numpy` to run it without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chargen.errors import ChargenError

Shapes = dict[str, tuple[int, ...]]  # of weights by name


def gate_weights(gates: int, inputs: int, hidden: int) -> Shapes:
    """Name and shape of the weights of a cell of torch.nn, its G gates stacked in rows.

    >>> gate_weights(gates=3, inputs=4, hidden=5)["weight_ih_l0"]
    (15, 4)
    """
    rows = gates * hidden
    return {
        "weight_ih_l0": (rows, inputs),
        "weight_hh_l0": (rows, hidden),
        "bias_ih_l0": (rows,),
        "bias_hh_l0": (rows,),
    }


@dataclass(frozen=True)
class CellSpec:
    """What a layer of a cell stores. Shapes: I inputs, H hidden, G gates."""

    gates: tuple[str, ...] = ("h",)  # in the order of their rows in the weights
    state: tuple[str, ...] = ("h",)  # names of the state's tensors, each (B, H); the first is the output
    weights: Callable[[int, int, int], Shapes] = gate_weights  # (G, I, H) -> name and shape of each weight, in order
    matrices: tuple[str, ...] = ("weight_ih_l0", "weight_hh_l0")  # stacks of blocks of H rows; Muon treats each block
    recurrent: str | None = "weight_hh_l0"  # the weight that weight drop applies to; None: it has none

    def weight_shapes(self, inputs: int, hidden: int) -> Shapes:
        """Name and shape of each weight of a layer with I inputs and hidden size H, in order."""
        return self.weights(len(self.gates), inputs, hidden)


SPECS: dict[str, CellSpec] = {
    "lstm": CellSpec(gates=("i", "f", "g", "o"), state=("h", "c")),
    "gru": CellSpec(gates=("r", "z", "n")),
    "rnn": CellSpec(),
    "rnn-relu": CellSpec(),
}


def spec_of(cell: str) -> CellSpec:
    """The spec of a cell by name; ChargenError for an unknown name.

    >>> spec_of("lstm").state
    ('h', 'c')
    """
    if cell not in SPECS:
        raise ChargenError(f"unknown cell {cell!r}: choose one of {', '.join(SPECS)}")
    return SPECS[cell]

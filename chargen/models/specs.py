"""The cells, a row each: what a layer of them stores, without torch, for whoever reads weights or moves them.

A new cell is a row here, a class in `cells`, and, to write and label without torch, one in `layers_numpy`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chargen.errors import ChargenError

Shapes = dict[str, tuple[int, ...]]  # of weights by name


def stacked(gates: int, inputs: int, hidden: int) -> Shapes:
    """The weights of G gates, as torch.nn names them and lays them above each other."""
    rows = gates * hidden
    return {
        "weight_ih_l0": (rows, inputs),
        "weight_hh_l0": (rows, hidden),
        "bias_ih_l0": (rows,),
        "bias_hh_l0": (rows,),
    }


@dataclass(frozen=True)
class CellSpec:
    """What there is to know of a cell's layers. I inputs, H hidden size, G gates."""

    gates: tuple[str, ...] = ("h",)  # in the order in which the weights have them
    state: tuple[str, ...] = ("h",)  # tensors of a state, each (B, H); the first is the output
    weights: Callable[[int, int, int], Shapes] = stacked  # (G, I, H) -> shape of each weight, in order
    matrices: tuple[str, ...] = ("weight_ih_l0", "weight_hh_l0")  # made of blocks of H rows; Muon treats each block
    recurrent: str | None = "weight_hh_l0"  # the weight that weight drop thins out; None: there is no such

    def weight_shapes(self, inputs: int, hidden: int) -> Shapes:
        """Name and shape of each weight of a layer with I inputs and H units, in order."""
        return self.weights(len(self.gates), inputs, hidden)


SPECS: dict[str, CellSpec] = {
    "lstm": CellSpec(gates=("i", "f", "g", "o"), state=("h", "c")),
    "gru": CellSpec(gates=("r", "z", "n")),
    "rnn": CellSpec(),
    "rnn-relu": CellSpec(),
}


def spec_of(cell: str) -> CellSpec:
    """A cell's row; ChargenError for a name that no cell has."""
    if cell not in SPECS:
        raise ChargenError(f"unknown cell {cell!r}: choose one of {', '.join(SPECS)}")
    return SPECS[cell]

"""What a layer of each cell stores, without importing torch, for code that reads, moves or trains weights.

A new cell is a row here, a class in `cells`, and optionally a class in `cells_numpy` to run it without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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


def multiplicative_weights(gates: int, inputs: int, hidden: int) -> Shapes:
    """Name and shape of the weights of a multiplicative LSTM; `m` is the product that stands for its h."""
    return {
        "weight_x": (gates * hidden, inputs),
        "weight_m": (gates * hidden, hidden),
        "weight_mx": (hidden, inputs),
        "weight_mh": (hidden, hidden),
        "bias": (gates * hidden,),
    }


def mogrifier_weights(gates: int, inputs: int, hidden: int, rounds: int = 5, rank: int = 0) -> Shapes:
    """Name and shape of the weights of a Mogrifier LSTM; `q` scale its input, `r` its state, in turns.

    >>> mogrifier_weights(gates=4, inputs=3, hidden=5, rounds=2, rank=1)["weight_q1_left"]
    (3, 1)
    """
    rows = gates * hidden
    shapes: Shapes = {"weight_x": (rows, inputs), "weight_h": (rows, hidden), "bias": (rows,)}
    for number in range(1, rounds + 1):
        name, (out, read) = ("q", (inputs, hidden)) if number % 2 else ("r", (hidden, inputs))
        if not rank:
            shapes[f"weight_{name}{number}"] = (out, read)
        else:
            shapes[f"weight_{name}{number}_left"] = (out, rank)
            shapes[f"weight_{name}{number}_right"] = (rank, read)
    return shapes


def input_weights(gates: int, inputs: int, hidden: int) -> Shapes:
    """Name and shape of the weights of a cell whose gates read the input alone."""
    return {"weight_x": (gates * hidden, inputs), "bias": (gates * hidden,)}


def two_step_weights(gates: int, inputs: int, hidden: int) -> Shapes:
    """Name and shape of the weights of a QRNN, whose gates read this step's input and the one before."""
    shape = (gates * hidden, inputs)
    return {"weight_x": shape, "weight_before": shape, "bias": (gates * hidden,)}


def grid_weights(gates: int, inputs: int, hidden: int) -> Shapes:
    """Name and shape of the weights of a Grid LSTM's layer, which has an LSTM along time and one along depth.

    Where the input is not an h and an m side by side, as the layer below gives them, a layer also has weights that
    make both of it.
    """
    rows = gates * hidden
    first: Shapes = {} if inputs == 2 * hidden else {"weight_in": (2 * hidden, inputs), "bias_in": (2 * hidden,)}
    return first | {
        "weight_time": (rows, 2 * hidden),
        "bias_time": (rows,),
        "weight_depth": (rows, 2 * hidden),
        "bias_depth": (rows,),
    }


@dataclass(frozen=True)
class CellSpec:
    """What a layer of a cell stores. Shapes: I inputs, H hidden, G gates."""

    gates: tuple[str, ...] = ("h",)  # in the order of their rows in the weights
    state: tuple[str, ...] = ("h",)  # names of the state's tensors, the output first
    weights: Callable[..., Shapes] = gate_weights  # (G, I, H, and settings) -> name and shape of each, in order
    matrices: tuple[str, ...] = ("weight_ih_l0", "weight_hh_l0")  # stacks of blocks of H rows; Muon treats each block
    recurrent: str | None = "weight_hh_l0"  # the weight that weight drop applies to; None: it has none
    settings: tuple[str, ...] = ()  # fields of EncoderConfig that the cell and its weights depend on
    outputs: int = 1  # the output has this many times H numbers
    tieable: tuple[str, ...] = ()  # weights of one shape in all layers, which `tied_layers` makes one

    def weight_shapes(self, inputs: int, hidden: int, **settings: Any) -> Shapes:
        """Name and shape of each weight of a layer with I inputs, hidden size H and these settings, in order."""
        return self.weights(len(self.gates), inputs, hidden, **settings)


LSTM_GATES = ("i", "f", "g", "o")
SPECS: dict[str, CellSpec] = {
    "lstm": CellSpec(gates=LSTM_GATES, state=("h", "c")),
    "gru": CellSpec(gates=("r", "z", "n")),
    "rnn": CellSpec(),
    "rnn-relu": CellSpec(),
    "mlstm": CellSpec(
        gates=LSTM_GATES,
        state=("h", "c"),
        weights=multiplicative_weights,
        matrices=("weight_x", "weight_m", "weight_mx", "weight_mh"),
        recurrent="weight_m",
    ),
    "mogrifier": CellSpec(
        gates=LSTM_GATES,
        state=("h", "c"),
        weights=mogrifier_weights,
        matrices=("weight_x", "weight_h"),
        recurrent="weight_h",
        settings=("rounds", "rank"),
    ),
    "mingru": CellSpec(gates=("z", "h"), weights=input_weights, matrices=("weight_x",), recurrent=None),
    "minlstm": CellSpec(gates=("f", "i", "h"), weights=input_weights, matrices=("weight_x",), recurrent=None),
    "qrnn": CellSpec(
        gates=("z", "f", "o"),
        state=("h", "c", "x"),  # x is the input of the step before (B, I)
        weights=two_step_weights,
        matrices=("weight_x", "weight_before"),
        recurrent=None,
    ),
    "grid-lstm": CellSpec(
        gates=LSTM_GATES,
        state=("depth", "h", "m"),  # depth is the output: h and m along depth (B, 2·H)
        weights=grid_weights,
        matrices=("weight_time", "weight_depth"),
        recurrent="weight_time",  # whole, though half of its columns read what comes from below
        outputs=2,
        tieable=("weight_time", "bias_time", "weight_depth", "bias_depth"),
    ),
}


def spec_of(cell: str) -> CellSpec:
    """The spec of a cell by name; ChargenError for an unknown name.

    >>> spec_of("lstm").state
    ('h', 'c')
    """
    if cell not in SPECS:
        raise ChargenError(f"unknown cell {cell!r}: choose one of {', '.join(SPECS)}")
    return SPECS[cell]

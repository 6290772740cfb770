"""The equations that all LSTMs end with, whatever their gates read.

Shapes: B streams, H hidden.
"""

from __future__ import annotations

from torch import Tensor

from chargen.models.cells.cell import Gates


def lstm_activations(products: Tensor) -> Gates:
    """i, f, g and o after activation, each (B, H), from their products side by side (B, 4·H)."""
    i, f, g, o = products.chunk(4, dim=-1)
    return {"i": i.sigmoid(), "f": f.sigmoid(), "g": g.tanh(), "o": o.sigmoid()}


def lstm_equations(products: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The next h and c, from the products of the gates (B, 4·H) and c (B, H)."""
    gates = lstm_activations(products)
    c = gates["f"] * c + gates["i"] * gates["g"]
    return gates["o"] * c.tanh(), c


def without_candidate(gates: Gates) -> Gates:
    """The gates that are between 0 and 1: all but g, the candidate."""
    return {name: gate for name, gate in gates.items() if name != "g"}

"""All cells by name. A new cell is a class in this folder, a row here, and a row in `specs.SPECS`."""

from __future__ import annotations

from chargen.models.cells.cell import Cell
from chargen.models.cells.fused import GRU, LSTM, RNN, ReluRNN

CELLS: dict[str, type[Cell]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN, "rnn-relu": ReluRNN}

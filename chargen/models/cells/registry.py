"""All cells by name. A new cell is a class in this folder, a row here, and a row in `specs.SPECS`."""

from __future__ import annotations

from chargen.models.cells.cell import Cell
from chargen.models.cells.fused import GRU, LSTM, RNN, ReluRNN
from chargen.models.cells.grid import GridLSTM
from chargen.models.cells.mogrifier import Mogrifier
from chargen.models.cells.multiplicative import MultiplicativeLSTM
from chargen.models.cells.parallel import QRNN, MinGRU, MinLSTM

CELLS: dict[str, type[Cell]] = {
    "lstm": LSTM,
    "gru": GRU,
    "rnn": RNN,
    "rnn-relu": ReluRNN,
    "mlstm": MultiplicativeLSTM,
    "mogrifier": Mogrifier,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "qrnn": QRNN,
    "grid-lstm": GridLSTM,
}

"""The Mogrifier LSTM."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import linear

from chargen.models.cells.cell import State
from chargen.models.cells.stepped import SteppedLSTM, Weights, open_forget_gate
from chargen.models.specs import SPECS


class Mogrifier(SteppedLSTM):
    """An LSTM whose input and state first scale each other, in several rounds (Melis et al. 2019, arXiv:1909.01792).

    Rounds count from 1; the odd ones scale the input, the even ones the state:

        x ← 2·sigmoid(Q_i·h)·x    in odd rounds
        h ← 2·sigmoid(R_i·x)·h    in even rounds

    Then gates i f g o = W_x·x + W_h·h + b, and an LSTM's c and h follow. With a rank, each Q_i and R_i is the product
    of two thin matrices. Without rounds this is an LSTM.

    >>> cell = Mogrifier(input_size=3, hidden_size=5, rounds=2, rank=1)
    >>> cell.get_parameter("weight_r2_left").shape, cell.get_parameter("weight_r2_right").shape
    (torch.Size([5, 1]), torch.Size([1, 3]))
    """

    spec = SPECS["mogrifier"]

    def __init__(self, input_size: int, hidden_size: int, rounds: int = 5, rank: int = 0) -> None:
        super().__init__(input_size, hidden_size, rounds=rounds, rank=rank)

    def initialise(self) -> None:
        """Initialise the gates as an LSTM's, and what scales by Glorot."""
        for name, weight in self.named_parameters():
            if name == "weight_h":
                self.initialise_gates(name, orthogonal=True)
            elif name == "weight_x":
                self.initialise_gates(name)
            elif weight.ndim > 1:
                nn.init.xavier_uniform_(weight)
        open_forget_gate(self.get_parameter("bias"), self.hidden_size)

    def gate_products(self, products: Tensor, state: State, weights: Weights) -> Tensor:
        """See the base class."""
        x, h = products, state[0]
        for number in range(1, self.settings["rounds"] + 1):
            if number % 2:
                x = 2 * _through(h, f"weight_q{number}", weights).sigmoid() * x
            else:
                h = 2 * _through(x, f"weight_r{number}", weights).sigmoid() * h
        return linear(x, weights["weight_x"], weights["bias"]) + linear(h, weights["weight_h"])


def _through(values: Tensor, name: str, weights: Weights) -> Tensor:
    """The product of values (B, ·) with a matrix, which is stored whole or as two thin ones."""
    if name in weights:
        return linear(values, weights[name])
    return linear(linear(values, weights[f"{name}_right"]), weights[f"{name}_left"])

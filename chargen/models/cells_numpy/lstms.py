"""Descendants of the LSTM in NumPy: multiplicative, Mogrifier and Grid LSTM; `cells` has their readable twins."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chargen.models.cells_numpy.fused import LSTMLayer, activate_lstm
from chargen.models.cells_numpy.layer import Array, Layer, State, matmul_transposed, reordered


def _gates(rows: Array) -> Array:
    """Rows (4·H, ·) of the gates i f g o, in the order and with the factors of `activate_lstm`."""
    return reordered(rows, LSTMLayer.gate_order, LSTMLayer.num_sigmoids)


class MultiplicativeLSTMLayer(Layer):
    """A multiplicative LSTM."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """See `Layer`."""
        super().__init__(weights)
        self.weight_m, self.weight_mh = _gates(weights["weight_m"]), weights["weight_mh"]
        self.weight_x = np.concatenate([_gates(weights["weight_x"]), weights["weight_mx"]])  # (5·H, I)
        self.bias = _gates(weights["bias"])
        self.hidden_size = len(self.weight_mh)
        self.x_size = self.scratch_size = 5 * self.hidden_size

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams."""
        return _zero_lstm(batch, self.hidden_size)

    def x_gates(self, x: Array) -> Array:
        """Products of the gates with the input and, after them, of m with it (…, 5·H)."""
        products: Array = x @ self.weight_x.T
        products[..., : len(self.bias)] += self.bias
        return products

    def advance(self, x_gates: Array, state: State, new: State, gates: Array) -> None:
        """See `Layer.advance`."""
        split = len(self.bias)
        # Two contiguous parts of the scratch memory: gates (B, 4·H) and m (B, H).
        flat = gates.reshape(-1)
        lstm_gates = flat[: len(gates) * split].reshape(len(gates), split)
        m = flat[len(gates) * split :].reshape(len(gates), self.hidden_size)
        matmul_transposed(state[0], self.weight_mh, m)
        m *= x_gates[:, split:]
        matmul_transposed(m, self.weight_m, lstm_gates)
        lstm_gates += x_gates[:, :split]
        activate_lstm(lstm_gates, state[1], *new)


class MogrifierLayer(Layer):
    """A Mogrifier LSTM. Its input is scaled by the state, so there are no products of the input alone."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """See `Layer`."""
        super().__init__(weights)
        self.weight = np.concatenate([_gates(weights["weight_x"]), _gates(weights["weight_h"])], axis=1)
        self.bias = _gates(weights["bias"])
        self.hidden_size = weights["weight_h"].shape[1]
        self.x_size, self.scratch_size = weights["weight_x"].shape[1], len(self.bias)
        self.rounds: list[list[Array]] = []  # the matrices of each round, to multiply with one after the other
        while matrices := _round(len(self.rounds) + 1, weights):
            self.rounds.append(matrices)

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams."""
        return _zero_lstm(batch, self.hidden_size)

    def x_gates(self, x: Array) -> Array:
        """The inputs as they are (…, I)."""
        return x

    def advance(self, x_gates: Array, state: State, new: State, gates: Array) -> None:
        """See `Layer.advance`."""
        x, h = x_gates, state[0]
        for number, matrices in enumerate(self.rounds, start=1):
            scale = h if number % 2 else x
            for matrix in matrices:
                product = np.empty((len(scale), len(matrix)), np.float32)
                matmul_transposed(scale, matrix, product)
                scale = product
            np.tanh(scale, out=scale)
            scale += 1  # 2·sigmoid of what has not been halved
            if number % 2:
                x = np.multiply(scale, x, out=scale)
            else:
                h = np.multiply(scale, h, out=scale)
        matmul_transposed(np.concatenate([x, h], axis=1), self.weight, gates)
        gates += self.bias
        activate_lstm(gates, state[1], *new)


def _round(number: int, weights: Mapping[str, Array]) -> list[Array]:
    """The matrices of a Mogrifier's round, the last one halved; none if it has no such round."""
    name = f"weight_{'q' if number % 2 else 'r'}{number}"
    names = [name] if name in weights else [f"{name}_right", f"{name}_left"]
    matrices = [weights[name] for name in names if name in weights]
    return [*matrices[:-1], *(matrix * np.float32(0.5) for matrix in matrices[-1:])]


class GridLSTMLayer(Layer):
    """A layer of a Grid LSTM."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        """See `Layer`."""
        super().__init__(weights)
        self.weight = np.concatenate([_gates(weights["weight_time"]), _gates(weights["weight_depth"])])  # (8·H, 2·H)
        self.bias = np.concatenate([_gates(weights["bias_time"]), _gates(weights["bias_depth"])])
        self.weight_in, self.bias_in = weights.get("weight_in"), weights.get("bias_in")
        self.hidden_size = self.weight.shape[1] // 2
        self.x_size, self.scratch_size = 2 * self.hidden_size, len(self.bias)

    def initial_state(self, batch: int) -> State:
        """The zero state of `batch` streams: the output, and the h and m of time."""
        return np.zeros((batch, self.x_size), dtype=np.float32), *_zero_lstm(batch, self.hidden_size)

    def x_gates(self, x: Array) -> Array:
        """The h and m of depth side by side (…, 2·H)."""
        if self.weight_in is None or self.bias_in is None:
            return x
        products: Array = x @ self.weight_in.T
        products += self.bias_in
        return products

    def advance(self, x_gates: Array, state: State, new: State, gates: Array) -> None:
        """See `Layer.advance`."""
        size = self.hidden_size
        matmul_transposed(np.concatenate([state[1], x_gates[:, :size]], axis=1), self.weight, gates)
        gates += self.bias
        activate_lstm(gates[:, : 4 * size], state[2], new[1], new[2])
        activate_lstm(gates[:, 4 * size :], x_gates[:, size:], new[0][:, :size], new[0][:, size:])


def _zero_lstm(batch: int, hidden: int) -> State:
    """Zero h and c, each (B, H)."""
    return np.zeros((batch, hidden), dtype=np.float32), np.zeros((batch, hidden), dtype=np.float32)

"""Each cell's equations spelled out in NumPy, gate by gate, in the symbols of the papers.

Every function takes x (B, I), the parts of the state, and a layer's weights by name; it gives the next state, the
output first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Parts = list[np.ndarray]
Weights = dict[str, np.ndarray]


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def gate(weights: Weights, name: str, number: int, size: int) -> np.ndarray:
    """The rows of one gate."""
    return weights[name][number * size : (number + 1) * size]


def summed(x: np.ndarray, h: np.ndarray, weights: Weights, number: int) -> tuple[np.ndarray, np.ndarray]:
    """What input and state give a gate of torch.nn."""
    sides = []
    for side, values in (("ih", x), ("hh", h)):
        product = values @ gate(weights, f"weight_{side}_l0", number, h.shape[1]).T
        sides.append(product + gate(weights, f"bias_{side}_l0", number, h.shape[1]))
    return sides[0], sides[1]


def lstm(x: np.ndarray, state: Parts, weights: Weights) -> Parts:
    i, f, g, o = (sum(summed(x, state[0], weights, number)) for number in range(4))
    c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def gru(x: np.ndarray, state: Parts, weights: Weights) -> Parts:
    (h,) = state
    r, z = (sigmoid(sum(summed(x, h, weights, number))) for number in range(2))
    n_x, n_h = summed(x, h, weights, 2)
    return [(1 - z) * np.tanh(n_x + r * n_h) + z * h]


def rnn(x: np.ndarray, state: Parts, weights: Weights) -> Parts:
    return [np.tanh(sum(summed(x, state[0], weights, 0)))]


def rnn_relu(x: np.ndarray, state: Parts, weights: Weights) -> Parts:
    return [np.maximum(sum(summed(x, state[0], weights, 0)), 0)]


def lstm_of(x: np.ndarray, h: np.ndarray, c: np.ndarray, w_x: np.ndarray, w_h: np.ndarray, bias: np.ndarray) -> Parts:
    """An LSTM with its weights given one by one."""
    size = c.shape[1]
    i, f, g, o = (
        x @ w_x[rows].T + h @ w_h[rows].T + bias[rows]
        for rows in (slice(number * size, (number + 1) * size) for number in range(4))
    )
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def mlstm(x: np.ndarray, state: Parts, weights: Weights) -> Parts:
    h, c = state
    m = (x @ weights["weight_mx"].T) * (h @ weights["weight_mh"].T)
    return lstm_of(x, m, c, weights["weight_x"], weights["weight_m"], weights["bias"])


def mogrifier(x: np.ndarray, state: Parts, weights: Weights) -> Parts:
    h, c = state

    def matrix(name: str) -> np.ndarray:
        if name in weights:
            return weights[name]
        whole: np.ndarray = weights[f"{name}_left"] @ weights[f"{name}_right"]
        return whole

    rounds = sum(
        name in weights or f"{name}_left" in weights for name in (f"weight_{r}{n}" for r in "qr" for n in range(9))
    )
    for number in range(1, rounds + 1):
        if number % 2:
            x = 2 * sigmoid(h @ matrix(f"weight_q{number}").T) * x
        else:
            h = 2 * sigmoid(x @ matrix(f"weight_r{number}").T) * h
    return lstm_of(x, h, c, weights["weight_x"], weights["weight_h"], weights["bias"])


def positive(x: np.ndarray) -> Any:
    return np.where(x >= 0, x + 0.5, sigmoid(x))


def of_input(x: np.ndarray, weights: Weights, number: int, size: int) -> Any:
    return x @ gate(weights, "weight_x", number, size).T + gate(weights, "bias", number, size)


def mingru(x: np.ndarray, state: Parts, weights: Weights) -> Parts:
    (h,) = state
    z, candidate = (of_input(x, weights, number, h.shape[1]) for number in range(2))
    return [(1 - sigmoid(z)) * h + sigmoid(z) * positive(candidate)]


def minlstm(x: np.ndarray, state: Parts, weights: Weights) -> Parts:
    (h,) = state
    f, i, candidate = (of_input(x, weights, number, h.shape[1]) for number in range(3))
    total = sigmoid(f) + sigmoid(i)
    return [sigmoid(f) / total * h + sigmoid(i) / total * positive(candidate)]


def qrnn(x: np.ndarray, state: Parts, weights: Weights) -> Parts:
    _, c, before = state
    z, f, o = (
        of_input(x, weights, number, c.shape[1]) + before @ gate(weights, "weight_before", number, c.shape[1]).T
        for number in range(3)
    )
    c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(z)
    return [sigmoid(o) * c, c, x]


def grid_lstm(x: np.ndarray, state: Parts, weights: Weights) -> Parts:
    _, h, m = state
    size = h.shape[1]
    if "weight_in" in weights:
        x = x @ weights["weight_in"].T + weights["bias_in"]
    h_depth, m_depth = x[:, :size], x[:, size:]

    def along(dimension: str, m: np.ndarray) -> Parts:
        weight = weights[f"weight_{dimension}"]
        return lstm_of(h, h_depth, m, weight[:, :size], weight[:, size:], weights[f"bias_{dimension}"])

    return [np.concatenate(along("depth", m_depth), axis=1), *along("time", m)]


STEPS = {
    "lstm": lstm,
    "gru": gru,
    "rnn": rnn,
    "rnn-relu": rnn_relu,
    "mlstm": mlstm,
    "mogrifier": mogrifier,
    "mingru": mingru,
    "minlstm": minlstm,
    "qrnn": qrnn,
    "grid-lstm": grid_lstm,
}


def run_layer(cell: str, x: np.ndarray, state: Parts, weights: Weights) -> tuple[np.ndarray, Parts]:
    """Outputs (T, B, ·) and the last state of a layer that reads x (T, B, I)."""
    outputs = []
    for row in x:
        state = STEPS[cell](row, state, weights)
        outputs.append(state[0])
    return np.stack(outputs), state

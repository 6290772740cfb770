"""How often gates are shut or open, and how long units remember (Karpathy et al. 2015, arXiv:1506.02078, figure 3).

Shapes: T steps of a text, N of all texts, H hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from chargen.inspection.passage import Passage
from chargen.models.cells.cell import Cell, Gates, reset
from chargen.models.encoder import Encoder

LEFT, RIGHT = 0.1, 0.9  # a gate below or above is saturated
MOST_TOKENS = 10_000
MOST_NUMBERS = 1 << 23  # tokens times hidden size, which bounds the memory

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Gate:
    """One gate of a layer; its name is that of the cell's equations."""

    name: str
    left: Array  # share of time that each unit's gate is below LEFT (H,)
    right: Array  # share of time above RIGHT (H,)


@dataclass(frozen=True, eq=False)
class LayerGates:
    """The gates of a layer; none in a simple network."""

    layer: int  # backward layers count on after the forward ones
    gates: tuple[Gate, ...]
    memory: Array | None  # steps until 1/e is left of what each unit held (H,); None: no gate tells


def most_tokens(hidden_size: int) -> int:
    """How many tokens gates are measured on, at most."""
    return min(MOST_TOKENS, MOST_NUMBERS // hidden_size)


@torch.inference_mode()
def measure_gates(encoder: Encoder, passage: Passage) -> list[LayerGates]:
    """Run the texts step by step, up to `most_tokens` in all, and measure every gate."""
    rest = most_tokens(encoder.config.hidden_size)
    seen: list[list[Gates]] = []  # of each text, of each layer
    for text in passage.texts:
        if rest > 0:
            gates = gates_along(encoder, torch.from_numpy(text[: passage.lead + rest]))
            seen.append([{name: gate[passage.lead :] for name, gate in layer.items()} for layer in gates])
            rest -= len(text) - passage.lead
    cells = (*encoder.stack.layers, *encoder.stack.backward_layers)
    return [_measured(number, cell, [text[number] for text in seen]) for number, cell in enumerate(cells)]


def gates_along(encoder: Encoder, ids: Tensor) -> list[Gates]:
    """The gates of each layer, each (T, H), while it reads ids (T,) from the zero state; backward layers last."""
    stack, outputs = encoder.stack, encoder.embedding(ids)  # (T, E)
    resets = encoder.resets(ids)
    forwards, backwards = [], []
    for number in range(len(stack.layers)):
        inputs = stack.connections.normed(number, outputs)
        found, gates = _along(stack.layers[number], inputs, resets)
        forwards.append(gates)
        if stack.backward_layers:
            reverse, gates = _along(stack.backward_layers[number], inputs.flip(0), None)
            found = torch.cat([found, reverse.flip(0)], dim=-1)
            backwards.append(gates)
        outputs = stack.connections.connect(number, outputs, found)
    return forwards + backwards


def _along(layer: Cell, inputs: Tensor, resets: Tensor | None) -> tuple[Tensor, Gates]:
    """Outputs (T, ·) and gates (T, H) of a layer that reads inputs (T, I)."""
    state, before, outputs = layer.initial_state(1), [], []
    for step in range(len(inputs)):
        state = state if resets is None else reset(state, resets[step : step + 1])
        before.append(state)
        output, state = layer.step(inputs[step : step + 1], state)
        outputs.append(output)
    return torch.cat(outputs), layer.gates(inputs, tuple(map(torch.cat, zip(*before, strict=True))))


def _measured(number: int, cell: Cell, texts: list[Gates]) -> LayerGates:
    joined = {name: torch.cat([text[name] for text in texts]).double() for name in texts[0]}  # each (N, H)
    gates = [Gate(name, _share(gate < LEFT), _share(gate > RIGHT)) for name, gate in joined.items()]
    kept = cell.kept(joined)
    return LayerGates(number, tuple(gates), None if kept is None else time_constant(kept.mean(0).numpy()))


def _share(is_so: Tensor) -> Array:
    share: Array = is_so.double().mean(0).numpy()
    return share


def time_constant(kept: Array) -> Array:
    """Steps after which 1/e is left of what is kept by this share each step.

    >>> time_constant(np.array([0.5, 0.99])).round(2).tolist()
    [1.44, 99.5]
    """
    constants: Array = -1 / np.log(np.clip(kept, 1e-12, 1 - 1e-12))
    return constants

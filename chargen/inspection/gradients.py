"""How far gradients reach back in time, and which earlier tokens a prediction depends on.

In double precision, since gradients that vanish are what is measured.

Shapes: B positions in the text that are measured at once, K steps back, L layers, E embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from chargen.inspection.passage import Passage
from chargen.models.language_model import LanguageModel
from chargen.models.stack import StackState

STEPS = 200
POSITIONS = 100
QUARTILES = (0.25, 0.5, 0.75)
MOST_NUMBERS = 1 << 21  # of states in a batch, times about 16 in its graph

Array = npt.NDArray[np.float64]
Progress = Callable[[float], object]


@dataclass(frozen=True, eq=False)
class Gradients:
    """Norms of the gradient of a loss with respect to earlier states, and what the predictions depend on."""

    positions: npt.NDArray[np.int64]  # of the predicted tokens, among all N of the passage (B,)
    norms: Array  # with respect to the state 1, 2, … K steps before the prediction's own (B, K)
    influence: Array  # gradient times embedding of the token read last, of the one before it, … (B, K)

    @property
    def quartiles(self) -> Array:
        """Lower quartile, median and upper quartile over the positions, at each distance (3, K)."""
        quartiles: Array = np.quantile(self.norms, QUARTILES, axis=0)
        return quartiles


def measure_gradients(
    model: LanguageModel,
    passage: Passage,
    steps: int = STEPS,
    most: int = POSITIONS,
    progress: Progress | None = None,
) -> Gradients | None:
    """Differentiate the losses at positions spread over the passage.

    The state of all layers is taken as one vector. The influence is of the log-probability of the token that came,
    summed over the embedding: above 0 if the token made it likelier (gradient × input).

    Args:
        model: Copied to double precision.
        passage: Its texts of more than `steps` + 1 tokens are used.
        steps: K.
        most: B, positions in all.
        progress: Called with the fraction done, 0 to 1.

    Returns:
        None if no text is long enough.
    """
    model = deepcopy(model).double()
    candidates = [
        (number, position) for number, text in enumerate(passage.texts) for position in range(steps + 1, len(text))
    ]
    if not candidates:
        return None
    chosen = [candidates[i] for i in np.linspace(0, len(candidates) - 1, min(most, len(candidates))).astype(int)]
    size = max(1, MOST_NUMBERS // (steps * sum(part.shape[1] for part in _flat(model.encoder.initial_state(1)))))
    found = []
    for ids, state in _batches(model, passage, chosen, steps, size):
        found.append(differentiate(model, ids, state))
        if progress:
            progress(min(1.0, len(found) * size / len(chosen)))
    starts = passage.starts
    numbers = np.array([starts[text] + position - passage.lead for text, position in chosen])
    return Gradients(numbers, *(np.concatenate(parts) for parts in zip(*found, strict=True)))


def differentiate(model: LanguageModel, ids: Tensor, state: StackState) -> tuple[Array, Array]:
    """Norms (B, K) and influence (B, K) of the last of ids (K + 2, B), given the state before the first.

    The states that are differentiated are those after ids 0 to K - 1, and the loss is that of the last id, predicted
    from the state after id K.
    """
    encoder = model.encoder
    embedded = [encoder.embedding(one).detach().requires_grad_() for one in ids[:-1]]  # K + 1, each (B, E)
    states: list[StackState] = []
    for number, inputs in enumerate(embedded):
        if number:
            # A copy stands between two steps, so that only what goes on in time is differentiated, not what the
            # layers above read of the same step.
            state = tuple(tuple(part.clone() for part in layer) for layer in state)
            states.append(state)
        outputs, state = encoder.stack.step(inputs, state, encoder.resets(ids[number]))
    loss = cross_entropy(model.projection(outputs), ids[-1], reduction="sum")
    parts = [list(_flat(one)) for one in states]
    wanted = [part for own in parts for part in own] + embedded
    gradients = list(torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True))
    norms = []
    for own in parts:
        taken = [gradients.pop(0) for _ in own]
        norms.append(torch.cat(taken, dim=1).norm(dim=1))
    pairs = zip(gradients[1:], embedded[1:], strict=True)
    influence = [-(gradient * inputs.detach()).sum(1) for gradient, inputs in pairs]
    return _backwards(norms), _backwards(influence)


def _backwards(rows: list[Tensor]) -> Array:
    """Rows (B,) of each step as (B, K), the latest step first."""
    result: Array = torch.stack(rows[::-1], dim=1).detach().numpy()
    return result


def _flat(state: StackState) -> Iterator[Tensor]:
    return (part for layer in state for part in layer)


def _batches(
    model: LanguageModel, passage: Passage, chosen: list[tuple[int, int]], steps: int, size: int
) -> Iterator[tuple[Tensor, StackState]]:
    """The ids (K + 2, B) that end at each chosen position, and the state before them; B is at most `size`."""
    windows: list[Tensor] = []
    befores: list[StackState] = []
    current, read, state = -1, 0, model.encoder.initial_state(1)
    for text, position in chosen:
        first = position - steps - 1
        if text != current:
            current, read, state = text, 0, model.encoder.initial_state(1)
        ids = torch.from_numpy(passage.texts[text])
        if first > read:
            with torch.no_grad():
                _, state = model.encoder(ids[read:first, None], state)
            read = first
        windows.append(ids[first : position + 1])
        befores.append(state)
        if len(windows) == size:
            yield _joined(windows, befores)
            windows, befores = [], []
    if windows:
        yield _joined(windows, befores)


def _joined(windows: list[Tensor], befores: list[StackState]) -> tuple[Tensor, StackState]:
    layers = zip(*befores, strict=True)
    state = tuple(tuple(map(torch.cat, zip(*layer, strict=True))) for layer in layers)
    return torch.stack(windows, dim=1), state

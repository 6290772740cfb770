"""A language model in torch, one symbol at a time: for GPUs, and for large batches on a CPU.

On a GPU the step is captured once for each batch size as a CUDA graph, so that a step costs one launch, not dozens.
`NumpyEngine` is the twin for few streams on a CPU; both have the same methods, and tests hold them together.

B streams, T steps, V vocabulary. State is a tuple of a tuple of (B, H) tensors a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from chargen.models.config import LanguageModelConfig
from chargen.models.encoder import StackState
from chargen.models.language_model import LanguageModel

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.integer[Any]]

CHUNK_ROWS = 1 << 14  # T x B that are read at once, so that a long prompt needs no more memory than a short one
WARM_UP = 3  # steps before a capture, as torch asks for


class TorchEngine:
    """A language model that reads and continues B streams of ids, and remembers nothing between calls."""

    def __init__(self, config: LanguageModelConfig, weights: Mapping[str, np.ndarray], device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.model = LanguageModel(config)
        tensors = {name: torch.from_numpy(weight) for name, weight in weights.items()}
        self.model.load_state_dict(tensors, strict=not config.tied)  # what is tied is stored once
        self.model.to(self.device).eval().requires_grad_(False)
        self._graphs: dict[int, _Graph] = {}

    def start(self, batch: int) -> StackState:
        """The state of streams that have read nothing."""
        return self.model.encoder.start(batch)

    def select(self, state: StackState, streams: Ids) -> StackState:
        """The state of some streams, in any order and number."""
        places = torch.from_numpy(np.asarray(streams, np.int64)).to(self.device)
        return tuple(tuple(part[places] for part in layer) for layer in state)

    def step(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (B,); gives logits (B, V) for what follows, and the new state."""
        tokens = torch.from_numpy(np.asarray(ids, np.int64)).to(self.device)
        if self.device.type == "cuda":
            if len(ids) not in self._graphs:
                self._graphs[len(ids)] = _Graph(self.model, len(ids))
            logits, new = self._graphs[len(ids)](tokens, state)
        else:
            with torch.inference_mode():
                logits, new = self.model.step(tokens, state)
        return logits.cpu().numpy(), new

    def read(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (T, B), T at least 1; gives logits (B, V) for what follows, and the new state."""
        steps = max(1, CHUNK_ROWS // ids.shape[1])
        with torch.inference_mode():
            for start in range(0, len(ids), steps):
                part = torch.from_numpy(np.asarray(ids[start : start + steps], np.int64)).to(self.device)
                outputs, state = self.model.encoder(part, state)
            logits = self.model.projection(outputs[-1])
        return logits.cpu().numpy(), state

    def read_all(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (T, B); gives logits (T, B, V) after each of them, and the new state."""
        with torch.inference_mode():
            logits, new = self.model(torch.from_numpy(np.asarray(ids, np.int64)).to(self.device), state)
        return logits.cpu().numpy(), new


class _Graph:
    """A step of B streams, captured: inputs are copied into place, and the graph runs as a whole."""

    def __init__(self, model: LanguageModel, batch: int) -> None:
        self.ids = torch.zeros(batch, dtype=torch.long, device=model.projection.bias.device)
        self.state = model.encoder.start(batch)
        self.state = tuple(tuple(part.clone() for part in layer) for layer in self.state)  # a place of its own each
        stream = torch.cuda.Stream()
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                model.step(self.ids, self.state)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(self.graph):
            self.logits, self.after = model.step(self.ids, self.state)

    def __call__(self, ids: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        with torch.inference_mode():
            self.ids.copy_(ids)
            for own, given in zip(self.state, state, strict=True):
                for place, part in zip(own, given, strict=True):
                    place.copy_(part)
            self.graph.replay()
            return self.logits.clone(), tuple(tuple(part.clone() for part in layer) for layer in self.after)

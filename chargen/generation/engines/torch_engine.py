"""A language model in torch, one symbol at a time: for GPUs, and for large batches on a CPU.

On a GPU it draws as well: a draw and the step after it are captured as one CUDA graph, which costs one launch instead
of dozens, and the host waits once for many symbols. `NumpyEngine` is the twin for few streams on a CPU; tests hold
the two together.

B streams, T steps, V vocabulary. State is a tuple of a tuple of (B, H) tensors a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from chargen.generation.engines.kernel_threads import KernelThreads
from chargen.generation.engines.torch_samplers import draw, probabilities
from chargen.generation.samplers import Sampling
from chargen.models.config import LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.models.stack import StackState
from chargen.models.weights import load_weights

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.integer[Any]]

CHUNK_ROWS = 1 << 14  # T x B that are read at once, so that a long prompt needs no more memory than a short one
WARM_UP = 3  # steps before a capture, as torch asks for


class _TorchThreads:
    """Torch's own threads on a CPU."""

    @property
    def num_threads(self) -> int:
        return torch.get_num_threads()

    def set_num_threads(self, num_threads: int) -> None:
        torch.set_num_threads(num_threads)


class TorchEngine:
    """A language model that reads and continues B streams of ids, and remembers nothing between calls."""

    def __init__(
        self,
        config: LanguageModelConfig,
        weights: Mapping[str, np.ndarray],
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        """`precision`: fp32 or bf16, of weights and state; bf16 is faster, and not quite `NumpyEngine`'s twin."""
        self.device = torch.device(device)
        self.model = load_weights(LanguageModel(config), weights)
        self.model.to(self.device, torch.bfloat16 if precision == "bf16" else torch.float32)
        self.model.eval().requires_grad_(False)
        self.output_size = config.encoder.output_size
        self.draws = self.device.type == "cuda"
        self._turn: _Turn | None = None  # the last one, with its graph
        self.stepping = KernelThreads(lambda: [_TorchThreads()] if self.device.type == "cpu" else [])

    def start(self, batch: int) -> StackState:
        """The state of streams that have read nothing."""
        return self.model.encoder.initial_state(batch)

    def select(self, state: StackState, streams: Ids) -> StackState:
        """The state of some streams, in any order and number."""
        places = torch.from_numpy(np.asarray(streams, np.int64)).to(self.device)
        return tuple(tuple(part[places] for part in layer) for layer in state)

    def step(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (B,); gives logits (B, V) for what follows, and the new state."""
        with torch.inference_mode(), self.stepping.of(len(ids)):
            logits, new = self.model.step(torch.from_numpy(np.asarray(ids, np.int64)).to(self.device), state)
        return logits.float().cpu().numpy(), new

    def write(
        self, logits: Array, state: StackState, sampling: Sampling, bias: Array, uniform: Array
    ) -> tuple[Ids, Array, Array, StackState]:
        """Ids (K, B) drawn by uniform (K, B), the logits (K, B, V) they were drawn by, then logits (B, V), state."""
        with torch.inference_mode():
            numbers = torch.from_numpy(uniform).to(self.device)  # (K, B)
            if self._turn is None or not self._turn.is_for(len(logits), sampling, bias):
                self._turn = _Turn(self.model, len(logits), sampling, bias)
            turn = self._turn
            turn.begin(torch.from_numpy(logits).to(self.device), state)
            ids = torch.empty(uniform.shape, dtype=torch.long, device=self.device)
            given = torch.empty(*uniform.shape, logits.shape[1], device=self.device)
            for k in range(len(numbers)):
                given[k] = turn.logits
                turn.uniform.copy_(numbers[k])
                turn.advance()
                ids[k] = turn.ids
            after = tuple(tuple(part.clone() for part in layer) for layer in turn.state)
            return ids.cpu().numpy(), given.cpu().numpy(), turn.logits.cpu().numpy().copy(), after

    def read(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (T, B), T at least 1; gives logits (B, V) for what follows, and the new state."""
        steps = max(1, CHUNK_ROWS // ids.shape[1])
        with torch.inference_mode():
            for start in range(0, len(ids), steps):
                part = torch.from_numpy(np.asarray(ids[start : start + steps], np.int64)).to(self.device)
                outputs, state = self.model.encoder(part, state)
            logits = self.model.projection(outputs[-1])
        return logits.float().cpu().numpy(), state

    def read_all(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (T, B); gives logits (T, B, V) after each of them, and the new state."""
        with torch.inference_mode():
            logits, new = self.model(torch.from_numpy(np.asarray(ids, np.int64)).to(self.device), state)
        return logits.float().cpu().numpy(), new

    def mean_outputs(self, ids: Sequence[Ids], state: StackState) -> Array:
        """The mean (B, H) of the last layer's outputs over each text's ids (N,), of any lengths; zeros for none."""
        means = np.zeros((len(ids), self.output_size), np.float32)
        with torch.inference_mode():
            for stream, text in enumerate(ids):
                own = self.select(state, np.array([stream]))
                total = torch.zeros(self.output_size, dtype=torch.float64, device=self.device)
                for start in range(0, len(text), CHUNK_ROWS):
                    part = torch.from_numpy(np.asarray(text[start : start + CHUNK_ROWS], np.int64)).to(self.device)
                    outputs, own = self.model.encoder(part[:, None], own)
                    total += outputs[:, 0].sum(0, dtype=torch.float64)
                means[stream] = (total / max(1, len(text))).cpu().numpy()
        return means


class _Turn:
    """A draw and the step after it, in place: tensors stay where they are, as a CUDA graph needs them to."""

    def __init__(self, model: LanguageModel, batch: int, sampling: Sampling, bias: Array) -> None:
        device = model.projection.bias.device
        self.model, self.sampling, self.bias = model, sampling, np.array(bias, np.float64)
        self.device_bias = torch.from_numpy(self.bias).to(device)
        self.logits = torch.zeros(batch, len(bias), device=device)
        self.state = tuple(tuple(part.clone() for part in layer) for layer in model.encoder.initial_state(batch))
        self.uniform = torch.zeros(batch, dtype=torch.float64, device=device)
        self.ids = torch.zeros(batch, dtype=torch.long, device=device)
        self.advance = self._captured() if device.type == "cuda" else self._advance

    def is_for(self, batch: int, sampling: Sampling, bias: Array) -> bool:
        """Whether it serves so many streams with these settings."""
        return len(self.ids) == batch and self.sampling == sampling and np.array_equal(self.bias, bias)

    def begin(self, logits: Tensor, state: StackState) -> None:
        """Take up logits (B, V) and a state."""
        self.logits.copy_(logits)
        self._take(state)

    def _advance(self) -> None:
        """Draw ids by the logits and the uniform numbers, and read them."""
        self.ids.copy_(draw(probabilities(self.logits, self.sampling, self.device_bias), self.uniform))
        logits, state = self.model.step(self.ids, self.state)
        self.logits.copy_(logits)
        self._take(state)

    def _take(self, state: StackState) -> None:
        for own, given in zip(self.state, state, strict=True):
            for place, part in zip(own, given, strict=True):
                place.copy_(part)

    def _captured(self) -> Callable[[], None]:
        """`_advance` as a CUDA graph."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._advance()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._advance()
        replay: Callable[[], None] = graph.replay
        return replay

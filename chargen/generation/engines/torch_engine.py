"""A language model in torch, for GPUs and for large batches on a CPU.

On a GPU it also draws the tokens. A draw and the step after it form one CUDA graph, which needs one launch instead of
dozens, and the host waits only once for many tokens. `NumpyEngine` is the twin, which is faster for few streams on a
CPU; tests check that both agree.

Shapes: B streams, T steps, V vocabulary, H hidden. A state is a tuple of the layers' states, each a tuple of tensors
(B, ·).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from chargen.generation.engines.kernel_threads import KernelThreads
from chargen.generation.engines.torch_samplers import draw, token_probs
from chargen.generation.samplers import Sampling
from chargen.models.cells.clamped import Clamped
from chargen.models.config import LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.models.stack import StackState
from chargen.models.units import Clamps, clamps_by_layer
from chargen.models.weights import load_weights

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.integer[Any]]

CHUNK_ROWS = 1 << 14  # T·B to read at once, so that a long prompt needs no more memory than a short one
WARM_UP = 3  # steps before the graph is captured, as torch's documentation asks for


class _TorchThreads:
    """Torch's threads on a CPU, as a `kernel_threads.Library`."""

    @property
    def num_threads(self) -> int:
        return torch.get_num_threads()

    def set_num_threads(self, num_threads: int) -> None:
        torch.set_num_threads(num_threads)


class TorchEngine:
    """A language model that runs in torch. It keeps no state between calls."""

    def __init__(
        self,
        config: LanguageModelConfig,
        weights: Mapping[str, np.ndarray],
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        """Set up an engine.

        Args:
            config: Sizes and parts of the model.
            weights: By name, with the shapes of `config.weight_shapes`.
            device: cpu, cuda, …
            precision: Of weights and state, fp32 or bf16; bf16 is faster, but its logits are less exact.
        """
        self.device = torch.device(device)
        self.model = load_weights(LanguageModel(config), weights)
        self.model.to(self.device, torch.bfloat16 if precision == "bf16" else torch.float32)
        self.model.eval().requires_grad_(False)
        self.output_size = config.encoder.output_size
        self.draws = self.device.type == "cuda"
        self._draw_step: _DrawStep | None = None  # the last one, kept for its graph
        self.stepping = KernelThreads(lambda: [_TorchThreads()] if self.device.type == "cpu" else [])

    def start(self, batch: int) -> StackState:
        """The state of B streams before anything is read."""
        return self.model.encoder.initial_state(batch)

    def select(self, state: StackState, streams: Ids) -> StackState:
        """The state of some streams, by their indices, which may repeat and be in any order."""
        indices = torch.from_numpy(np.asarray(streams, np.int64)).to(self.device)
        return tuple(tuple(part[indices] for part in layer) for layer in state)

    def clamped(self, clamps: Clamps) -> TorchEngine:
        """An engine of the same weights that holds some units; see `Engine.clamped`."""
        held = copy(self)
        held.model = deepcopy(self.model, {id(weight): weight for weight in self.model.parameters()})
        held._draw_step = None
        layers = held.model.encoder.layers
        for number, values in clamps_by_layer(clamps, self.model.config.encoder).items():
            layers[number] = Clamped(held.model.encoder.stack.layers[number], values)
        return held

    def step(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (B,); returns logits (B, V) for the next token, and the new state."""
        with torch.inference_mode(), self.stepping.for_work(len(ids)):
            logits, new = self.model.step(torch.from_numpy(np.asarray(ids, np.int64)).to(self.device), state)
        return logits.float().cpu().numpy(), new

    def write(
        self, logits: Array, state: StackState, sampling: Sampling, bias: Array, uniform: Array
    ) -> tuple[Ids, Array, Array, StackState]:
        """Draw K tokens per stream; see `DrawingEngine.write`."""
        with torch.inference_mode():
            numbers = torch.from_numpy(uniform).to(self.device)  # (K, B)
            if self._draw_step is None or not self._draw_step.is_for(len(logits), sampling, bias):
                self._draw_step = _DrawStep(self.model, len(logits), sampling, bias)
            step = self._draw_step
            step.begin(torch.from_numpy(logits).to(self.device), state)
            ids = torch.empty(uniform.shape, dtype=torch.long, device=self.device)
            drawn_from = torch.empty(*uniform.shape, logits.shape[1], device=self.device)
            for k in range(len(numbers)):
                drawn_from[k] = step.logits
                step.uniform.copy_(numbers[k])
                step.advance()
                ids[k] = step.ids
            after = tuple(tuple(part.clone() for part in layer) for layer in step.state)
            return ids.cpu().numpy(), drawn_from.cpu().numpy(), step.logits.cpu().numpy().copy(), after

    def read(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (T, B), T at least 1; returns logits (B, V) for the next token, and the new state."""
        steps = max(1, CHUNK_ROWS // ids.shape[1])
        with torch.inference_mode():
            for start in range(0, len(ids), steps):
                part = torch.from_numpy(np.asarray(ids[start : start + steps], np.int64)).to(self.device)
                outputs, state = self.model.encoder(part, state)
            logits = self.model.projection(outputs[-1])
        return logits.float().cpu().numpy(), state

    def read_all(self, ids: Ids, state: StackState) -> tuple[Array, StackState]:
        """Read ids (T, B); returns logits (T, B, V) for the token after each id, and the new state."""
        with torch.inference_mode():
            logits, new = self.model(torch.from_numpy(np.asarray(ids, np.int64)).to(self.device), state)
        return logits.float().cpu().numpy(), new

    def mean_outputs(self, ids: Sequence[Ids], state: StackState) -> Array:
        """Average the last layer's outputs over each text; see `EmbeddingEngine.mean_outputs`."""
        means = np.zeros((len(ids), self.output_size), np.float32)
        with torch.inference_mode():
            for stream, text in enumerate(ids):
                text_state = self.select(state, np.array([stream]))
                total = torch.zeros(self.output_size, dtype=torch.float64, device=self.device)
                for start in range(0, len(text), CHUNK_ROWS):
                    part = torch.from_numpy(np.asarray(text[start : start + CHUNK_ROWS], np.int64)).to(self.device)
                    outputs, text_state = self.model.encoder(part[:, None], text_state)
                    total += outputs[:, 0].sum(0, dtype=torch.float64)
                means[stream] = (total / max(1, len(text))).cpu().numpy()
        return means


class _DrawStep:
    """A draw and the step after it, for fixed settings. Its tensors are updated in place, as CUDA graphs require."""

    def __init__(self, model: LanguageModel, batch: int, sampling: Sampling, bias: Array) -> None:
        device = model.projection.bias.device
        self.model, self.sampling, self.bias = model, sampling, np.array(bias, np.float64)
        self.bias_tensor = torch.from_numpy(self.bias).to(device)
        self.logits = torch.zeros(batch, len(bias), device=device)
        self.state = tuple(tuple(part.clone() for part in layer) for layer in model.encoder.initial_state(batch))
        self.uniform = torch.zeros(batch, dtype=torch.float64, device=device)
        self.ids = torch.zeros(batch, dtype=torch.long, device=device)
        self.advance = self._capture() if device.type == "cuda" else self._advance

    def is_for(self, batch: int, sampling: Sampling, bias: Array) -> bool:
        """Whether it was made for this number of streams and these settings."""
        return len(self.ids) == batch and self.sampling == sampling and np.array_equal(self.bias, bias)

    def begin(self, logits: Tensor, state: StackState) -> None:
        """Continue from logits (B, V) and a state."""
        self.logits.copy_(logits)
        self._copy_state(state)

    def _advance(self) -> None:
        """Draw ids from the logits by the random numbers, and read them."""
        self.ids.copy_(draw(token_probs(self.logits, self.sampling, self.bias_tensor), self.uniform))
        logits, state = self.model.step(self.ids, self.state)
        self.logits.copy_(logits)
        self._copy_state(state)

    def _copy_state(self, state: StackState) -> None:
        for own_layer, layer in zip(self.state, state, strict=True):
            for own_part, part in zip(own_layer, layer, strict=True):
                own_part.copy_(part)

    def _capture(self) -> Callable[[], None]:
        """Capture `_advance` as a CUDA graph; returns the function that replays it."""
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

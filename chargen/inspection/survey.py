"""Read a passage once, and keep what the units did and what the model expected.

All units are kept for the first tokens, a few chosen ones for the rest, so that a long text needs little memory.

Shapes: N tokens, M first tokens, U units of all layers, C chosen units, D outputs of the encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from chargen.errors import ChargenError
from chargen.inspection.passage import Passage
from chargen.inspection.probing import Activations
from chargen.inspection.reading import Reading, read_part
from chargen.inspection.tracing import Part, trace
from chargen.models.encoder import Encoder
from chargen.models.language_model import LanguageModel
from chargen.models.units import Unit, layer_count

FIRST = 10_000  # tokens for which all units are kept
PROBED = 1 << 24  # numbers, of all units at the tokens that choose: 32,768 tokens of 512 units
CHOSEN = 64  # units that are kept for all tokens

Progress = Callable[[float], object]


@dataclass(frozen=True, eq=False)
class Survey:
    """What the layers put out along a passage."""

    first: Activations  # all units at the first tokens (M, U)
    chosen: tuple[Unit, ...]
    values: Activations  # the chosen units at all tokens (N, C)
    reading: Reading | None  # None: the model predicts no tokens
    line_means: npt.NDArray[np.float64]  # mean outputs of the encoder over each of `Passage.lines` (·, D)

    def unit(self, unit: tuple[int, int]) -> npt.NDArray[np.float32]:
        """A chosen unit along the passage (N,); ChargenError if it was not chosen."""
        if unit not in self.chosen:
            raise ChargenError(f"unit {Unit(*unit)} was not kept for all tokens: name it when you inspect")
        return self.values[:, self.chosen.index(Unit(*unit))]


def survey(
    encoder: Encoder,
    passage: Passage,
    chosen: Sequence[Unit],
    reader: LanguageModel | None = None,
    progress: Progress | None = None,
) -> Survey:
    """Read a passage.

    Args:
        encoder: The model's.
        passage: What to read.
        chosen: Units to keep for all tokens.
        reader: The language model that the encoder belongs to, if it does.
        progress: Called with the fraction of the tokens read so far, 0 to 1.
    """
    indices = [unit.layer * encoder.config.layer_output_size + unit.unit for unit in chosen]
    means = _Means(passage, encoder.config.output_size)
    first: list[Activations] = []
    values: list[Activations] = []
    readings: list[Reading] = []
    done = 0
    for part in trace(encoder, passage):
        units = _units(part, passage)
        if done < FIRST:
            first.append(units[: FIRST - done])
        values.append(units[:, indices])
        if reader:
            readings.append(read_part(reader, passage, part))
        means.add(part)
        done += len(units)
        if progress:
            progress(done / len(passage.symbols))
    reading = Reading.joined(readings) if reader else None
    return Survey(np.concatenate(first), tuple(chosen), np.concatenate(values), reading, means.finished())


def probed_activations(encoder: Encoder, passage: Passage) -> Activations:
    """All units at the first tokens of a passage (M, U), as many as PROBED allows."""
    most = max(FIRST, PROBED // (encoder.config.layer_output_size * layer_count(encoder.config)))
    found: list[Activations] = []
    for part in trace(encoder, passage):
        found.append(_units(part, passage))
        if sum(map(len, found)) >= most:
            break
    return np.concatenate(found)[:most]


def _units(part: Part, passage: Passage) -> Activations:
    """Units (T, U) at the tokens of a part, but for those of the lead."""
    units: Activations = part.layers.flatten(1)[max(0, passage.lead - part.start) :].numpy()
    return units


class _Means:
    """Sums of outputs over lines, as parts are read."""

    def __init__(self, passage: Passage, size: int) -> None:
        lines = list(passage.lines())
        self.passage = passage
        self.line_of = np.repeat(np.arange(len(lines)), [stop - start for start, stop in lines])  # (N,)
        self.sums = torch.zeros(len(lines), size, dtype=torch.float64)

    def add(self, part: Part) -> None:
        """Add the outputs of a part to the lines that its tokens are in."""
        skipped = max(0, self.passage.lead - part.start)
        first = self.passage.starts[part.text] + part.start + skipped - self.passage.lead
        outputs = part.outputs[skipped:]
        lines = self.line_of[first : first + len(outputs)]
        self.sums.index_add_(0, torch.from_numpy(lines), outputs.double())

    def finished(self) -> npt.NDArray[np.float64]:
        """The means (·, D)."""
        means: npt.NDArray[np.float64] = self.sums.numpy() / np.bincount(self.line_of)[:, None]
        return means

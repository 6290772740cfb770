"""Run an encoder over texts and see what every layer puts out.

Shapes: T steps of a part, L layers (backward ones last), H outputs of a layer in one direction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from chargen.errors import ChargenError
from chargen.inspection.passage import Passage
from chargen.models.encoder import Encoder

PART = 500  # tokens read at once, so that a long text needs no more memory than a short one


@dataclass(frozen=True, eq=False)
class Part:
    """Some tokens of a text, as the encoder read them."""

    text: int  # number of the text
    start: int  # number of the first token in it, its lead included
    outputs: Tensor  # what the projection or the head reads (T, ·)
    layers: Tensor  # outputs of each layer (T, L, H)


@torch.inference_mode()
def trace(encoder: Encoder, passage: Passage) -> Iterator[Part]:
    """Read the texts, each from the zero state, in parts; whole if the encoder reads in both directions.

    >>> import numpy as np
    >>> from chargen.models.config import EncoderConfig
    >>> encoder = Encoder(EncoderConfig(vocab_size=9, num_layers=2, hidden_size=4))
    >>> parts = list(trace(encoder, Passage((np.zeros(700, int),), 0, ("a",) * 700, 700)))
    >>> [tuple(part.layers.shape) for part in parts]
    [(500, 2, 4), (200, 2, 4)]
    """
    for number, text in enumerate(passage.texts):
        state = encoder.initial_state(1)
        size = len(text) if encoder.config.bidirectional else PART
        for start in range(0, len(text), size):
            ids = torch.from_numpy(text[start : start + size])[:, None]
            seen: list[Tensor] = []
            outputs, state = encoder(ids, state, watch=seen.append)
            layers = _by_layer(seen, encoder)
            if not layers.isfinite().all():
                raise ChargenError(
                    "the outputs of the model are not finite numbers, so its weights are damaged: train it again"
                )
            yield Part(number, start, outputs[:, 0], layers)


def _by_layer(seen: list[Tensor], encoder: Encoder) -> Tensor:
    """Outputs (T, L, H) of all layers, from those of each depth (T, 1, H or 2·H)."""
    depths = torch.stack([outputs[:, 0] for outputs in seen], dim=1)  # (T, depths, ·)
    return torch.cat(depths.split(encoder.config.layer_output_size, dim=-1), dim=1)

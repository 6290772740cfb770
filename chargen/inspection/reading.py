"""How much each token of a text surprises a language model, and what it expected instead.

Shapes: N tokens, K alternatives, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from chargen.inspection.passage import Passage
from chargen.inspection.tracing import Part
from chargen.models.language_model import LanguageModel

ALTERNATIVES = 5
MOST_NUMBERS = 1 << 22  # logits at once


@dataclass(frozen=True, eq=False)
class Reading:
    """A text as a language model expects it."""

    bits: npt.NDArray[np.float64]  # surprise of each token (N,), given all before it
    alternatives: npt.NDArray[np.int64]  # the likeliest tokens at each place (N, K), likeliest first
    probabilities: npt.NDArray[np.float64]  # of those (N, K)

    @classmethod
    def joined(cls, rows: Iterable[Reading]) -> Reading:
        """One reading of several, in their order."""
        parts = list(rows)
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


@torch.inference_mode()
def read_part(model: LanguageModel, passage: Passage, part: Part) -> Reading:
    """Measure the tokens that follow those of a part.

    Without a lead, nothing is read before a text's first token; then all tokens are equally likely there.
    """
    text = passage.texts[part.text]
    following = torch.from_numpy(text[part.start + 1 : part.start + len(part.outputs) + 1])
    vocab_size = model.config.encoder.vocab_size
    rows = max(1, MOST_NUMBERS // vocab_size)
    pieces = zip(part.outputs[: len(following)].split(rows), following.split(rows), strict=True)
    read = [_read(model.projection(outputs), ids) for outputs, ids in pieces]
    if not part.start and not passage.lead:
        read.insert(0, _unread(vocab_size))
    return Reading.joined(read)


def _read(logits: Tensor, ids: Tensor) -> Reading:
    """How logits (T, V) expect ids (T,)."""
    log_probs = logits.double().log_softmax(-1)
    top = log_probs.topk(min(ALTERNATIVES, log_probs.shape[-1]), dim=-1)
    own = log_probs.gather(1, ids[:, None])[:, 0]
    return Reading(-own.numpy() / math.log(2), top.indices.numpy(), top.values.exp().numpy())


def _unread(vocab_size: int) -> Reading:
    """A token that follows nothing."""
    count = min(ALTERNATIVES, vocab_size)
    even = np.full((1, count), 1 / vocab_size)
    return Reading(np.array([math.log2(vocab_size)]), np.arange(count)[None], even)

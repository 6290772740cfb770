"""The log-probability of each token of a text under a language model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chargen.generation.constraints import start_ids
from chargen.generation.engines.contract import Engine, Ids
from chargen.generation.samplers import log_softmax
from chargen.text.tokenizers.base import Tokenizer

SCORED_AT_ONCE = 256  # tokens; more would need more memory for logits


class Score(NamedTuple):
    """The tokens of a text and their log-probabilities."""

    ids: Ids  # (T,), including EOS if the text is a document
    log_probs: npt.NDArray[np.float64]  # (T,), in nats, each given all tokens before it

    @property
    def log_probabilities(self) -> npt.NDArray[np.float64]:
        """The same, under the name that it had before."""
        return self.log_probs


def score(engine: Engine, tokenizer: Tokenizer, text: str, *, documents: bool = False) -> Score:
    """Compute the log-probability of each token of a text.

    Characters outside the vocabulary are scored as the unknown token.

    Args:
        engine: Runs the model.
        tokenizer: The model's.
        text: If not a document, the text is scored as if it followed a line break. If the vocabulary has no line
            break, the first token gets the probability 1/V.
        documents: Whether the model was trained on documents; then the text is one whole document.
    """
    ids = tokenizer.encode(text)
    if documents:
        ids = np.append(ids, tokenizer.eos_id)
    before = start_ids(tokenizer, documents, line_break=True)
    all_ids = np.concatenate([before, ids])
    log_probs = np.full(len(ids), -math.log(tokenizer.vocab_size))
    state = engine.start(1)
    for start in range(0, len(all_ids) - 1, SCORED_AT_ONCE):
        part = all_ids[start : start + SCORED_AT_ONCE + 1]
        logits, state = engine.read_all(part[:-1, None], state)
        part_log_probs = np.take_along_axis(log_softmax(logits[:, 0]), part[1:, None], axis=-1)[:, 0]
        first = start + 1 - len(before)
        log_probs[first : first + len(part_log_probs)] = part_log_probs
    return Score(ids, log_probs)


def spelled(tokenizer: Tokenizer, scores: Score) -> Iterator[tuple[str, float]]:
    """Divide a text into pieces of complete characters, with the log-probability of the tokens that spell each.

    Yields:
        Text and log-probability, in nats, of each piece; the text is empty for EOS.

    >>> from chargen.text.tokenizers.byte import ByteTokenizer
    >>> tokenizer = ByteTokenizer()
    >>> list(spelled(tokenizer, Score(tokenizer.encode("aé"), np.array([-1.0, -0.5, -0.25]))))
    [('a', -1.0), ('é', -0.75)]
    """
    decoder = tokenizer.decoder()
    total = 0.0
    for token, log_prob in zip(scores.ids.tolist(), scores.log_probs.tolist(), strict=True):
        total += log_prob
        text = decoder.feed(token)
        if text or token == tokenizer.eos_id:
            yield text, total
            total = 0.0

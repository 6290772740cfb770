"""The log-probability of each token of a text under a language model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain
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
    parts = [Score(np.empty(0, np.int32), np.empty(0)), *score_parts(engine, tokenizer, [text], documents=documents)]
    return Score(np.concatenate([part.ids for part in parts]), np.concatenate([part.log_probs for part in parts]))


def score_parts(
    engine: Engine, tokenizer: Tokenizer, blocks: Iterable[str], *, documents: bool = False
) -> Iterator[Score]:
    """Score one text in bounded memory.

    Args:
        engine: Runs the model.
        tokenizer: The model's.
        blocks: The text.
        documents: As for `score`.

    Yields:
        At most SCORED_AT_ONCE tokens and their log-probabilities, which all together are those that `score` gives.
    """
    encoded: Iterable[Ids] = (tokenizer.encode(part) for part in tokenizer.cut(blocks))
    if documents:
        encoded = chain(encoded, [np.array([tokenizer.eos_id], np.int32)])
    state, before = engine.start(1), start_ids(tokenizer, documents, line_break=True)
    for part in encoded:
        for start in range(0, len(part), SCORED_AT_ONCE):
            ids = part[start : start + SCORED_AT_ONCE]
            log_probs = np.full(len(ids), -math.log(tokenizer.vocab_size))
            all_ids = np.concatenate([before, ids])
            if len(all_ids) > 1:
                logits, state = engine.read_all(all_ids[:-1, None], state)
                found = np.take_along_axis(log_softmax(logits[:, 0]), all_ids[1:, None], axis=-1)[:, 0]
                log_probs[len(ids) - len(found) :] = found
            before = ids[-1:]
            yield Score(ids, log_probs)


def spelled(tokenizer: Tokenizer, scores: Iterable[Score]) -> Iterator[tuple[str, float]]:
    """Divide a text into pieces of complete characters, with the log-probability of the tokens that spell each.

    Args:
        tokenizer: The model's.
        scores: Of the parts of one text.

    Yields:
        Text and log-probability, in nats, of each piece; the text is empty for EOS.

    >>> from chargen.text.tokenizers.byte import ByteTokenizer
    >>> tokenizer = ByteTokenizer()
    >>> list(spelled(tokenizer, [Score(tokenizer.encode("aé"), np.array([-1.0, -0.5, -0.25]))]))
    [('a', -1.0), ('é', -0.75)]
    """
    decoder = tokenizer.decoder()
    total = 0.0
    for part in scores:
        for token, log_prob in zip(part.ids.tolist(), part.log_probs.tolist(), strict=True):
            total += log_prob
            text = decoder.feed(token)
            if text or token == tokenizer.eos_id:
                yield text, total
                total = 0.0

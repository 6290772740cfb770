"""What a text may begin with and be written with: biases that forbid, allow or favour tokens."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.generation.engines.contract import Array, Ids
from chargen.text.tokenizers.base import REPLACEMENT, Tokenizer

MOST_BIAS = 10_000  # to add to a logit: far more than logits differ by, and no risk of an overflow


def symbol_bias(
    tokenizer: Tokenizer,
    *,
    allow: str | None = None,
    forbid: str = "",
    add: Mapping[str, float] | None = None,
) -> npt.NDArray[np.float64]:
    """A bias (V,) for `generate`: -inf for symbols with a character outside `allow` or in `forbid`.

    add: what to add to the logits of symbols, each named by its text. Parts of characters outside ASCII, which byte
    fallback has, are forbidden with `allow`, and when `forbid` names such a character.
    ChargenError for characters and texts that no one symbol spells, and when `allow` and `forbid` contradict.
    """
    bias = np.zeros(tokenizer.vocab_size)
    for text, value in (add or {}).items():
        ids = tokenizer.encode(text)
        if len(ids) != 1 or tokenizer.unknown(text):
            raise ChargenError(f"the logit bias of {text!r} cannot be set: no one symbol of the model spells it")
        if not abs(value) <= MOST_BIAS:
            raise ChargenError(
                f"the logit bias of {text!r} is {value}, but must be a number from -{MOST_BIAS} to {MOST_BIAS}"
            )
        bias[ids] += value
    if allow is None and not forbid:
        return bias
    if both := set(allow or "") & set(forbid):
        raise ChargenError(f"{listed(both)} cannot be both allowed and forbidden: leave one of the two out")
    spellings = [tokenizer.decode([token]) for token in range(tokenizer.vocab_size)]
    if absent := set(allow or "").union(forbid) - set().union(*spellings):
        raise ChargenError(f"no symbol of the model spells {listed(absent)}: neither allow nor forbid it")
    banned = set(forbid) if forbid.isascii() else {*forbid, REPLACEMENT}
    for token, spelling in enumerate(spellings):
        if banned.intersection(spelling) or (allow is not None and not set(spelling) <= set(allow)):
            bias[token] = -np.inf
    return bias


def writing_bias(tokenizer: Tokenizer, documents: bool, bias: Array | None) -> npt.NDArray[np.float64]:
    """A bias (V,) and what keeps symbols out that spell no text, but for the end symbol where documents end.

    ChargenError when nothing is left to write with.
    """
    never = [tokenizer.bos_id, tokenizer.unk_id, None if documents else tokenizer.eos_id]
    total = np.zeros(tokenizer.vocab_size) if bias is None else bias.astype(np.float64)
    total[[token for token in never if token is not None]] = -np.inf
    choices = np.flatnonzero(total > -np.inf)
    if not len(choices) or choices.tolist() == [tokenizer.eos_id]:
        raise ChargenError("nothing is left to write with: every symbol of the model is forbidden")
    return total


def beginning(tokenizer: Tokenizer, documents: bool, *, bare: bool) -> Ids:
    """Ids that come before a text: a document's begin symbol; a line break for a bare stream, if it has one."""
    if documents:
        return np.array([tokenizer.bos_id], dtype=np.int32)
    return tokenizer.encode("\n" if bare and not tokenizer.unknown("\n") else "")


def listed(characters: Mapping[str, int] | set[str]) -> str:
    """Characters as a sentence names them, at most ten."""
    names = [repr(character) for character in sorted(characters)]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")

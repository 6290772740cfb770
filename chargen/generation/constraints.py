"""What a text starts with, and biases (V,) that forbid, allow or favour tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.generation.engines.contract import Array, Ids
from chargen.text.tokenizers.base import REPLACEMENT, Tokenizer

MAX_BIAS = 10_000  # far more than logits differ by, and too small to overflow


def token_bias(
    tokenizer: Tokenizer,
    *,
    allow: str | None = None,
    forbid: str = "",
    add: Mapping[str, float] | None = None,
) -> npt.NDArray[np.float64]:
    """Make a bias that forbids or favours tokens, to pass to `generate`.

    Args:
        tokenizer: The model's.
        allow: The only characters to write; None: all.
        forbid: Characters not to write.
        add: Numbers to add to the logits of tokens, by the tokens' text.

    Returns:
        Bias (V,): -inf for tokens with a character outside `allow` or in `forbid`. Tokens that are part of a
            character, as in byte fallback, are forbidden if `allow` is given or `forbid` has a non-ASCII character.

    Raises:
        ChargenError: No single token spells a text of `add`, its number is out of range, no token has a character of
            `allow` or `forbid`, or a character is in both.

    >>> from chargen.text.tokenizers.char import CharTokenizer
    >>> token_bias(CharTokenizer("abc"), forbid="b", add={"c": 1.5})  # three special tokens, then a, b, c
    array([ 0. ,  0. ,  0. ,  0. , -inf,  1.5])
    """
    bias = np.zeros(tokenizer.vocab_size)
    for text, value in (add or {}).items():
        ids = tokenizer.encode(text)
        if len(ids) != 1 or tokenizer.unknown(text):
            raise ChargenError(f"the logit bias of {text!r} cannot be set: no single token of the model spells it")
        if not abs(value) <= MAX_BIAS:
            raise ChargenError(
                f"the logit bias of {text!r} is {value}, but must be a number from -{MAX_BIAS} to {MAX_BIAS}"
            )
        bias[ids] += value
    if allow is None and not forbid:
        return bias
    if both := set(allow or "") & set(forbid):
        raise ChargenError(f"{listed(both)} cannot be both allowed and forbidden: leave one of the two out")
    spellings = [tokenizer.decode([token]) for token in range(tokenizer.vocab_size)]
    if absent := set(allow or "").union(forbid) - set().union(*spellings):
        raise ChargenError(f"no token of the model spells {listed(absent)}: neither allow nor forbid it")
    banned = set(forbid) if forbid.isascii() else {*forbid, REPLACEMENT}
    for token, spelling in enumerate(spellings):
        if banned.intersection(spelling) or (allow is not None and not set(spelling) <= set(allow)):
            bias[token] = -np.inf
    return bias


def writing_bias(tokenizer: Tokenizer, documents: bool, bias: Array | None) -> npt.NDArray[np.float64]:
    """Extend a bias to forbid tokens that write no text: BOS, unknown and, unless documents end, EOS.

    Args:
        tokenizer: The model's.
        documents: Whether the model was trained on documents, which end with EOS.
        bias: (V,), not changed; None: zeros.

    Returns:
        Bias (V,).

    Raises:
        ChargenError: Every token is forbidden, or every token but EOS.

    >>> from chargen.text.tokenizers.char import CharTokenizer
    >>> writing_bias(CharTokenizer("ab"), documents=False, bias=None)
    array([-inf, -inf, -inf,   0.,   0.])
    """
    never = [tokenizer.bos_id, tokenizer.unk_id, None if documents else tokenizer.eos_id]
    total = np.zeros(tokenizer.vocab_size) if bias is None else bias.astype(np.float64)
    total[[token for token in never if token is not None]] = -np.inf
    choices = np.flatnonzero(total > -np.inf)
    if not len(choices) or choices.tolist() == [tokenizer.eos_id]:
        raise ChargenError(
            "nothing is left to write with, since every token of the model is forbidden: allow some characters"
        )
    return total


def start_ids(tokenizer: Tokenizer, documents: bool, *, line_break: bool) -> Ids:
    """The ids to read before a text.

    Args:
        tokenizer: The model's.
        documents: Whether the model was trained on documents, each starting with BOS, or on a stream of text.
        line_break: Whether to start a stream with a line break, if the vocabulary has one.

    Returns:
        Ids (1,) or (0,): BOS, a line break, or nothing.
    """
    if documents:
        return np.array([tokenizer.bos_id], dtype=np.int32)
    return tokenizer.encode("\n" if line_break and not tokenizer.unknown("\n") else "")


def listed(characters: Iterable[str]) -> str:
    """List characters for a message, at most ten of them.

    >>> listed({"b", "a"})
    "'a', 'b'"
    """
    names = [repr(character) for character in sorted(characters)]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")

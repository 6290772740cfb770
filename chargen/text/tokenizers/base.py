"""The interface of all tokenizers: encode, decode, count characters, save and load."""

from __future__ import annotations

import codecs
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from chargen.errors import ChargenError
from chargen.text.code_points import slices

Ids: TypeAlias = npt.NDArray[np.int32]

VERSION = 1  # of the JSON files of char and byte tokenizers
REPLACEMENT = "\ufffd"  # shown for unknown characters and invalid UTF-8
PAGE = 1 << 20  # ids processed at once, to bound memory


class StreamDecoder:
    r"""Decodes ids one at a time, holding back the bytes of a character until it is complete.

    >>> decoder = StreamDecoder([b"\xc3", b"\xa9"])
    >>> decoder.feed(0), decoder.feed(1)
    ('', 'é')
    """

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self._token_bytes = token_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """The characters that this id completes, perhaps none."""
        return self._utf8.decode(self._token_bytes[token])

    def copy(self) -> StreamDecoder:
        """An independent decoder in the same state."""
        other = StreamDecoder(self._token_bytes)
        other._utf8.setstate(self._utf8.getstate())
        return other

    def flush(self) -> str:
        """End the text: U+FFFD for an incomplete character, else nothing. Resets the decoder."""
        return self._utf8.decode(b"", final=True)


class Tokenizer(ABC):
    """Turns text into ids 0 … V-1 and back. Each token stands for some bytes of UTF-8, or for nothing."""

    kind: ClassVar[str]
    file_name: ClassVar[str]  # in a run's folder
    bos_id: int
    eos_id: int
    unk_id: int | None  # None: no character is unknown

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        """Set the UTF-8 bytes (V of them) that each token stands for."""
        self._token_bytes = token_bytes
        # Characters that begin in each token (V,): count the bytes that do not continue a character.
        self._lengths = np.array([sum(byte & 0xC0 != 0x80 for byte in spelling) for spelling in token_bytes])
        self._lengths[self.eos_id] = 1

    @property
    def vocab_size(self) -> int:
        """V, the number of tokens, special ones included."""
        return len(self._token_bytes)

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """Encode a text as ids (N,), without BOS and EOS."""

    def decode(self, ids: npt.ArrayLike) -> str:
        """Decode ids (N,): BOS and EOS as nothing, unknown tokens and invalid UTF-8 as U+FFFD."""
        content = b"".join([self._token_bytes[token] for token in np.asarray(ids).tolist()])
        return content.decode("utf-8", "replace")

    def decoder(self) -> StreamDecoder:
        """A decoder for ids that arrive one by one."""
        return StreamDecoder(self._token_bytes)

    def count_characters(self, ids: npt.NDArray[Any]) -> int:
        """Count the characters that ids (N,) decode to; EOS counts as a line break, BOS as nothing.

        A character made of several tokens counts where it begins, so parts of a text add up to the whole.
        """
        pages = (ids[start : start + PAGE] for start in range(0, len(ids), PAGE))
        return sum(int(self._lengths[page].sum()) for page in pages)

    def unknown(self, text: str) -> dict[str, int]:
        """Count the characters of a text that are outside the vocabulary."""
        return {}

    def cut(self, blocks: Iterable[str]) -> Iterator[str]:
        """Cut a text into parts that can be encoded separately: their ids, joined, are those of the whole."""
        return slices(blocks)

    @classmethod
    @abstractmethod
    def train(
        cls, blocks: Iterable[str], *, vocab_size: int | None = None, min_frequency: int | None = None
    ) -> Tokenizer:
        """Train a tokenizer of this kind.

        Args:
            blocks: The text.
            vocab_size: Limit on the tokens; None: as suits the text.
            min_frequency: Occurrences that a character needs to be in the vocabulary (`char` only).

        Raises:
            ChargenError: The text is empty, or there is no tokenizer of that size.
        """

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The content of the file `file_name`."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes) -> Tokenizer:
        """Load the tokenizer that `to_bytes` wrote; ChargenError for other content."""


def utf8(text: str) -> bytes:
    r"""Encode a text as UTF-8; ChargenError for half a surrogate pair.

    >>> utf8("é")
    b'\xc3\xa9'
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ChargenError(
            f"the text has half a surrogate pair at character {error.start}, which is no character: remove it"
        ) from error


def to_json(kind: str, **content: str) -> bytes:
    r"""Write a tokenizer's file: version, kind and `content`.

    >>> to_json("byte")
    b'{"version": 1, "kind": "byte"}\n'
    """
    return json.dumps({"version": VERSION, "kind": kind, **content}, ensure_ascii=False).encode() + b"\n"


def from_json(data: bytes, kind: str, names: Sequence[str]) -> dict[str, Any]:
    """Read what `to_json` wrote.

    Args:
        data: The file.
        kind: Expected kind.
        names: Expected names of its content.

    Raises:
        ChargenError: Version, kind or names differ, or it is not such a file.

    >>> from_json(to_json("byte"), "byte", [])
    {'version': 1, 'kind': 'byte'}
    """
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise damaged("it is not JSON") from error
    if not isinstance(record, dict) or "version" not in record:
        raise damaged("it has no version")
    if record["version"] != VERSION:
        raise ChargenError(f"the tokenizer is of version {record['version']}, but this chargen reads {VERSION}")
    if record.get("kind") != kind:
        raise damaged(f"its kind is {record.get('kind')!r}, not {kind!r}")
    if set(record) != {"version", "kind", *names}:
        raise damaged(f"it holds {', '.join(record)}")
    return record


def damaged(reason: str) -> ChargenError:
    """The error for a file that no tokenizer wrote."""
    return ChargenError(f"the tokenizer's file is damaged or another program's ({reason}): get it again")


def reject_min_frequency(kind: str, min_frequency: int | None) -> None:
    """Raise ChargenError if a minimum frequency is given, which only the tokenizer char has."""
    if min_frequency is not None:
        raise ChargenError(f"a minimum frequency is for the tokenizer char: leave it out with {kind}")

"""What every tokenizer offers: text to ids and back, and the characters that ids spell."""

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

VERSION = 1  # of the JSON that char and byte are saved in
REPLACEMENT = "\ufffd"  # stands for what has no symbol, or is no UTF-8
PAGE = 1 << 20  # ids worked on at once, where memory must stay bounded


class StreamDecoder:
    """Spells ids as they come, holding back the bytes of a character until it is complete."""

    def __init__(self, spellings: Sequence[bytes]) -> None:
        self._spellings = spellings
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """The characters that this id completes, perhaps none."""
        return self._utf8.decode(self._spellings[token])

    def copy(self) -> StreamDecoder:
        """Another one that goes on from here."""
        other = StreamDecoder(self._spellings)
        other._utf8.setstate(self._utf8.getstate())
        return other

    def flush(self) -> str:
        """What an incomplete character at the end is shown as; the decoder is then as new."""
        return self._utf8.decode(b"", final=True)


class Tokenizer(ABC):
    """Turns text into ids 0 … V-1 and back; each id spells some bytes of UTF-8, or nothing."""

    kind: ClassVar[str]
    file_name: ClassVar[str]
    bos_id: int
    eos_id: int
    unk_id: int | None

    def __init__(self, spellings: Sequence[bytes]) -> None:
        self._spellings = spellings
        # The characters that begin in each spelling (V,): the bytes that do not continue one.
        self._lengths = np.array([sum(byte & 0xC0 != 0x80 for byte in spelling) for spelling in spellings])
        self._lengths[self.eos_id] = 1

    @property
    def vocab_size(self) -> int:
        """V, the symbols there are, special ones included."""
        return len(self._spellings)

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """The ids (N,) of a text, bos and eos never among them."""

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text that ids (N,) spell: bos and eos nothing, unk and broken UTF-8 U+FFFD."""
        spelled = b"".join([self._spellings[token] for token in np.asarray(ids).tolist()])
        return spelled.decode("utf-8", "replace")

    def decoder(self) -> StreamDecoder:
        """A decoder for ids that come one by one."""
        return StreamDecoder(self._spellings)

    def count_characters(self, ids: npt.NDArray[Any]) -> int:
        """Characters that ids (N,) spell; eos counts as the line break it stands for, bos as none.

        A character spelled by several ids counts where it begins, so parts of a text add up to the whole.
        """
        pages = (ids[start : start + PAGE] for start in range(0, len(ids), PAGE))
        return sum(int(self._lengths[page].sum()) for page in pages)

    def unknown(self, text: str) -> dict[str, int]:
        """The characters of a text that have no symbol, and how often they occur."""
        return {}

    def cut(self, blocks: Iterable[str]) -> Iterator[str]:
        """The same text, cut where it can be encoded apart: the ids of the parts, joined, are those of the whole."""
        return slices(blocks)

    @classmethod
    @abstractmethod
    def train(cls, blocks: Iterable[str], *, vocab_size: int | None = None, min_frequency: int = 1) -> Tokenizer:
        """The tokenizer of this kind that suits a text, given in blocks; ChargenError where there is none."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The content of the file `file_name`."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes) -> Tokenizer:
        """The tokenizer that `to_bytes` wrote; ChargenError if it did not."""


def utf8(text: str) -> bytes:
    """The text as UTF-8; ChargenError for half a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ChargenError(
            f"the text has half a surrogate pair at character {error.start}, which is no character: remove it"
        ) from error


def to_json(kind: str, **content: str) -> bytes:
    """A tokenizer's file: its version, its kind and what else it holds."""
    return json.dumps({"version": VERSION, "kind": kind, **content}, ensure_ascii=False).encode() + b"\n"


def from_json(data: bytes, kind: str, names: Sequence[str]) -> dict[str, Any]:
    """The record that `to_json` wrote, checked for version, kind and the names of its content."""
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
    """What is raised for a file that no tokenizer wrote."""
    return ChargenError(f"the tokenizer's file is damaged or another program's ({reason}): get it again")


def require_no_frequency(kind: str, min_frequency: int) -> None:
    """ChargenError for a minimum frequency, which only characters have."""
    if min_frequency != 1:
        raise ChargenError(f"a minimum frequency is for the tokenizer char: leave it out with {kind}")

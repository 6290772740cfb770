"""Bytes to text: encodings, byte order marks, and what is said of files that are no text."""

from __future__ import annotations

import codecs
import io
from collections.abc import Generator, Iterable, Iterator
from itertools import chain

from chargen.errors import ChargenError

WIDE = ("utf-16", "utf-32")  # beginnings of the names of encodings in which NUL is a part of characters
MARKS = {  # byte order marks that no UTF-8 begins with; that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
LOOKED_AT = 1 << 10  # bytes that tell UTF-16 from binary files


def decode(blocks: Iterable[bytes], encoding: str, name: str) -> Iterator[str]:
    r"""Yield the text of a file's blocks; line ends become `\n`, a byte order mark is dropped.

    UTF-16 and UTF-32 with a byte order mark are read as such where UTF-8 is asked for.

    Args:
        blocks: The file's content.
        encoding: Of the file.
        name: Of the file, for messages.

    Raises:
        ChargenError: The encoding is none for text, or the content is binary or not valid in it.

    >>> list(decode(["one\r\n".encode("utf-16")], "utf-8", "a.txt"))
    ['one\n']
    """
    content = iter(blocks)
    try:
        yield from _decoded(content, encoding, name)
    finally:
        if isinstance(content, Generator):
            content.close()  # and with it the file, which an error's traceback would keep open


def _decoded(blocks: Iterable[bytes], encoding: str, name: str) -> Iterator[str]:
    head, blocks = _peek(blocks)
    encoding = _marked(encoding, head)
    decoder = _decoder(encoding)
    strict = codecs.lookup(encoding).name.startswith(("utf-8", *WIDE))  # refuse half a surrogate pair themselves
    consumed, start = 0, True
    for block in chain(blocks, [b""]):  # the last one tells the decoder that the input ends
        consumed += len(block)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as error:
            raise _undecodable(name, encoding, error, consumed, head) from error
        if "\0" in text:
            raise _binary(name, encoding, block, consumed - len(block))
        if not strict and not text.isascii():
            _refuse_surrogates(text, encoding, name)
        if start and text:
            text = text.removeprefix("\ufeff")
            start = False
        if text:
            yield text


def has_mark(head: bytes) -> bool:
    """Whether a file begins with the byte order mark of UTF-16 or UTF-32."""
    return head.startswith(tuple(MARKS))


def _peek(blocks: Iterable[bytes]) -> tuple[bytes, Iterable[bytes]]:
    """The first bytes, enough for a byte order mark, and all blocks."""
    rest, first, head = iter(blocks), list[bytes](), b""
    while len(head) < 4 and (block := next(rest, b"")):
        first.append(block)
        head += block
    return head[:LOOKED_AT], chain(first, rest)


def _marked(encoding: str, head: bytes) -> str:
    """The encoding that the byte order mark names, where UTF-8 was asked for; else the one asked for."""
    if encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
        return encoding
    return next((marked for mark, marked in MARKS.items() if head.startswith(mark)), encoding)


def _decoder(encoding: str) -> io.IncrementalNewlineDecoder:
    try:
        "".encode(encoding)  # refuses codecs that are not text encodings, such as base64
        return io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    except (LookupError, ValueError) as error:
        raise ChargenError(
            f"Python knows no text encoding {encoding!r}: try --encoding utf-8, cp1252, latin-1 or utf-16"
        ) from error


def _undecodable(name: str, encoding: str, error: UnicodeError, consumed: int, head: bytes) -> ChargenError:
    if not isinstance(error, UnicodeDecodeError):  # UTF-16 without its byte order mark
        instead = _wide(head) or "utf-16-le or utf-16-be"
        return ChargenError(f"{name} is not valid {encoding} ({error}): try --encoding {instead}")
    start = consumed - len(error.object)
    found = codecs.lookup(encoding).name
    if b"\0" in error.object and not found.startswith(WIDE):
        return _binary(name, encoding, error.object, start)
    what = f"byte 0x{error.object[error.start]:02x} at offset {start + error.start:,}"
    instead = "utf-8" if found != "utf-8" else _suggested(error.object)
    return ChargenError(
        f"{name} is not valid {encoding}: {what}; if it is text, name its encoding, for example --encoding {instead}"
    )


def _suggested(content: bytes) -> str:
    """Encodings that a text may have that is no UTF-8: of other scripts, if few of its letters are ASCII."""
    letters = sum(byte >= 0x80 or chr(byte).isalpha() for byte in content)
    if 2 * sum(byte >= 0x80 for byte in content) > letters:
        return "cp1251 or koi8-r (Cyrillic), shift_jis (Japanese), gb18030 (Chinese)"
    return "cp1252" if _is_valid(content, "cp1252") else "latin-1"


def _is_valid(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _binary(name: str, encoding: str, block: bytes, start: int) -> ChargenError:
    """The error for a text with NUL, in a block that begins at byte `start` of the file."""
    if codecs.lookup(encoding).name.startswith(WIDE):
        return ChargenError(
            f"{name} is a binary file, not text in {encoding}: it has NUL characters; name a text file"
        )
    where = f"NUL at offset {start + block.index(0):,}" if b"\0" in block else "NUL"
    if wide := _wide(block[start % 2 :]):
        return ChargenError(f"{name} is not valid {encoding} ({where}), but looks like {wide}: try --encoding {wide}")
    return ChargenError(
        f"{name} is a binary file, not text ({where}): name a text file, or try --encoding utf-16 if it is one"
    )


def _wide(content: bytes) -> str:
    """UTF-16's name, if every other byte of the content is mostly NUL, as in Western text; else nothing.

    >>> _wide("some text".encode("utf-16-le")), _wide(b"some text")
    ('utf-16-le', '')
    """
    content = content[:LOOKED_AT]
    high, low = content[1::2].count(0), content[::2].count(0)
    if max(high, low) <= len(content) // 4 or min(high, low) > len(content) // 8:
        return ""
    return "utf-16-le" if high > low else "utf-16-be"


def _refuse_surrogates(text: str, encoding: str, name: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ChargenError(
            f"{name} is not text in {encoding}: U+{ord(text[error.start]):04X} is half a surrogate pair; name its "
            "encoding with --encoding"
        ) from error

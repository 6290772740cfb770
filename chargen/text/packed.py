"""Compressed files, read as streams."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from chargen.errors import ChargenError

BLOCK = 1 << 20  # bytes read at once
COMPRESSED = (".gz", ".xz", ".zst")


def read_packed(content: Any, size: int, suffix: str, name: str) -> bytes:
    """Read from what `decompressed` gave.

    Raises:
        ChargenError: The file is damaged.
    """
    try:
        block: bytes = content.read(size)
        return block
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the file's
        raise ChargenError(f"{name} is damaged, or no {suffix} file at all ({error}): get it again") from error


def decompressed(stored: BinaryIO, suffix: str, name: str) -> Any:
    """A reader that decompresses a file according to its suffix; `name` is for messages."""
    match suffix:
        case ".gz":
            import gzip

            return gzip.GzipFile(fileobj=stored)
        case ".xz":
            import lzma

            return lzma.LZMAFile(stored)
        case ".zst":
            return io.BufferedReader(_ZstdFile(stored, name), BLOCK)
    return stored


class _ZstdFile(io.RawIOBase):
    """Reads zstd frames one after another; zstandard's own reader does not notice a truncated file."""

    def __init__(self, stored: BinaryIO, name: str) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise ChargenError(
                f"{name} needs the zstandard package: pip install 'chargen[zstd]', or decompress the file"
            ) from error
        self._stored = stored
        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and (stored := self._frame_rest() or self._stored.read(1 << 12)):
            self._frame = self._frame or self._new_frame()
            self._ready = self._frame.decompress(stored)
        if not self._ready and self._frame:
            raise EOFError("it ends too early")
        taken = self._ready[: len(buffer)]
        self._ready = self._ready[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def _frame_rest(self) -> bytes:
        """Bytes read beyond the end of a finished frame; forgets the frame."""
        if not (self._frame and self._frame.eof):
            return b""
        rest: bytes = self._frame.unused_data
        self._frame = None
        return rest

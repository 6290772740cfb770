"""Compressed files and zip archives, read as streams."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from chargen.errors import ChargenError

if TYPE_CHECKING:
    from zipfile import ZipFile

BLOCK = 1 << 20  # bytes read at once
COMPRESSED = (".bz2", ".gz", ".xz", ".zst")
ARCHIVE = ".zip"


def read_packed(content: Any, size: int, suffix: str, name: str) -> bytes:
    """Read from what `decompressed` gave.

    Raises:
        ChargenError: The file is damaged.
    """
    with _refusing_damage(name, suffix):
        block: bytes = content.read(size)
        return block


def decompressed(stored: BinaryIO, suffix: str, name: str) -> Any:
    """A reader that decompresses a file according to its suffix; `name` is for messages."""
    match suffix.lower():
        case ".bz2":
            import bz2

            return bz2.BZ2File(stored)
        case ".gz":
            import gzip

            return gzip.GzipFile(fileobj=stored)
        case ".xz":
            import lzma

            return lzma.LZMAFile(stored)
        case ".zst":
            return io.BufferedReader(_ZstdFile(stored, name), BLOCK)
    return stored


def members(path: Path, name: str) -> list[tuple[str, int]]:
    """Names and sizes in bytes of an archive's files, sorted, without hidden ones and those that macOS adds.

    Args:
        path: The archive.
        name: Of the archive, for messages.

    Raises:
        ChargenError: The archive is damaged.
    """
    with _refusing_damage(name, ARCHIVE):
        found = [(info.filename, info.file_size) for info in _archive(path).infolist() if not info.is_dir()]
    return sorted((file, size) for file, size in found if not any(map(is_hidden, file.split("/"))))


def read_member(path: Path, member: str, size: int, name: str) -> Iterator[bytes]:
    """Yield the content of one file of an archive in blocks of `size` bytes.

    Raises:
        ChargenError: The archive is damaged or has a password.
    """
    with _refusing_damage(name, ARCHIVE), _archive(path).open(member) as content:
        while block := content.read(size):
            yield block


def is_hidden(part: str) -> bool:
    """Whether a file or folder is hidden by its name, or is what macOS adds to archives."""
    return part.startswith(".") or part == "__MACOSX"


def _archive(path: Path) -> ZipFile:
    found = path.stat()
    return _open_archive(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=1)  # since the list of many files takes long to read
def _open_archive(path: Path, changed: int, size: int) -> ZipFile:
    import zipfile

    return zipfile.ZipFile(path)


@contextmanager
def _refusing_damage(name: str, suffix: str) -> Iterator[None]:
    """Turn the errors of what unpacks a file into a ChargenError; those of the disk and of memory stay."""
    import lzma
    import zipfile
    import zlib

    try:
        yield
    except RuntimeError as error:  # NotImplementedError too, of methods of compression that Python lacks
        raise ChargenError(f"{name} cannot be unpacked ({error}): unpack it yourself, and name the result") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ChargenError(f"{name} is damaged, or no {suffix} file at all ({error}): get it again") from error


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
        self._error = zstandard.ZstdError
        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and (stored := self._frame_rest() or self._stored.read(1 << 12)):
            self._frame = self._frame or self._new_frame()
            try:
                self._ready = self._frame.decompress(stored)
            except self._error as error:
                raise ValueError(str(error)) from error
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

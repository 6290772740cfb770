"""What can be read only once, such as standard input: copied to a temporary file, so that it can be read again."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

from chargen.errors import ChargenError
from chargen.text.packed import BLOCK

LONGEST_STREAM = 1 << 32  # bytes of a pipe
TEMPORARY = "chargen-input-"  # begins the names of temporary folders


@functools.cache  # so that standard input can be named twice
def spool(stream: BinaryIO, name: str) -> Path:
    """Copy a stream to a temporary file, so that it can be read more than once.

    Args:
        stream: Read to its end, once; the same stream gives the same file.
        name: Of the stream, for messages.

    Raises:
        ChargenError: It is a device, or has more than LONGEST_STREAM bytes.
    """
    with contextlib.suppress(OSError):  # a stream in memory has no number
        if not stream.isatty():
            refuse_device(os.fstat(stream.fileno()), name)
    path = _temporary_folder() / "text"
    with path.open("wb") as copy:
        while block := stream.read(BLOCK):
            if copy.tell() + len(block) > LONGEST_STREAM:
                raise ChargenError(
                    f"{name} has more than {LONGEST_STREAM:,} bytes, and may not end: write as much as you need "
                    "into a file, and name that"
                )
            copy.write(block)
    return path


def _temporary_folder() -> Path:
    """Make a folder that is removed when Python ends or, if it is killed, by the next process that makes one."""
    from filelock import FileLock, Timeout

    for lock in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*/lock"):
        with contextlib.suppress(OSError, Timeout):
            with FileLock(lock, timeout=0):  # free only if its process has ended
                pass
            shutil.rmtree(lock.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    own = FileLock(folder / "lock")
    own.acquire()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(own.release)  # before that: the last is called first
    return folder


def refuse_device(found: os.stat_result, name: str) -> None:
    """ChargenError for devices: /dev/zero and /dev/urandom never end. /dev/null is merely empty."""
    device = stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
    if device and not os.path.samestat(found, Path(os.devnull).stat()):
        raise ChargenError(f"{name} is a device, not a file: name a file or a pipe, or - for standard input")

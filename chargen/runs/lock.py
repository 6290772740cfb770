"""One training at a time for a run's folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from chargen.errors import ChargenError

USER = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


@contextmanager
def training_lock(path: Path) -> Iterator[None]:
    """Keep a run's folder to this process while it trains. The lock ends with the process, however that ends.

    Args:
        path: The folder, which need not be there yet, and may be replaced meanwhile.

    Raises:
        ChargenError: Another process trains it.
    """
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"chargen-locks-{USER}"  # the folder itself may be replaced
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ChargenError(
            f"another process is training {path}: wait until it ends, or name another folder with --out"
        ) from error
    try:
        yield
    finally:
        lock.release()

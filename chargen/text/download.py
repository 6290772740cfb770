"""Downloads: resumed where they broke off, never larger than expected, kept only if the digest is as expected."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chargen.errors import ChargenError

ATTEMPTS = 4
PAUSE = 1.0  # seconds before the second attempt; two and three times that before the next two
TIMEOUT = 30.0  # seconds without a byte
MOST_BYTES = 1 << 32  # of a download whose size is not known
BLOCK = 1 << 16  # bytes read at once

Progress = Callable[[int, int | None], object]  # called with the bytes so far, and their total if known


class _ConnectionCutError(Exception):
    """The connection ended before the file did."""


def download(
    address: str, path: Path, *, digest: str, size: int | None = None, progress: Progress | None = None
) -> None:
    """Download `address` to `path`. No two processes may download to one path at once; `corpora.fetch` sees to it.

    If the connection is cut, it is tried again, from where it was cut if the server allows it. The part received so
    far is kept beside `path` with the suffix `.part`; a later call resumes from it.

    Args:
        address: URL.
        path: Where to put the file.
        digest: Expected digest: algorithm, colon, hexadecimal.
        size: Expected bytes; None: unknown.
        progress: Called with the bytes so far, and their total if known.

    Raises:
        ChargenError: The file cannot be fetched, is larger than expected, or has another digest and is deleted; or
            the part is a link.
    """
    part = path.with_name(path.name + ".part")
    if part.is_symlink() or (part.exists() and not part.is_file()):
        raise ChargenError(f"{part} is no file of chargen's but a link, folder or device: delete it and try again")
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE * attempt)
        try:
            _receive(address, part, size, progress)
        except _ConnectionCutError as error:
            cut = error
        else:
            _verify(part, digest, address)
            part.replace(path)
            return
    raise ChargenError(
        f"the connection for {address} was cut {ATTEMPTS} times ({cut}): run it again to resume from there"
    )


def extract(archive: Path, path: Path) -> None:
    """Extract the only file of a zip archive to `path`."""
    import zipfile

    with zipfile.ZipFile(archive) as members, path.open("wb") as file:
        (name,) = members.namelist()
        with members.open(name) as member:
            shutil.copyfileobj(member, file, BLOCK)


def strip_spaces(spaced: Path, path: Path) -> None:
    """Copy a file to `path`, removing one space from both ends of each line."""
    with spaced.open("rb") as lines, path.open("wb") as file:
        for line in lines:
            file.write(line.rstrip(b"\n").removeprefix(b" ").removesuffix(b" ") + b"\n")


def _receive(address: str, part: Path, size: int | None, progress: Progress | None) -> None:
    """Append the missing bytes to `part`, or start over if the server cannot begin in the middle."""
    so_far = part.stat().st_size if part.exists() else 0
    response = _open(address, so_far)
    if response is None:
        return
    resumed = response.status == 206
    with response, part.open("ab" if resumed else "wb") as file:
        so_far = so_far if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = so_far + int(length) if length.isascii() and length.isdigit() else size
        most = MOST_BYTES if size is None else size
        while so_far <= most and (block := _next_block(response)):
            file.write(block[: most + 1 - so_far])
            so_far += len(block)
            if progress:
                progress(min(so_far, most), total)
    if so_far > most:
        part.unlink()
        raise ChargenError(
            f"{address} gave more than the {most:,} bytes expected: nothing of it was kept; get the file elsewhere "
            "and name it as input"
        )
    if total is not None and so_far < total:
        raise _ConnectionCutError(f"after {so_far:,} of {total:,} bytes")


def _open(address: str, start: int) -> Any:
    """The response with the file from byte `start` on; None if the server has nothing more."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    headers = {"User-Agent": "chargen"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        return urlopen(Request(address, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and start:  # range not satisfiable: the digest will tell whether the file is complete
            return None
        raise ChargenError(
            f"{address} cannot be downloaded, the server answers {error.code} {error.reason}: try again later, or "
            "get the file elsewhere and name it as input"
        ) from error
    except URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise ChargenError(f"{address} cannot be reached ({reason}): check the network and try again") from error
    except (HTTPException, OSError) as error:
        raise _ConnectionCutError(str(error)) from error
    except ValueError as error:  # also of an address that the server redirects to
        raise ChargenError(
            f"{address} is no web address, or leads to none ({error}): get the file elsewhere and name it as input"
        ) from error


def _next_block(response: Any) -> bytes:
    from http.client import HTTPException

    try:
        block: bytes = response.read(BLOCK)
        return block
    except (HTTPException, OSError) as error:
        raise _ConnectionCutError(str(error)) from error


def _verify(part: Path, digest: str, address: str) -> None:
    algorithm, _, expected = digest.partition(":")
    found = hashlib.new(algorithm, usedforsecurity=False)
    with part.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    if found.hexdigest() != expected:
        part.unlink()
        raise ChargenError(
            f"{address} gave another file than expected, with {algorithm} {found.hexdigest()} instead of "
            f"{expected}: nothing of it was kept; try again"
        )

"""Files from the network: resumed where they broke off, kept only if their digest is the one expected."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chargen.errors import ChargenError

ATTEMPTS = 4
PAUSE = 1.0  # seconds before the second attempt, twice and three times that before the next
TIMEOUT = 30.0  # seconds without a byte
BLOCK = 1 << 16

Progress = Callable[[int, int | None], object]  # bytes so far, and in all if that is known


class _CutError(Exception):
    """The connection ended before the file did."""


def download(address: str, path: Path, *, digest: str, progress: Progress | None = None) -> None:
    """Fetch `address` to `path`; `digest` is an algorithm, a colon, and the hexadecimal it must give.

    A cut connection is tried again, from where it was cut if the server allows it. What came is kept beside
    `path`, with `.part` to its name, and a later call goes on from there. A ChargenError says what went wrong;
    of a file with another digest nothing is kept.
    """
    part = path.with_name(path.name + ".part")
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE * attempt)
        try:
            _receive(address, part, progress)
        except _CutError as error:
            cut = error
        else:
            _verify(part, digest, address)
            part.replace(path)
            return
    raise ChargenError(
        f"the connection for {address} was cut {ATTEMPTS} times ({cut}): run it again to go on from there"
    )


def extract(archive: Path, path: Path) -> None:
    """Write the one file that a zip archive holds to `path`."""
    import zipfile

    with zipfile.ZipFile(archive) as members, path.open("wb") as file:
        (name,) = members.namelist()
        with members.open(name) as member:
            shutil.copyfileobj(member, file, BLOCK)


def strip_spaces(spaced: Path, path: Path) -> None:
    """Write to `path` the lines of a file without the first and the last space of each."""
    with spaced.open("rb") as lines, path.open("wb") as file:
        for line in lines:
            file.write(line.rstrip(b"\n").removeprefix(b" ").removesuffix(b" ") + b"\n")


def _receive(address: str, part: Path, progress: Progress | None) -> None:
    """Append to `part` what is missing of it, or write it anew if the server cannot begin in the middle."""
    so_far = part.stat().st_size if part.exists() else 0
    response = _open(address, so_far)
    if response is None:
        return
    resumed = response.status == 206
    with response, part.open("ab" if resumed else "wb") as file:
        so_far = so_far if resumed else 0
        length = response.headers.get("Content-Length")
        total = so_far + int(length) if length else None
        while block := _next_block(response):
            file.write(block)
            so_far += len(block)
            if progress:
                progress(so_far, total)
    if total is not None and so_far < total:
        raise _CutError(f"after {so_far:,} of {total:,} bytes")


def _open(address: str, start: int) -> Any:
    """The response with what the file has from byte `start` on; None if there is nothing."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    headers = {"User-Agent": "chargen"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        return urlopen(Request(address, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # range not satisfiable: the digest will tell whether the file is whole
            return None
        raise ChargenError(
            f"{address} cannot be had, the server answers {error.code} {error.reason}: try again later, or "
            "get the file elsewhere and name it as input"
        ) from error
    except URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise ChargenError(f"{address} cannot be reached ({reason}): check the network and try again") from error
    except (HTTPException, OSError) as error:
        raise _CutError(str(error)) from error


def _next_block(response: Any) -> bytes:
    from http.client import HTTPException

    try:
        block: bytes = response.read(BLOCK)
        return block
    except (HTTPException, OSError) as error:
        raise _CutError(str(error)) from error


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

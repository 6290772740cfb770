"""Atomic files: written under a temporary name, then renamed into place.

A reader, a full disk or a power cut meets the old file or the new one, never a part. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from glob import escape, glob
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from chargen.errors import ChargenError

Record = TypeVar("Record")
Weights = dict[str, np.ndarray]
CHECKSUM = "sha256"  # in JSON objects and in the metadata of tensors
MOST_BYTES = 1 << 28  # of a file that is read as a whole, but for tensors


def to_json(value: Any) -> bytes:
    r"""Write JSON that people can read too; an object gets a checksum, which `parse_json` compares.

    Strings may be any, names of files too.

    >>> to_json(["ä", "\udcff"])
    b'[\n  "\xc3\xa4",\n  "\\udcff"\n]\n'
    """
    sealed = value if not isinstance(value, Mapping) else {**value, CHECKSUM: _digest_of_json(value)}
    return (json.dumps(sealed, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def parse_json(content: bytes, context: str) -> Any:
    """Read JSON; an object's checksum is compared and left out.

    Args:
        content: Of a file.
        context: Names it in messages.

    Raises:
        ChargenError: It is not JSON, is nested too deeply, or does not have the checksum it was written with.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ChargenError(f"{context} is not valid JSON ({reason}): the run is damaged") from error
    if isinstance(value, dict) and CHECKSUM in value and value.pop(CHECKSUM) != _digest_of_json(value):
        raise ChargenError(
            f"{context} is not as chargen wrote it: restore it from a copy, or, if the change is yours, delete its "
            f"{CHECKSUM}"
        )
    return value


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _digest_of_json(value: Mapping[str, Any]) -> str:
    """A checksum of what an object says, however it is laid out."""
    own = {name: part for name, part in value.items() if name != CHECKSUM}
    return digest(json.dumps(own, sort_keys=True, separators=(",", ":")).encode())


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a file of a run.

    Args:
        path: The file.
        most: Its size at most, in bytes.

    Raises:
        ChargenError: It is missing, no regular file, too large, or may not be read.
    """
    check_regular(path, most)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ChargenError(f"{path} cannot be read ({error.strerror or error}): check its permissions") from error


def check_regular(path: Path, most: int | None = None) -> None:
    """ChargenError unless a path leads to a regular file, no device or pipe, of at most `most` bytes."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise ChargenError(
            f"{path.parent} lacks {path.name}: it is no whole run of chargen; train it again"
        ) from error
    except OSError as error:
        raise ChargenError(f"{path} cannot be read ({error.strerror or error}): check its permissions") from error
    if not stat.S_ISREG(found.st_mode):
        raise ChargenError(f"{path} is no regular file: the run is damaged or another program's")
    if most is not None and found.st_size > most:
        raise ChargenError(f"{path} has {found.st_size:,} bytes, but must have at most {most:,}")


def refuse_devices(inputs: Iterable[str]) -> None:
    """Raise ChargenError for inputs that a run's config names and that are devices or pipes, which may never end."""
    for given in inputs:
        try:
            named = [Path(given), *map(Path, glob(given))]  # noqa: PTH207 - Path.glob refuses absolute patterns
            found = [path for path in named if path.exists() and not path.is_file() and not path.is_dir()]
        except (OSError, ValueError) as error:  # a name that no file can have
            raise ChargenError(f"the run's input {given!r} is no name of a file") from error
        if found:
            raise ChargenError(
                f"the run's input {found[0]} is a device or a pipe, which is not read again: train anew"
            )


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file at once: the old one stays until the new one is complete. Creates parent folders."""
    if path.is_dir():
        raise ChargenError(f"{path} is a folder where a file should be: remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{escape(path.name)}.*"):  # of a process that was killed
        leftover.unlink(missing_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~umask())  # mkstemp makes files that only the owner can read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def umask() -> int:
    """The permissions that new files of this process do not get."""
    mask = os.umask(0o077)  # the only way to read it
    os.umask(mask)
    return mask


def save_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write tensors to a safetensors file.

    Args:
        path: The file.
        tensors: Arrays by name.
        metadata: Anything that JSON can hold.
    """
    write_atomically(path, tensor_bytes(tensors, metadata))


def tensor_bytes(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> bytes:
    """The content of the file that `save_tensors` writes, with a checksum, which `load_tensors` compares."""
    from safetensors.numpy import save

    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    facts = json.dumps(metadata)
    content: bytes = save(contiguous, metadata={"chargen": facts, CHECKSUM: _digest_of_tensors(contiguous, facts)})
    return content


def load_tensors(path: Path, content: bytes | None = None) -> tuple[Weights, dict[str, Any]]:
    """Read tensors and metadata that `save_tensors` wrote.

    Args:
        path: The file.
        content: Of the file, where it is in memory.

    Raises:
        ChargenError: The file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load

    try:
        if content is None:
            check_regular(path)
            with safe_open(path, framework="numpy") as file:
                facts = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        else:
            tensors = load(content)
            length = int.from_bytes(content[:8], "little")
            facts = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        metadata = json.loads(facts.get("chargen", "{}"))
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError, OSError, MemoryError) as error:
        raise ChargenError(f"{path} is damaged ({error}): train the run again, or restore the file") from error
    written = facts.get(CHECKSUM)
    if written is not None and written != _digest_of_tensors(tensors, facts.get("chargen", "{}")):
        reason = "its checksum is another one"
    elif not isinstance(metadata, dict) or facts.keys() - {"chargen", "format", CHECKSUM}:
        reason = "its facts are none of chargen's"
    else:
        return tensors, metadata
    raise ChargenError(f"{path} is damaged ({reason}): train the run again, or restore the file")


def _digest_of_tensors(tensors: Mapping[str, np.ndarray], facts: str) -> str:
    """A checksum of names, types, shapes, values and metadata."""
    state = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        state.update(f"\0{name}\0{tensor.dtype.str}\0{tensor.shape}\0".encode())
        state.update(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def read_record(kind: type[Record], value: Any, context: str) -> Record:
    """Convert a JSON value to a dataclass, checking types.

    Args:
        kind: The dataclass.
        value: As JSON has it.
        context: Begins the error's message.

    Raises:
        ChargenError: The value does not fit.
    """
    import msgspec

    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeError, RecursionError) as error:  # UnicodeError: half a surrogate pair
        raise ChargenError(f"{context} ({error}): the run is damaged") from error

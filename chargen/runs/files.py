"""Atomic files: written under a temporary name, then renamed into place.

A reader, a full disk or a power cut meets the old file or the new one, never a part. Nothing is pickled.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from chargen.errors import ChargenError

Record = TypeVar("Record")
Weights = dict[str, np.ndarray]


def to_json(value: Any) -> bytes:
    r"""Write JSON that people can read too.

    >>> to_json(["ä"])
    b'[\n  "\xc3\xa4"\n]\n'
    """
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file at once: the old one stays until the new one is complete. Creates parent folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*"):  # of a process that was killed
        leftover.unlink(missing_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes files that only the owner can read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write tensors to a safetensors file.

    Args:
        path: The file.
        tensors: Arrays by name.
        metadata: Anything that JSON can hold.
    """
    write_atomically(path, tensor_bytes(tensors, metadata))


def tensor_bytes(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> bytes:
    """The content of the file that `save_tensors` writes."""
    from safetensors.numpy import save

    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    content: bytes = save(contiguous, metadata={"chargen": json.dumps(metadata)})
    return content


def load_tensors(path: Path) -> tuple[Weights, dict[str, Any]]:
    """Read tensors and metadata that `save_tensors` wrote.

    Raises:
        ChargenError: The file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get("chargen", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ChargenError(f"{path} is damaged ({error}): train the run again, or restore the file") from error


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
    except msgspec.ValidationError as error:
        raise ChargenError(f"{context}: {error}") from error

"""Files that a reader finds whole: each is written beside its place and renamed into it.

A reader, a full disk or a power cut meets the old file or the new one. Nothing is pickled.
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
    """JSON that people can read too."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside, then rename into place: the old file stays whole until the new one is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*"):  # by a process that was killed
        left.unlink(missing_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp lets nobody else read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save_tensors(path: Path, tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write tensors by name, and facts beside them that JSON can hold."""
    write_atomically(path, tensor_bytes(tensors, facts))


def tensor_bytes(tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> bytes:
    """The content of such a file."""
    from safetensors.numpy import save

    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    content: bytes = save(contiguous, metadata={"chargen": json.dumps(facts)})
    return content


def load_tensors(path: Path) -> tuple[Weights, dict[str, Any]]:
    """Tensors and facts that `save_tensors` wrote; ChargenError when the file is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {}).get("chargen", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ChargenError(f"{path} is damaged ({error}): train the run again, or restore the file") from error


def read_record(kind: type[Record], value: Any, what: str) -> Record:
    """A value of JSON as a record, its types checked; a ChargenError begins with `what`."""
    import msgspec

    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ChargenError(f"{what}: {error}") from error

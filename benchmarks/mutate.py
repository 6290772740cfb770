"""Random damage to bytes, JSON values, tensors and folders, for `fuzz.py`."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

DEEP = "\1deep"  # stands in a value for a nesting that only text can have
NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 7, 255, 256, 1 << 16, 1 << 22, 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 63, 1 << 64, 10**400),
    *(-(1 << 31), -(1 << 63), 0.0, -0.5, 0.5, 0.999, 1.5, 1e-320, 1e38, 1e300, -1e300),
    *(math.nan, math.inf, -math.inf),
)
TEXTS = (
    *("", "x", "\n", "\0", "\ud800", "é" * 300, "x" * 100_000, "-", ".", "..", "../x", "/dev/zero", "/dev/full", "*"),
    *("pipe", "nan", "1e999", "utf-7", "utf-16", "idna", "lstm", "gru", "rnn", "bpe", "byte", "bf16", "cuda", "meta"),
    *("language-model", "classifier", "line", "jsonl", "int", "bool"),
)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": None}, [0] * 1000, {"x": {"x": {}}}, DEEP)
PIECES = (
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b'"', b"'", b",", b"\t", b";", b"\n", b"\r", b"{", b"}", b"["),
    *(b"]", b":", b"\\", b"\\ud800", b"null", b"NaN", b"-1", b"1e999", b"9" * 5000, b"[" * 100_000, b"a" * 200_000),
)
DTYPES = ("float16", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool")


def mutate_bytes(random: Random, content: bytes) -> bytes:
    """Flip, cut, double, move or insert bytes, once or a few times."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        at = random.randrange(len(changed) + 1)
        end = min(len(changed), at + random.choice((1, 2, 8, 64, 1 << 30)))
        match random.randrange(7):
            case 0 | 1:
                for _ in range(random.choice((1, 1, 4))):
                    if changed:
                        changed[random.randrange(len(changed))] = random.choice(
                            (0, 1, 127, 255, random.randrange(256))
                        )
            case 2:
                del changed[at:]
            case 3:
                del changed[at:end]
            case 4:
                changed[at:at] = changed[at:end] * random.choice((1, 1, 2, 100 if end - at < 1000 else 1))
            case 5:
                changed[at:at] = random.choice(PIECES)
            case _:
                changed = changed[at:] + changed[:at]
    return bytes(changed)


def mutate_json(random: Random, value: Any) -> Any:
    """Replace, remove, add, rename or swap parts of a JSON value, once or twice."""
    changed = deepcopy(value)
    for _ in range(random.choice((1, 1, 1, 2))):
        places = list(_places(changed))
        if not places:
            return hostile(random)
        holder, key = random.choice(places)
        match random.randrange(12):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[random.choice(("", "x", "scales", "layers", "\ud800"))] = hostile(random)
            case 2 if isinstance(holder, dict):
                holder[f"{key}x"] = holder.pop(key)
            case 3:
                other, index = random.choice(places)
                holder[key] = deepcopy(other[index])
            case 4 if isinstance(holder, list):
                holder.append(hostile(random))
            case 5:
                holder[key] = [holder[key]]
            case 6 | 7 | 8 if isinstance(holder[key], int | float):
                holder[key] = random.choice(NUMBERS)
            case _:
                holder[key] = hostile(random)
    return changed


def hostile(random: Random) -> Any:
    """A value that no file of chargen should have in most places."""
    return deepcopy(random.choice(random.choice((NUMBERS, TEXTS, OTHERS))))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each part of a JSON value, as what holds it and its key."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(parts)[:200]:
        yield value, key
        yield from _places(part)


def json_bytes(random: Random, value: Any) -> bytes:
    """Write JSON, with half surrogates as escapes and with deep nesting where it is asked for."""
    depth = random.choice((100, 900, 20_000, 200_000))
    deep = random.choice(('{"x":' * depth + "0" + "}" * depth, "[" * depth + "]" * depth))
    text = _without_limit(lambda: json.dumps(value))
    return text.replace(json.dumps(DEEP), deep).encode()


def _without_limit(write: Callable[[], str]) -> str:
    """Write integers of any length."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return write()
    finally:
        sys.set_int_max_str_digits(before)


def mutate_tensors(random: Random, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Change shape, type or values of a tensor; remove, add or swap one."""
    changed = dict(tensors)
    for _ in range(random.choice((1, 1, 2))):
        if not changed:
            break
        name, other = random.choice(sorted(changed)), random.choice(sorted(changed))
        match random.randrange(8):
            case 0:
                del changed[name]
            case 1:
                changed[random.choice(("x", f"{name}x", "optimizer.0.0.x", "random.x", "", "."))] = changed[name]
            case 2:
                changed[name], changed[other] = changed[other], changed[name]
            case 3 | 4:
                changed[name] = _reshaped(random, changed[name])
            case 5:
                with np.errstate(all="ignore"):
                    changed[name] = changed[name].astype(random.choice(DTYPES))
            case _:
                changed[name] = _revalued(random, changed[name])
    return changed


def _reshaped(random: Random, tensor: np.ndarray) -> np.ndarray:
    flat = tensor.reshape(-1)
    return random.choice(
        (
            tensor.T,
            flat,
            flat[:0],
            flat[:-1],
            flat[:1].reshape(()) if flat.size else flat,
            tensor[None],
            flat[:, None],
        )
        + ((np.concatenate([tensor, tensor]), tensor[1:]) if tensor.ndim else ())
    )


def _revalued(random: Random, tensor: np.ndarray) -> np.ndarray:
    changed = np.array(tensor)
    value = random.choice(NUMBERS)
    with np.errstate(all="ignore"):
        try:
            filling = np.array(value).astype(changed.dtype)
        except (TypeError, ValueError, OverflowError):
            filling = np.zeros((), changed.dtype)
    if random.random() < 0.5 or not changed.size:
        changed[...] = filling
    else:
        changed.reshape(-1)[random.randrange(changed.size)] = filling
    return changed


def mutate_header(random: Random, content: bytes) -> bytes:
    """Change shapes, types, offsets and names in the header of a safetensors file; its data stay."""
    length = int.from_bytes(content[:8], "little")
    header = json_bytes(random, mutate_json(random, json.loads(content[8 : 8 + length])))
    if random.random() < 0.1:
        return random.choice((0, 1, length + 1, 1 << 27, (1 << 64) - 1)).to_bytes(8, "little") + content[8:]
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def damage_file(random: Random, path: Path, others: list[Path]) -> None:
    """Remove or empty a file, or put something else in its place: another file, a folder, a pipe, a device."""
    content, other = path.read_bytes(), random.choice(others).read_bytes()
    path.unlink()
    match random.randrange(9):
        case 0:
            return
        case 1:
            path.write_bytes(b"")
        case 2:
            path.mkdir()
        case 3:
            os.mkfifo(path)
        case 4:
            path.symlink_to(random.choice(("/dev/zero", "/dev/null", "/dev/full", path.name, "/nowhere", "..")))
        case 5:
            path.write_bytes(content)
            os.truncate(path, random.choice((1 << 20, 1 << 28, 1 << 32)))  # takes no place on disk
        case 6:
            path.write_bytes(other)
        case 7:
            path.write_bytes(content * 2)
        case _:
            path.write_bytes(b"\0" * len(content))

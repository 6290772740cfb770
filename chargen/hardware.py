"""Device, precision and memory: where and how models compute."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

from chargen.errors import ChargenError

SHOWN = 100  # characters of a name or reason in a message
MIN_SPEEDUP = 1.2  # of bfloat16 products over float32 ones, from which on they are worth their rounding errors
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # constants of glibc's <malloc.h>


def choose_device(name: str) -> torch.device:
    """Find a device by its name.

    Under torch's launcher, each process takes a GPU of its own, by its local rank, and makes it the current one.

    Args:
        name: A name that torch knows, or `auto`: the GPU if there is one, else the CPU.

    Raises:
        ChargenError: The device does not exist or cannot be used.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        if device.type == "cuda":
            index = int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index
            device = torch.device("cuda", index)
            torch.cuda.set_device(device)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, AttributeError, ImportError) as error:
        reason = str(error).splitlines()[0][:SHOWN]
        raise ChargenError(
            f"the device {name[:SHOWN]!r} cannot be used ({reason}): try --device cpu or auto"
        ) from error
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """Resolve `auto`: bf16 if this device multiplies it at least MIN_SPEEDUP times as fast, else fp32.

    Args:
        name: `auto`, `bf16` or `fp32`.
        device: Where to compute.

    >>> choose_precision("bf16", torch.device("cpu"))
    'bf16'
    """
    return ("bf16" if bf16_speedup(device) >= MIN_SPEEDUP else "fp32") if name == "auto" else name


@cache
def bf16_speedup(device: torch.device) -> float:
    """Speed of bfloat16 matrix products over float32 ones, measured once per device; 0 if there are none.

    Measured, because a processor without the instructions also offers bfloat16, a hundred times slower.
    """
    size = 4096 if device.type == "cuda" else 384  # large enough to reach the device's full rate
    rate = matmul_rate(device, torch.float32, size)
    try:
        return matmul_rate(device, torch.bfloat16, size) / rate
    except (RuntimeError, TypeError):  # a device without bfloat16
        return 0.0


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Measure how fast a device multiplies matrices, as the best of 2 to 6 attempts.

    Args:
        device: Where to compute.
        dtype: Of the matrices.
        size: Their number of rows and of columns.

    Returns:
        Multiplications and additions per second.
    """
    one, other = torch.ones(2, size, size, dtype=dtype, device=device)
    seconds: list[float] = []
    while len(seconds) < 2 or (len(seconds) < 6 and sum(seconds) < 0.1):  # the first one also loads the kernel
        began = time.perf_counter()
        torch.mm(one, other)[0, 0].item()  # waits for the device
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next training step instead of returning it to the system.

    Otherwise each step on a CPU gets its activations anew, page by page, which takes a fifth of its time
    (benchmarks/notes.md). Sets M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of mallopt(3) for the whole process. Also sets
    M_ARENA_MAX to 1, since a thread that starts later would get a heap of its own, to which they do not apply. Does
    nothing where there is no mallopt.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the largest value allowed
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_ARENA_MAX, 1)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """A context in which matrix products are computed in the precision given; weights stay float32.

    Args:
        device: Where to compute.
        precision: `bf16` or `fp32`.
    """
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()

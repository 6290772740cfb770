"""Where models run, and in which precision."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

from chargen.errors import ChargenError

FASTER = 1.2  # times as fast as in float32 must a bfloat16 product be, to be worth its rounding
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # as <malloc.h> numbers them


def choose_device(name: str) -> torch.device:
    """The device of a name, `auto` being the GPU if there is one; ChargenError when it is not available.

    Each process that torch's launcher starts on a machine takes a GPU of its own, and makes it the current one.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        if device.type == "cuda":
            index = int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index
            device = torch.device("cuda", index)
            torch.cuda.set_device(device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, AttributeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ChargenError(f"the device {name!r} cannot be used ({reason}): try --device cpu or auto") from error
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """`bf16` or `fp32`; `auto` is bf16 where the device multiplies it faster."""
    return ("bf16" if bf16_gain(device) >= FASTER else "fp32") if name == "auto" else name


@cache
def bf16_gain(device: torch.device) -> float:
    """How many times as fast as in float32 this device multiplies in bfloat16, measured once.

    Some processors lack the instructions and are a hundred times slower, so no list of names or flags is asked.
    """
    size = 4096 if device.type == "cuda" else 384
    rate = product_rate(device, torch.float32, size)
    try:
        return product_rate(device, torch.bfloat16, size) / rate
    except (RuntimeError, TypeError):  # a device that knows no bfloat16
        return 0.0


def product_rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Multiplications and additions a second in products of two (size, size) matrices, the best of some attempts."""
    one, other = torch.ones(2, size, size, dtype=dtype, device=device)
    seconds: list[float] = []
    while len(seconds) < 2 or (len(seconds) < 6 and sum(seconds) < 0.1):  # the first also loads the kernel
        began = time.perf_counter()
        torch.mm(one, other)[0, 0].item()  # waits for the device
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next step, where it can be told to, instead of giving it back.

    Otherwise a training step on a CPU asks the system anew for its activations, page by page. This sets
    M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of mallopt(3), which Linux' glibc has, for the whole process; and
    M_ARENA_MAX, since the heaps of their own that threads begun later would get are given back all the same.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_ARENA_MAX, 1)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Products in bfloat16 inside, where that is the precision; weights stay float32."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()

"""Where a training runs."""

from __future__ import annotations

import platform

import pytest
import torch
from processes import run_python

from chargen.errors import ChargenError
from chargen.hardware import autocast, bf16_speedup, choose_device, choose_precision
from chargen.models.cells.fused import LSTM
from chargen.training.setup import resolve_precision


def test_a_device_is_had_or_refused() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ChargenError, match="'tpu' cannot be used"):
        choose_device("tpu")


def test_a_precision_that_is_asked_for_is_taken() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("fp32", cpu) == "fp32"
    assert choose_precision("bf16", cpu) == "bf16"


@pytest.mark.parametrize(("gain", "chosen"), [(0.01, "fp32"), (1.0, "fp32"), (2.0, "bf16")])
def test_bfloat16_is_chosen_where_it_is_measured_to_be_faster(
    monkeypatch: pytest.MonkeyPatch, gain: float, chosen: str
) -> None:
    def rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
        return 1e9 * (gain if dtype == torch.bfloat16 else 1)

    bf16_speedup.cache_clear()
    monkeypatch.setattr("chargen.hardware.matmul_rate", rate)
    assert choose_precision("auto", torch.device("cpu")) == chosen
    bf16_speedup.cache_clear()


def test_products_are_in_the_precision_and_weights_are_not() -> None:
    layer = torch.nn.Linear(3, 2)
    with autocast(torch.device("cpu"), "bf16"):
        assert layer(torch.ones(1, 3)).dtype == torch.bfloat16
    with autocast(torch.device("cpu"), "fp32"):
        assert layer(torch.ones(1, 3)).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is no C library here to tell")
def test_freed_memory_is_not_asked_for_anew() -> None:
    program = """
import ctypes, resource, sys
from chargen.hardware import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    blocks = [libc.malloc(16 << 20) for _ in range(4)]
    for block in blocks:
        ctypes.memset(block, 1, 16 << 20)
    for block in blocks:
        libc.free(block)
for _ in range(3):
    step()
before = faults()
for _ in range(3):
    step()
print(faults() - before)
"""
    kept, asked = (int(run_python("-c", program, how, check=True).stdout) for how in ("keep", "leave"))
    assert kept < 100 < asked


def test_bfloat16_where_it_is_slow_is_told_and_where_it_cannot_run_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chargen.training.setup.bf16_speedup", lambda device: 0.02)
    precision, notes = resolve_precision("bf16", "gru", torch.device("cpu"))
    assert (precision, notes) == ("bf16", ["this device multiplies 50 times faster in float32: try --precision fp32"])
    assert resolve_precision("fp32", "gru", torch.device("cpu")) == ("fp32", [])

    def unable(*arguments: object) -> None:
        raise RuntimeError("could not create a primitive descriptor for the LSTM forward propagation primitive")

    monkeypatch.setattr(LSTM, "kernel", staticmethod(unable))
    with pytest.raises(ChargenError, match="the cell lstm cannot be trained in bfloat16 on this device: leave"):
        resolve_precision("bf16", "lstm", torch.device("cpu"))
    assert resolve_precision("fp32", "lstm", torch.device("cpu")) == ("fp32", [])

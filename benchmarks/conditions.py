"""Under which conditions a benchmark runs: on an older processor's instructions, and beside busy neighbours."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

ISA = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    }
}
SETTLED = 0.5  # seconds until the neighbours are at work
MARK = "CHARGEN_BENCH_CHILD"


def conditions(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command `--isa` and `--busy`; call `apply_isa` first in it."""
    command = click.option(
        "--busy", default=0, show_default=True, help="Also beside so many busy loops, each in a session of its own."
    )(command)
    return click.option(
        "--isa", type=click.Choice(list(ISA)), help="Use no newer instructions than these.  [default: all there are]"
    )(command)


def apply_isa(isa: str | None) -> None:
    """Run this program once more with the instruction set's environment, since libraries read it as they are loaded.

    Without one the variables are taken out of the environment.
    """
    wanted = ISA.get(isa or "", {})
    names = {name for variables in ISA.values() for name in variables}
    if {name: os.environ[name] for name in names & os.environ.keys()} == wanted or MARK in os.environ:
        return
    environment = {name: value for name, value in os.environ.items() if name not in names} | wanted | {MARK: "1"}
    sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)


@contextmanager
def neighbours(number: int) -> Iterator[None]:
    """So many busy loops of normal priority, each a session of its own as a browser is, ended afterwards."""
    command = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(command, start_new_session=True) for _ in range(number)]
    try:
        time.sleep(SETTLED if number else 0)
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def processor() -> str:
    """The processor's name and whether it has bfloat16 instructions, as far as the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "unknown processor"
    lines = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    bf16 = "bf16" if "bf16" in lines.get("flags", lines.get("Features", "")) else "no bf16"
    return f"{lines.get('model name', 'unknown processor')} ({bf16} instructions)"

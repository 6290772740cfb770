"""Python in child processes of the tests, none of which a test awaits for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TIME_LIMIT = 300.0  # seconds: far more than any child needs, also on a busy machine


def run_python(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, check: bool = False
) -> subprocess.CompletedProcess[str]:
    """What a child wrote and how it ended; check: it must have ended well."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIME_LIMIT)
    assert not check or done.returncode == 0, done.stderr
    return done


@contextmanager
def start_python(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A child to read from while it runs. It is awaited at the end, killed when the test fails or time is up."""
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(TIME_LIMIT, process.kill)
        watchdog.start()
        try:
            yield process
            process.wait()
        finally:
            watchdog.cancel()
            process.kill()

"""Standard input is kept in a temporary file: nothing of it stays, not even of processes that were killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import run_python, start_python

READER = """
import io, sys
from chargen.text.sources import resolve
sys.stdin = io.TextIOWrapper(io.BytesIO(b"some text"))
print(resolve(["-"])[0].path.read_text(), flush=True)
"""


def test_a_killed_process_leaves_no_input_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path))
    with start_python("-c", READER + "import time; time.sleep(1000)") as child:
        assert child.stdout is not None and child.stdout.readline() == "some text\n"
        run_python("-c", READER, check=True)
        (kept,) = tmp_path.iterdir()  # that of the process that still runs
        assert (kept / "text").read_text() == "some text"
        child.kill()
    run_python("-c", READER, check=True)
    assert not list(tmp_path.iterdir())

"""A few hundred mutations of files from strangers: each is read, or refused with a ChargenError."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from processes import run_python

FUZZ = Path(__file__).parent.parent / "benchmarks" / "fuzz.py"


@pytest.mark.skipif(sys.platform != "linux", reason="the fuzzer forks, and limits memory as Linux does")
def test_files_of_strangers_are_read_or_refused(tmp_path: Path) -> None:
    environment = {**os.environ, "CHARGEN_DATA": str(tmp_path), "PYTHONPATH": str(FUZZ.parent.parent)}
    done = run_python(str(FUZZ), "--mutations", "60", "--seed", "7", env=environment)
    told = re.findall(r"^(\w+): 60 mutations .*, (\d+) failures$", done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert told == [(target, "0") for target in ("run", "resume", "tokenizer", "table", "archive")]

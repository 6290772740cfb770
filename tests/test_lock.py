"""Only one process trains a run at a time, and a lock ends with its process."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from commands import call
from processes import start_python
from trainings import small

from chargen.errors import ChargenError
from chargen.runs.folder import load_run
from chargen.runs.lock import training_lock
from chargen.training.start import start

HOLD = """
import sys, time
from pathlib import Path
from chargen.runs.lock import training_lock
with training_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(1000)
"""


def test_a_second_training_of_a_folder_is_refused(text: str, data_folder: Path, tmp_path: Path) -> None:
    events = start(small(text), tmp_path / "run")
    next(events)
    for overwrite in (False, True):
        with pytest.raises(ChargenError, match=r"another process is training .*run: wait until it ends"):
            next(start(small(text), tmp_path / "run", overwrite=overwrite))
    list(events)
    assert load_run(tmp_path / "run").summary()["stopped"] == "budget spent"
    list(start(small(text), tmp_path / "run", overwrite=True))  # the lock has ended


def test_resuming_what_is_being_trained_is_refused(text: str, data_folder: Path, tmp_path: Path) -> None:
    list(start(small(text), tmp_path / "run"))
    with training_lock(tmp_path / "run"):
        said = call("train", "--resume", "--out", str(tmp_path / "run"), "--steps", "99", code=1).stderr
    assert "another process is training" in said
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with training_lock(tmp_path / "link"), pytest.raises(ChargenError), training_lock(tmp_path / "run"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with start_python("-c", HOLD, str(tmp_path / "run")) as child:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        with pytest.raises(ChargenError, match="another process"), training_lock(tmp_path / "run"):
            pass
        child.send_signal(signal.SIGKILL)
        child.wait()
        with training_lock(tmp_path / "run"):
            pass

"""Run the command line as `python -m chargen`, or in several processes with `torchrun -m chargen`."""

from __future__ import annotations

import os
import sys

from chargen.cli import main

if __name__ == "__main__":
    try:
        main(prog_name="chargen")
    except SystemExit as exit_request:
        if "WORLD_SIZE" not in os.environ:
            raise
        # Skip Python's shutdown: everything is written, and torch's communication threads sometimes abort in it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_request.code if isinstance(exit_request.code, int) else int(exit_request.code is not None))

"""`python -m chargen` is `chargen`; `torchrun -m chargen` needs it."""

from __future__ import annotations

import os
import sys

from chargen.cli import main

if __name__ == "__main__":
    try:
        main(prog_name="chargen")
    except SystemExit as end:
        if "WORLD_SIZE" not in os.environ:
            raise
        # All is written by now; torch's threads between processes, taken down after it, now and then abort.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))

"""Nothing in the tests is timed: a busy machine must not fail a property. Each process has one thread."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

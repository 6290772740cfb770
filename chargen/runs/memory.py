"""A run whose files are bytes in memory: it needs no folder, and it can be pickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chargen.errors import ChargenError
from chargen.runs.files import Weights, load_tensors
from chargen.runs.folder import FILES, Run


@dataclass(frozen=True)
class RunInMemory(Run):
    """A run whose files are bytes in memory, without those needed only to resume. Can be pickled."""

    files: dict[str, bytes]

    def has(self, name: str) -> bool:
        """See `Run.has`."""
        return name in self.files

    def content(self, name: str) -> bytes:
        """See `Run.content`."""
        if name not in self.files:
            raise ChargenError(f"the run lacks {name}: it is no whole run of chargen; train it again")
        return self._checked(name, self.files[name])

    def _tensors(self, name: str) -> tuple[Weights, dict[str, Any]]:
        return load_tensors(Path(name), self.content(name))


def in_memory(run: Run) -> RunInMemory:
    """A copy of a run, without what only a resumed training needs; ChargenError if it has no weights yet."""
    run.weights()  # raises if there are none
    names = (run.tokenizer().file_name, "config.json", *FILES)
    return RunInMemory(run.path, run.config, {name: run.content(name) for name in names if run.has(name)})

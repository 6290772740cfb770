"""Find a run: by its name under `checkpoints/`, by its path, or the newest of a kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from chargen.errors import ChargenError, shell_word
from chargen.kinds import KINDS, kind_of
from chargen.runs.create import leftovers, recover
from chargen.runs.folder import CHECKPOINTS, Run, is_path, is_run, load_run
from chargen.runs.lock import training_lock


def runs(folder: Path = CHECKPOINTS) -> Iterator[Run]:
    """Yield the readable runs in a folder, newest first."""
    found: list[tuple[float, Path]] = []
    for path in folder.glob("[!.]*/config.json"):
        with suppress(OSError):  # one that may not be read, or is gone since
            found.append((path.stat().st_mtime, path.parent))
    for _, path in sorted(found, reverse=True):
        with suppress(ChargenError):
            yield load_run(path)


def find_run(name: str | None, kind: str | None = None) -> Run:
    """Find the run that a user named.

    Args:
        name: A name under `checkpoints/`, or a path; None: the newest run.
        kind: Required kind; None: any.

    Raises:
        ChargenError: There is no such run (the message lists the others), or it is of another kind.
    """
    if name is None:
        for run in runs():
            if kind in (None, run.kind):
                return run
        what, train = (KINDS[kind].title, KINDS[kind].train) if kind else ("run", "chargen train")
        raise ChargenError(f"no {what} under {CHECKPOINTS}/ yet: make one with `{train}`, or name one with -m")
    run = load_run(folder_of(name))
    if kind not in (None, run.kind):
        raise ChargenError(kind_of(run.kind).wrong_kind.format(shell_word(name)))
    return run


def folder_of(name: str) -> Path:
    """The folder of the run that a user named, whether or not the run in it is whole.

    A run that a process was killed over, as it replaced it by another, comes back first.

    Args:
        name: A name under `checkpoints/`, or a path.

    Raises:
        ChargenError: There is no such run; the message lists the others.
    """
    paths = (Path(name),) if is_path(name) else (CHECKPOINTS / name, Path(name))
    for path in paths:
        if is_run(path) or _comes_back(path):
            return path
    for path in filter(Path.is_dir, paths):
        load_run(path)  # says what is wrong with the folder
    from difflib import get_close_matches

    there = [run.name for run in runs()]
    close = get_close_matches(name, there, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    names = ", ".join(there) or "none yet"
    raise ChargenError(f"no run called {name!r} under {CHECKPOINTS}/ nor at that path{hint}; there are: {names}")


def _comes_back(path: Path) -> bool:
    """Whether there is a run after leftovers of a killed process were cleaned up; not while a process trains it."""
    if not leftovers(path):
        return False
    with suppress(ChargenError), training_lock(path):
        recover(path)
    return is_run(path)

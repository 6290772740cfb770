"""The texts that a run was trained with: where they are now, and whether they are still the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import NamedTuple

from chargen.errors import ChargenError, shorten
from chargen.runs.files import parse_json, read_record, refuse_devices
from chargen.runs.folder import ORIGIN, Run
from chargen.text.corpora import CORPORA, data_folder
from chargen.text.records import DataRecord
from chargen.text.sources import matches


@dataclass(frozen=True)
class Origin:
    """Where a run was made, in absolute paths: the inputs in its config are as the user typed them there."""

    run: str  # its folder
    folder: str  # the current folder
    data: str  # the folder of named corpora

    @classmethod
    def here(cls, run: Path) -> Origin:
        """The origin of a run that is made now."""
        return cls(str(run.absolute()), str(Path.cwd()), str(data_folder().absolute()))

    def moved(self, run: Path) -> Origin:
        """The origin as it is now, if the current folder of then was moved or copied with the run in it.

        >>> Path(Origin("/old/checkpoints/a", "/old", "/data").moved(Path("/new/checkpoints/a")).folder).name
        'new'
        """
        if not Path(self.run).is_relative_to(self.folder):
            return self
        inside, now = Path(self.run).relative_to(self.folder).parts, run.absolute()
        if not inside or now.parts[-len(inside) :] != inside:
            return self
        folder, data = now.parents[len(inside) - 1], Path(self.data)
        if data.is_relative_to(self.folder):
            data = folder / data.relative_to(self.folder)
        return Origin(str(now), str(folder), str(data))


class OwnTexts(NamedTuple):
    """Inputs of a run's training, as paths that can be read from the current folder."""

    inputs: tuple[str, ...]
    val: tuple[str, ...]


def own_texts(run: Run, *, piped: bool = False) -> OwnTexts:
    """Find the texts that a run was trained with, from whatever folder.

    They are relative to the current folder of then: where that has moved with the run in it, else where it was, else
    the current folder of now.

    Args:
        run: A trained run, or one to resume.
        piped: Standard input is given again, where the run was trained on it.

    Raises:
        ChargenError: One is missing, or is standard input or a device, which cannot be read again; or the record is
            damaged.
    """
    config = run.path / "config.json"
    inputs, val = (
        read_record(tuple[str, ...], run.options.get(name, ()), f"{config} has no list of {name}")
        for name in ("inputs", "val")
    )
    if "-" in inputs and not piped:
        raise ChargenError(
            f"{run.name} was trained on standard input, which is gone: name a text, or leave out what needs the "
            "run's own"
        )
    places = list(origins(run))
    own = OwnTexts(*(tuple(_found(run, given, places) for given in names) for names in (inputs, val)))
    refuse_devices((*own.inputs, *own.val))
    return own


def origins(run: Run) -> Iterator[Origin]:
    """Where the inputs of a run may be relative to; early versions recorded none."""
    if run.has(ORIGIN):
        path = f"{run.path / ORIGIN}"
        recorded = read_record(Origin, parse_json(run.content(ORIGIN), path), f"{path} is no origin of a run")
        yield recorded.moved(run.path)
        yield recorded
    yield Origin.here(run.path)


def _found(run: Run, given: str, places: list[Origin]) -> str:
    """An input of a run as it can be read now: as it was typed, if that will do; ChargenError if it is missing."""
    here = places[-1]
    if given == "-":
        return given
    for origin in places:
        if found := _in(origin.folder, given):
            return given if origin.folder == here.folder else found
        if given in CORPORA and (kept := Path(origin.data, given, CORPORA[given].files[0].name)).is_file():
            return given if origin.data == here.data else str(kept)
    if given in CORPORA:
        return given  # which is made or fetched again
    folders = " and ".join(dict.fromkeys(origin.folder for origin in places))
    where = "" if Path(given).is_absolute() else f" (looked for in {folders})"
    raise ChargenError(
        f"{run.name}'s own text {given!r} is missing{where}: bring it back, or name another text, which evaluate and "
        f"train --from {run.argument} can read instead"
    )


def _in(folder: str, given: str) -> str | None:
    """The path of an input that is relative to a folder, or a pattern for several; None if nothing is there."""
    path, pattern = Path(folder, given), Path(escape(folder), given)
    with suppress(OSError, ValueError):  # a name that no file can have
        if given.strip() and path.exists():
            return str(path)
        if given.strip() and matches(pattern):
            return str(pattern)
    return None


def check_unchanged(run: Run, record: DataRecord, own: OwnTexts) -> None:
    """Compare data read just now with those of a run's training.

    Args:
        run: A trained run, or one to resume.
        record: Of the data read now.
        own: Where they were read.

    Raises:
        ChargenError: They differ.
    """
    known = run.data(DataRecord)
    for now, then, inputs in (
        (record.fingerprint, known.fingerprint, own.inputs),
        (record.validation, known.validation, own.val or own.inputs),
    ):
        if now and then and now != then:
            raise ChargenError(
                f"the text in {', '.join(inputs)} has changed since {run.name} was trained with it, or chargen "
                f"{_version(run)} read it otherwise: bring the old one back, or train with the new one and --from "
                f"{run.argument}"
            )


def _version(run: Run) -> str:
    """The version of chargen that wrote a run."""
    versions = run.config.get("versions")
    return shorten(str(versions.get("chargen", "?")), 20) if isinstance(versions, dict) else "?"

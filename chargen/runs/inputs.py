"""The texts that a run was trained with: their names, and whether they are still the same."""

from __future__ import annotations

from chargen.errors import ChargenError, shorten
from chargen.runs.files import read_record, refuse_devices
from chargen.runs.folder import Run
from chargen.text.records import DataRecord


def training_inputs(run: Run) -> tuple[str, ...]:
    """The inputs of a run's training as the user named them.

    Args:
        run: A trained run, or one to resume.

    Raises:
        ChargenError: They are standard input or devices, which cannot be read again, or the record is damaged.
    """
    recorded = run.options.get("inputs", ())
    inputs = read_record(tuple[str, ...], recorded, f"{run.path / 'config.json'} has no list of inputs")
    if "-" in inputs:
        raise ChargenError(
            f"{run.name} was trained on standard input, which is gone: name a text, or leave out what needs the "
            "run's own"
        )
    refuse_devices(inputs)
    return inputs


def check_unchanged(run: Run, record: DataRecord) -> None:
    """Compare data read just now with those of a run's training.

    Args:
        run: A trained run, or one to resume.
        record: Of the data read now.

    Raises:
        ChargenError: They differ.
    """
    known, options = run.data(DataRecord), run.options
    for now, then, inputs in (
        (record.fingerprint, known.fingerprint, options.get("inputs", ())),
        (record.validation, known.validation, options.get("val") or options.get("inputs", ())),
    ):
        if now and then and now != then:
            raise ChargenError(
                f"the text in {', '.join(inputs)} has changed since {run.name} was trained with it, or chargen "
                f"{_version(run)} read it otherwise: bring the old one back, or train with the new one and --from "
                f"{run.name}"
            )


def _version(run: Run) -> str:
    """The version of chargen that wrote a run."""
    versions = run.config.get("versions")
    return shorten(str(versions.get("chargen", "?")), 20) if isinstance(versions, dict) else "?"

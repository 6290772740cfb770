"""Start a run's folder: written as a whole or not at all, never over anything else."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from glob import escape
from pathlib import Path
from typing import Any

from chargen.errors import ChargenError
from chargen.kinds import is_kind
from chargen.models.ngrams import NgramClassifier
from chargen.runs.files import digest, tensor_bytes, to_json, umask, write_atomically
from chargen.runs.folder import FORMAT_VERSION, NGRAMS, ORIGIN, Run, is_run, load_run
from chargen.runs.inputs import Origin
from chargen.runs.memory import RunInMemory
from chargen.text.tokenizers.base import Tokenizer


def create_run(
    path: Path,
    config: Mapping[str, Any],
    tokenizer: Tokenizer,
    labels: list[str] | None = None,
    ngrams: NgramClassifier | None = None,
    *,
    overwrite: bool = False,
) -> Run:
    """Start the folder of a new run, with all that is known before training.

    Args:
        path: The folder.
        config: Content of config.json, without format version and tokenizer.
        tokenizer: Of the model.
        labels: A classifier's labels, in the order of its logits.
        ngrams: The n-gram classifier that a classifier is combined with.
        overwrite: Replace a run that is there already.

    Raises:
        ChargenError: As for `refuse_existing`.
    """
    files = {tokenizer.file_name: tokenizer.to_bytes()}
    if labels is not None:
        files["labels.json"] = to_json(labels)
    record = {
        "format_version": FORMAT_VERSION,
        **config,
        "tokenizer": {
            "kind": tokenizer.kind,
            "file": tokenizer.file_name,
            "vocab_size": tokenizer.vocab_size,
        },
        "files": {name: digest(content) for name, content in files.items()},  # which are written once
    }
    if ngrams is not None:
        files[NGRAMS] = tensor_bytes(ngrams.arrays(), {})  # which holds its own checksum
    files |= {"config.json": to_json(record), ORIGIN: to_json(asdict(Origin.here(path)))}
    return _write_folder(path, files, overwrite=overwrite)


def write_run(run: RunInMemory, path: Path, *, overwrite: bool = False) -> Run:
    """Write a run in memory to a folder.

    Args:
        run: The run.
        path: The folder.
        overwrite: Replace a run that is there already.

    Raises:
        ChargenError: As for `refuse_existing`.
    """
    return _write_folder(path, run.files, overwrite=overwrite)


def _write_folder(path: Path, files: Mapping[str, bytes], *, overwrite: bool) -> Run:
    """Fill a temporary folder and rename it into place; the run that it replaces is deleted last."""
    recover(path)
    refuse_existing(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        unfinished.chmod(0o777 & ~umask())  # mkdtemp makes folders that only the owner can open
        for name, content in files.items():
            write_atomically(unfinished / name, content)
        if path.exists():
            replaced = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            path.replace(replaced / path.name)
            unfinished.replace(path)
            shutil.rmtree(replaced)
        else:
            unfinished.replace(path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        recover(path)
        raise
    return load_run(path)


def recover(path: Path) -> None:
    """Clean up after a process that was killed as it wrote a run's folder; a run that it moved away comes back."""
    for leftover in leftovers(path):
        if not path.exists() and is_run(leftover / path.name):
            (leftover / path.name).replace(path)
        shutil.rmtree(leftover, ignore_errors=True)


def leftovers(path: Path) -> list[Path]:
    """The hidden folders beside a run's that `_write_folder` works in."""
    return [found for found in path.parent.glob(f".{escape(path.name)}.*") if found.is_dir()]


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Check that a new run at `path` destroys nothing.

    Raises:
        ChargenError: A run is there and `overwrite` is false, or something else is there.
    """
    is_ours = _is_ours(path)
    if is_ours and not overwrite:
        raise ChargenError(
            f"{path} already holds a run: --resume continues it, --overwrite replaces it, --out names another folder"
        )
    if path.exists() and not is_ours and (not path.is_dir() or any(path.iterdir())):
        raise ChargenError(f"{path} exists and is no run of chargen: name another folder with --out")


def _is_ours(path: Path) -> bool:
    """Whether chargen, of any version, wrote a folder: other programs have a config.json too."""
    try:
        config = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and "format_version" in config and is_kind(config.get("kind"))

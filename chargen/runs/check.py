"""Whether the files of a run are whole: each is read as it is when the run is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from chargen.errors import ChargenError
from chargen.kinds import kind_of
from chargen.models.config import ModelConfig
from chargen.runs.folder import NGRAMS, ORIGIN, STATE, load_run
from chargen.runs.inputs import origins
from chargen.text.records import DataRecord


class Checked(NamedTuple):
    """A file of a run, and what is wrong with it."""

    name: str
    problem: str | None  # a sentence; None: it is whole


def check_run(path: Path) -> Iterator[Checked]:
    """Read each file of a run, compare its checksum, and see whether it fits the others.

    Args:
        path: The run's folder.

    Yields:
        Each file that is there or should be. If config.json cannot be read, that is the only one, since it says what
        the others must hold.
    """
    try:
        run = load_run(path)
    except (ChargenError, OSError) as error:
        yield Checked("config.json", str(error))
        return
    steps: dict[str, list[Callable[[], Any]]] = {
        "config.json": [lambda: run.model_config(ModelConfig), lambda: run.data(DataRecord), lambda: run.options],
        "the tokenizer": [run.tokenizer],
    }
    if kind_of(run.kind).has_labels:
        steps |= {"labels.json": [run.labels], NGRAMS: [run.ngrams]}
    if run.has_weights or run.has("metrics.jsonl") or run.has("summary.json"):  # weights come before either
        steps["model.safetensors"] = [run.weights, *([run.scales] if kind_of(run.kind).has_labels else [])]
    for name, read in (("metrics.jsonl", run.metrics), ("summary.json", run.summary)):
        if run.has(name):
            steps[name] = [read]
    if run.can_resume:
        steps[STATE] = [run.training_state]
    if run.has(ORIGIN):
        steps[ORIGIN] = [lambda: list(origins(run))]
    for name, reads in steps.items():
        yield Checked(name, _problem(reads))


def _problem(reads: Iterable[Callable[[], Any]]) -> str | None:
    """The first error of some reads."""
    try:
        for read in reads:
            read()
    except (ChargenError, OSError) as error:
        return str(error)
    return None

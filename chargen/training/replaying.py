"""A run's options once more, but for what is asked for now."""

from __future__ import annotations

from typing import Any

from chargen.runs.formats import rename_options
from chargen.training.classifier_recipes import BROUGHT, LANGUAGE_SHARE
from chargen.training.options import NOT_OF_PROBES

SHAPE = {"hidden_size", "embedding_size"}
REPLACES = {  # what is no longer taken from the record when this is asked for
    "minutes": {"epochs", "steps", "crop"},
    "epochs": {"minutes", "steps", "crop"},
    "steps": {"minutes", "epochs", "crop"},
    "max_length": {"crop"},
    "val": {"val_fraction"},
    "val_fraction": {"val"},
    "size": {"num_layers", "dropout", *SHAPE},
    "tied": {"embedding_size"},
    "optimizer": {"learning_rate", "weight_decay"},
    "batch_size": {"shards"},
    "device": {"shards"},
    "documents": {"text_column"},
    "probe": {"pooling", *NOT_OF_PROBES},
    "start_from": {"adapt", "tied", "bidirectional", "learning_rate", *BROUGHT},
}


def replayed(record: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """A record's options as JSON has them, but for those asked for and what these replace.

    >>> replayed({"minutes": 3.0, "seed": 1}, {"steps": 10})
    {'seed': 1, 'steps': 10}
    """
    record = asked_again(rename_options(record))
    replaced = {name for given in asked for name in REPLACES.get(given, ())}
    if asked.get("tied", record.get("tied")) and SHAPE & asked.keys():  # they are one size then
        replaced |= SHAPE
    return {name: value for name, value in record.items() if name not in replaced} | asked


def asked_again(record: dict[str, Any]) -> dict[str, Any]:
    """A run's options, as JSON has them, for another like it: a language that was learned first is learned anew.

    See `after_language`; that language model may be gone.
    """
    if not (record.get("adapt") and record.get("start_from")):
        return record
    minutes = record.get("minutes")
    return record | {"start_from": None, "minutes": minutes and minutes / (1 - LANGUAGE_SHARE)}

"""Options for training again like an earlier run, except for what is asked for now."""

from __future__ import annotations

from typing import Any

from chargen.runs.formats import rename_options
from chargen.training.classifier_recipes import LANGUAGE_FRACTION, SOURCE_OPTIONS
from chargen.training.options import UNUSED_BY_PROBES

SHAPE = {"hidden_size", "embedding_size"}
REPLACES = {  # an option asked for now: recorded options that it makes obsolete
    "minutes": {"epochs", "steps", "crop"},
    "epochs": {"minutes", "steps", "crop"},
    "steps": {"minutes", "epochs", "crop"},
    "max_length": {"crop"},
    "val": {"val_fraction"},
    "val_fraction": {"val"},
    "size": {"num_layers", "dropout", *SHAPE},
    "cell": {"tied_layers", "rounds", "rank"},
    "tied": {"embedding_size"},
    "optimizer": {"learning_rate", "weight_decay"},
    "batch_size": {"shards"},
    "device": {"shards"},
    "documents": {"text_column"},
    "probe": {"pooling", *UNUSED_BY_PROBES},
    "start_from": {"adapt", "tied", "bidirectional", "learning_rate", *SOURCE_OPTIONS},
}


def replay_options(record: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Combine a run's options with those asked for now.

    Args:
        record: The run's options, as `config.json` holds them.
        asked: Options asked for now, by field name.

    Returns:
        The options asked for, and those of the record that they neither override nor make obsolete.

    >>> replay_options({"minutes": 3.0, "seed": 1}, {"steps": 10})
    {'seed': 1, 'steps': 10}
    """
    record = options_before_language(rename_options(record))
    replaced = {name for given in asked for name in REPLACES.get(given, ())}
    if asked.get("tied", record.get("tied")):  # tied weights need an embedding as wide as the outputs
        if SHAPE & asked.keys():
            replaced |= SHAPE
        elif "cell" in asked:
            replaced.add("embedding_size")
    return {name: value for name, value in record.items() if name not in replaced} | asked


def options_before_language(record: dict[str, Any]) -> dict[str, Any]:
    """Undo `options_after_language`, so that a classifier that learned a language first learns it anew.

    The language model that the record starts from was made for that one run, and may be gone.

    Args:
        record: A run's options, as `config.json` holds them; not changed.

    >>> options_before_language({"adapt": True, "start_from": "mail-language", "minutes": 1.8})
    {'adapt': True, 'start_from': None, 'minutes': 3.0}
    """
    if not (record.get("adapt") and record.get("start_from")):
        return record
    minutes = record.get("minutes")
    return record | {"start_from": None, "minutes": minutes and minutes / (1 - LANGUAGE_FRACTION)}

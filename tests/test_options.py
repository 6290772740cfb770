"""Options: out of range and of a wrong type they are refused, and JSON brings them back as they were."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainings import small

from chargen.errors import ChargenError
from chargen.training.options import ClassifierOptions, LanguageModelOptions, from_record, to_record


def test_a_column_that_old_runs_recorded_and_never_read_is_dropped(text: str) -> None:
    record = to_record(small(text)) | {"text_column": "text"}
    assert from_record(LanguageModelOptions, record) == small(text)
    assert from_record(LanguageModelOptions, record | {"documents": "jsonl"}).text_column == "text"


@pytest.mark.parametrize("given", [{"dropout": 0.0}, {"weight_decay": 0.0}, {"adapt": True}])
def test_probes_refuse_what_trains_even_if_it_is_0(given: dict[str, Any]) -> None:
    with pytest.raises(ChargenError, match="has no use with --probe"):
        ClassifierOptions(inputs=("a.csv",), probe=True, start_from="book", **given)


def test_options_survive_json_and_unknown_ones_are_refused(text: str) -> None:
    options = small(text, val=("a", "b"), documents="line")
    record = json.loads(json.dumps(to_record(options)))
    assert from_record(LanguageModelOptions, record) == options
    with pytest.raises(ChargenError, match=r"does not know \(heads\)"):
        from_record(LanguageModelOptions, record | {"heads": 8})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": "huge"}, "unknown size 'huge'"),
        ({"precision": "fp8"}, "unknown precision"),
        ({"hidden_size": 0}, "hidden size is 0"),
        ({"batch_size": -1}, "batch size is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"learning_rate": 0.0}, "learning rate is 0.0"),
        ({"learning_rate": float("nan")}, "learning rate is nan"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"epochs": float("inf")}, "epochs is inf"),
        ({"seed": 1 << 63}, "seed is a number of more than 64 bits"),
        ({"steps": 10**5000}, "steps is a number of more than 64 bits"),
        ({"learning_rate": 10**400}, "learning rate is a number of more than 64 bits"),
        ({"text_column": "body"}, "for documents in JSON lines"),
        ({"weight_decay": -1.0}, "weight decay is -1.0"),
        ({"patience": 0}, "patience is 0"),
        ({"text_column": "text"}, "the text column 'text' is for documents in JSON lines"),
        ({"steps": 10**15}, "steps is 1000.*, but must be from 1 to 1,000"),
        ({"epochs": 1e308}, "epochs is 1e.308"),
        ({"minutes": 1e-320}, "minutes is 1e-320"),
        ({"weight_decay": float("inf")}, "weight decay is inf"),
        ({"vocab_size": 10**15}, "vocab size is 1000"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"val_fraction": 1.5}, "val fraction is 1.5"),
        ({"minutes": -3}, "minutes is -3, but must be a number from 1e-12 to 1,000,000,000,000"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ChargenError, match=message):
        LanguageModelOptions(inputs=("x",), **changes)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"minutes": "3"}, "minutes is '3', but must be a number"),
        ({"hidden_size": 2.5}, "hidden size is 2.5, but must be a whole number"),
        ({"hidden_size": True}, "hidden size is True, but must be a whole number"),
        ({"seed": None}, "seed is None, but must be a whole number"),
        ({"tied": "no"}, "tied is 'no', but must be True or False"),
        ({"device": 5}, "device is 5, but must be a text"),
        ({"val": 5}, "val is 5, but must be a sequence of texts"),
    ],
)
def test_options_of_a_wrong_type_are_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ChargenError, match=f"^{re.escape(sentence)}$"):
        LanguageModelOptions(inputs=("x",), **options)


def test_options_take_what_means_the_same() -> None:
    given: dict[str, Any] = {"inputs": "a.txt", "val": Path("v.txt"), "epochs": 2}
    given |= {"hidden_size": np.int64(8), "dropout": np.float32(0.5), "tied": np.bool_(True)}
    made = LanguageModelOptions(**given)
    assert (made.inputs, made.val, made.epochs) == (("a.txt",), ("v.txt",), 2.0)
    assert (made.hidden_size, made.dropout, made.tied) == (8, 0.5, True)
    assert from_record(LanguageModelOptions, json.loads(json.dumps(to_record(made)))) == made

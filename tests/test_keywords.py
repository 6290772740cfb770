"""The keyword arguments that type checkers see are those that there are."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest

import chargen
from chargen.api.keywords import ClassifierKeywords, LanguageModelKeywords, SamplingKeywords, WritingKeywords
from chargen.api.writer import TextWriter
from chargen.errors import ChargenError
from chargen.generation.samplers import Sampling
from chargen.training.options import ClassifierOptions, LanguageModelOptions


@pytest.mark.parametrize(
    ("keywords", "record"),
    [
        (LanguageModelKeywords, LanguageModelOptions),
        (ClassifierKeywords, ClassifierOptions),
        (SamplingKeywords, Sampling),
    ],
)
def test_they_are_the_fields_with_their_types(keywords: Any, record: Any) -> None:
    declared = {name: str(getattr(value, "__forward_arg__", value)) for name, value in all_of(keywords).items()}
    expected = {field.name: str(field.type) for field in fields(record) if field.name != "inputs"}
    assert declared == {name: "Names" if type_ == "tuple[str, ...]" else type_ for name, type_ in expected.items()}


def all_of(keywords: Any) -> dict[str, Any]:
    return dict(keywords.__annotations__)  # a TypedDict has those of its bases too


def test_what_is_written_takes_the_arguments_of_a_stream() -> None:
    parameters = inspect.signature(TextWriter.stream).parameters.keys() - {"self", "prompt", "sampling"}
    assert all_of(WritingKeywords).keys() == parameters | all_of(SamplingKeywords).keys()


def test_an_unknown_option_is_a_sentence_that_names_the_nearest() -> None:
    for given, meant in [("hidden", "hidden_size"), ("hiden_size", "hidden_size"), ("window", "sequence_length")]:
        with pytest.raises(ChargenError, match=f"there is no option .*: is {meant}"):
            chargen.train("x", **{given: 3})  # type: ignore[arg-type]
    with pytest.raises(ChargenError, match="there is no option zzzz: there are inputs"):
        chargen.train_classifier("x", zzzz=1)  # type: ignore[call-arg]

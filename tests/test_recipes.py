"""Recipes: what a training chooses where a person chose nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chargen.training.chosen import ChosenLanguageModelOptions
from chargen.training.classifier_recipes import classifier_recipe
from chargen.training.options import ClassifierOptions, LanguageModelOptions, to_record
from chargen.training.recipes import LADDER, Speed, language_model_recipe


def device_of(products: float) -> Speed:
    """A device that does so many products a second, but no more than 5,000 steps."""

    def speed(options: ChosenLanguageModelOptions) -> float:
        weights = 65 * options.hidden_size + 6 * options.num_layers * options.hidden_size**2
        return min(products / weights, 5000 * options.batch_size * options.sequence_length)

    return speed


def chosen(
    tokens: int = 10**6, vocab_size: int = 65, products: float = 3e10, **asked: Any
) -> ChosenLanguageModelOptions:
    options = LanguageModelOptions(inputs=("x",), **asked)
    return language_model_recipe(options, tokens, vocab_size, device_of(products))


def test_recipes_leave_no_choice_and_change_none() -> None:
    made = chosen(hidden_size=77, dropout=0.25, minutes=1, epochs=2)
    assert (made.hidden_size, made.dropout, made.minutes, made.epochs) == (77, 0.25, 1, 2)
    open_fields = {"vocab_size", "min_frequency", "tokenizer", "steps", "val_fraction", "documents"}
    open_fields |= {"start_from", "patience", "text_column"}
    assert {name for name, value in to_record(made).items() if value is None} <= open_fields
    labelled = classifier_recipe(ClassifierOptions(inputs=("x",), tokenizer="char"), 10_000)
    open_fields |= {"text_column", "label_column", "adapt", "crop"}  # which the texts decide
    assert {name for name, value in to_record(labelled).items() if value is None} <= open_fields
    sizes = [chosen(size=size).hidden_size for size in ("tiny", "small", "medium", "large")]
    assert sizes == sorted(set(sizes))


def test_more_time_takes_a_larger_model_and_more_readings_more_dropout() -> None:
    by_time = [
        chosen(minutes=minutes, epochs=10**9, products=4.5e10) for minutes in (0.05, 0.3, 1, 3, 10, 60, 10_000)
    ]
    shapes = [(options.num_layers, options.hidden_size) for options in by_time]
    assert shapes == sorted(set(shapes))
    assert chosen(products=3e13, minutes=3).hidden_size == chosen(minutes=100).hidden_size
    by_size = [chosen(tokens=tokens, minutes=30).dropout for tokens in (10**8, 2 * 10**6, 10**5)]
    assert by_size == sorted(by_size) and len(set(by_size)) == 3


@pytest.mark.parametrize("asked", [{"connections": "residual"}, {"cell": "grid-lstm", "tied_layers": True}])
def test_what_has_no_meaning_in_one_layer_takes_two(asked: dict[str, Any]) -> None:
    assert chosen(tokens=10**4, minutes=0.1).num_layers == 1
    assert chosen(tokens=10**4, minutes=0.1, **asked).num_layers == 2
    assert chosen(tokens=10**4, minutes=0.1, num_layers=1, **asked).num_layers == 1  # which is refused later
    for limits, layers in (({}, 2), ({"connections": "none", "tied_layers": False}, 1)):
        options = ClassifierOptions(inputs=("x",), tokenizer="char", **(asked | limits))
        assert classifier_recipe(options, 10_000).num_layers == layers


def test_a_short_text_is_read_in_fewer_streams_and_not_for_ever() -> None:
    sizes = (10**4, 10**5, 10**6, 10**7)
    shapes = [chosen(tokens=tokens, epochs=200).hidden_size for tokens in sizes]
    assert shapes == sorted(shapes) and len(set(shapes)) > 1
    streams = [chosen(tokens=tokens).batch_size for tokens in sizes]
    assert streams == sorted(streams) and len(set(streams)) == 3
    for processes in (2, 3, 8):
        shared = [
            language_model_recipe(LanguageModelOptions(inputs=("x",)), n, 65, device_of(3e10), processes)
            for n in sizes
        ]
        assert all(made.batch_size % processes == 0 for made in shared)
    epochs = [chosen(tokens=tokens).epochs for tokens in sizes]
    assert epochs == sorted(set(epochs))  # type: ignore[type-var]
    assert chosen(tokens=10**5, sequence_length=128).batch_size < chosen(tokens=10**5).batch_size
    assert chosen(tokens=10**4, steps=10**6).epochs is None and chosen(tokens=10**4, epochs=99).epochs == 99


def test_smaller_steps_learn_more_from_as_much() -> None:
    weights = [chosen(batch_size=batch, epochs=4).hidden_size for batch in (4, 32, 256)]
    assert weights == sorted(weights, reverse=True) and len(set(weights)) > 1


@pytest.mark.parametrize("minutes", [0.1, 1, 3, 10, 30, 1000])
def test_few_shapes_are_measured_and_the_choice_is_that_of_measuring_all(minutes: float) -> None:
    asked: list[tuple[int | None, int | None]] = []
    speed = device_of(3e10)

    def counted(options: ChosenLanguageModelOptions) -> float:
        asked.append((options.num_layers, options.hidden_size))
        return speed(options)

    options = LanguageModelOptions(inputs=("x",), minutes=minutes, epochs=1e9)
    made = language_model_recipe(options, 10**7, 65, counted)
    assert len(set(asked)) <= 4
    enough = [
        shape
        for shape in LADDER
        if 60 * minutes * speed(replace(made, num_layers=shape.num_layers, hidden_size=shape.hidden_size))
        >= shape.min_tokens
    ]
    assert (made.num_layers, made.hidden_size) == (enough[-1].num_layers, enough[-1].hidden_size)


def test_what_is_chosen_suits_what_was_asked() -> None:
    assert chosen(optimizer="adamw").learning_rate != chosen(optimizer="muon").learning_rate
    assert chosen(start_from="x").learning_rate < chosen().learning_rate
    assert (
        chosen(tied=True, hidden_size=96).embedding_size == 96
        and chosen(tied=True, embedding_size=80).hidden_size == 80
    )
    assert chosen(tied=True).embedding_size == chosen().hidden_size
    assert chosen(hidden_size=32, minutes=60).embedding_size == 32
    for tokens in (10**3, 10**5, 10**7):
        made = chosen(tokens=tokens)
        assert chosen(tokens=tokens, minutes=3, epochs=made.epochs) == made  # typing what is chosen changes nothing
    assert chosen(hidden_size=1500, epochs=20).dropout > chosen(hidden_size=100, epochs=20).dropout


def test_a_budget_of_steps_is_deterministic_whatever_the_machine() -> None:
    def refused(options: LanguageModelOptions) -> float:
        raise AssertionError("a speed was asked for")

    for budget in ({"steps": 1000}, {"epochs": 3.0}):
        options = LanguageModelOptions(inputs=("x",), **budget)
        language_model_recipe(options, 10**6, 65, refused)

"""Units of a model: numbers of the layers' outputs, named LAYER.UNIT. Needs no torch."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from operator import index
from typing import NamedTuple

from chargen.errors import ChargenError
from chargen.models.config import ClassifierConfig, EncoderConfig

Clamps = Mapping[tuple[int, int], float]  # values by layer and unit


class Unit(NamedTuple):
    """One number of a layer's output, both counted from 0; backward layers count on after the forward ones.

    >>> str(Unit(0, 42))
    '0.42'
    """

    layer: int
    unit: int

    def __str__(self) -> str:
        return f"{self.layer}.{self.unit}"


def parse_unit(named: str | tuple[int, int]) -> Unit:
    """Read LAYER.UNIT, or (layer, unit); ChargenError for anything else.

    >>> parse_unit("0.42"), parse_unit((0, 42))
    (Unit(layer=0, unit=42), Unit(layer=0, unit=42))
    """
    try:
        if isinstance(named, str):
            if not re.fullmatch(r"\d{1,9}\.\d{1,9}", named, re.ASCII):
                raise ValueError(named)
            layer, unit = map(int, named.split("."))
        else:
            layer, unit = map(index, named)
    except (TypeError, ValueError):
        raise ChargenError(
            f"{named!r} is no unit: name one as LAYER.UNIT, such as 0.42, both counted from 0"
        ) from None
    return Unit(layer, unit)


def layer_count(config: EncoderConfig) -> int:
    """The number of layers, backward ones included."""
    return config.num_layers * (2 if config.bidirectional else 1)


def check_unit(layer: int, unit: int, config: EncoderConfig) -> None:
    """Raise ChargenError if the model has no such unit."""
    layers, units = layer_count(config), config.layer_output_size
    if not (0 <= layer < layers and 0 <= unit < units):
        having = "a layer 0" if layers == 1 else f"layers 0 to {layers - 1}"
        raise ChargenError(
            f"there is no unit {layer}.{unit}: the model has {having} with units 0 to {units - 1}, so name one of "
            "those"
        )


def clamps_by_layer(clamps: Clamps, config: EncoderConfig) -> dict[int, dict[int, float]]:
    """The values to hold, by layer and then by unit.

    Raises:
        ChargenError: A key names no unit, the model has no such unit, or a value is not finite.

    >>> clamps_by_layer({(1, 7): 0.5, (1, 8): -1.0}, EncoderConfig(vocab_size=9))
    {1: {7: 0.5, 8: -1.0}}
    """
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for named, value in clamps.items():
        layer, unit = parse_unit(named)
        check_unit(layer, unit, config)
        if not math.isfinite(value):
            raise ChargenError(f"unit {layer}.{unit} cannot be held at {value}: give a finite number")
        found[layer][unit] = value
    return dict(found)


def pooled_unit(output: int, config: ClassifierConfig) -> tuple[Unit, str]:
    """The unit behind one of a classifier's pooled outputs, and how it is pooled.

    With residual connections or layer normalisation, what is pooled is the unit's output after them.

    >>> config = ClassifierConfig(EncoderConfig(9, num_layers=2, hidden_size=4, bidirectional=True), 2, "concat")
    >>> pooled_unit(0, config), pooled_unit(13, config)
    ((Unit(layer=1, unit=0), 'final'), (Unit(layer=3, unit=1), 'mean'))
    """
    encoder = config.encoder
    pooling, column = divmod(output, encoder.output_size)
    backwards, unit = divmod(column, encoder.layer_output_size)
    return Unit(encoder.num_layers - 1 + backwards * encoder.num_layers, unit), config.poolings[pooling]

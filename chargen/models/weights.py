"""A model's weights by name, as NumPy arrays, out of it and into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from chargen.errors import ChargenError

Model = TypeVar("Model", bound=nn.Module)


def weights_of(model: nn.Module) -> dict[str, np.ndarray]:
    """The weights by name, float32; tied ones once, under the encoder's name."""
    return {name: weight.detach().float().cpu().numpy() for name, weight in model.named_parameters()}


@torch.no_grad()
def load_weights(model: Model, weights: Mapping[str, np.ndarray]) -> Model:
    """Give the model the weights that `weights_of` gave, all of them and no others; returns the model.

    Raises:
        ChargenError: A weight is missing, unknown or of another shape.
    """
    own = dict(model.named_parameters())
    if foreign := own.keys() ^ weights.keys():
        raise ChargenError(f"the weights do not fit the model: {min(foreign)} is in only one of the two")
    for name, weight in own.items():
        if weight.shape != weights[name].shape:
            shapes = f"{tuple(weights[name].shape)}, where the model has {tuple(weight.shape)}"
            raise ChargenError(f"the weights do not fit the model: {name} is {shapes}")
        weight.copy_(torch.from_numpy(weights[name]))
    return model

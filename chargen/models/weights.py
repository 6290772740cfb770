"""A model's weights as NumPy arrays by name, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from chargen.errors import ChargenError

Model = TypeVar("Model", bound=nn.Module)


def weights_of(model: nn.Module) -> dict[str, np.ndarray]:
    """A model's weights as float32 arrays by name; tied weights appear once, under the name that comes first.

    They may share the model's memory.

    >>> {name: weight.shape for name, weight in weights_of(nn.Linear(3, 2)).items()}
    {'weight': (2, 3), 'bias': (2,)}
    """
    return {name: weight.detach().float().cpu().numpy() for name, weight in model.named_parameters()}


@torch.no_grad()
def load_weights(model: Model, weights: Mapping[str, np.ndarray]) -> Model:
    """Copy weights into a model.

    Args:
        model: Changed in place.
        weights: By name, all of the model's and no others, as `weights_of` gives them.

    Returns:
        The same model.

    Raises:
        ChargenError: A weight is missing, unknown or of another shape.
    """
    own = dict(model.named_parameters())
    if unmatched := own.keys() ^ weights.keys():
        raise ChargenError(f"the weights do not fit the model: {min(unmatched)} is in only one of the two")
    for name, weight in own.items():
        if weight.shape != weights[name].shape:
            shapes = f"{tuple(weights[name].shape)}, where the model has {tuple(weight.shape)}"
            raise ChargenError(f"the weights do not fit the model: {name} is {shapes}")
        weight.copy_(torch.from_numpy(weights[name]))
    return model

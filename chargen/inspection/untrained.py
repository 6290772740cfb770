"""Networks as training begins with them, for comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def untrained(make: Callable[[], Model], seed: int = 0) -> Model:
    """Make a model with random weights, without moving torch's own random numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()

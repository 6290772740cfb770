"""Where a training runs."""

from __future__ import annotations

import pytest
import torch

from chargen.errors import ChargenError
from chargen.hardware import autocast, choose_device, choose_precision


def test_a_device_is_had_or_refused() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ChargenError, match="'tpu' cannot be used"):
        choose_device("tpu")


def test_a_precision_that_is_asked_for_is_taken() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("fp32", cpu) == "fp32"
    assert choose_precision("bf16", cpu) == "bf16"
    assert choose_precision("auto", torch.device("meta")) == "fp32"


def test_products_are_in_the_precision_and_weights_are_not() -> None:
    layer = torch.nn.Linear(3, 2)
    with autocast(torch.device("cpu"), "bf16"):
        assert layer(torch.ones(1, 3)).dtype == torch.bfloat16
    with autocast(torch.device("cpu"), "fp32"):
        assert layer(torch.ones(1, 3)).dtype == torch.float32
    assert layer.weight.dtype == torch.float32

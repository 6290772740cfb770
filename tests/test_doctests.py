"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import chargen

MODULES = ["chargen", *sorted(module.name for module in pkgutil.walk_packages(chargen.__path__, "chargen."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert not result.failed
